package machine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCommandBehavesAsIfRunLocally(t *testing.T) {
	m := boots(t, spec(t))
	began := time.Now()
	in(t, m, "true")
	t.Logf("a command takes %v", time.Since(began))

	cmd, err := m.Command(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = strings.NewReader("through")
	if out, err := cmd.Output(); err != nil || string(out) != "through" {
		t.Errorf("stdin to stdout: %q, %v", out, err)
	}
	for script, want := range map[string]int{"exit 7": 7, "kill -TERM $$": 128 + 15} {
		_, err := tryIn(t, m, script)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != want {
			t.Errorf("%s: %v, want exit code %d", script, err, want)
		}
	}
	cmd, err = m.Command(t.Context(), "no-such-program")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 127 {
		t.Errorf("a missing program: %v %s", err, out)
	}
	cmd, err = m.Command(t.Context(), "sh", "-c", "echo $EXTRA $PATH")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "EXTRA=more")
	if out, _ := cmd.Output(); !strings.HasPrefix(string(out), "more /opt/zdl/bin:") {
		t.Errorf("its environment: %q", out)
	}
}

// sleeping counts processes in the machine that sleep for seconds.
func sleeping(t *testing.T, m *Machine, seconds string) bool {
	t.Helper()
	out, _ := tryIn(t, m, "ps -eo args= | grep -qx 'sleep "+seconds+"' && echo yes")
	return out == "yes"
}

func TestSignalsReachTheCommandAndKillingEndsIt(t *testing.T) {
	m := boots(t, spec(t))
	cmd, err := m.Command(t.Context(), "sh", "-c", "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.01; done")
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := out.Read(buf); err != nil || string(buf[:n]) != "ready\n" {
		t.Fatalf("%q %v", buf[:n], err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	n, _ := out.Read(buf)
	if _ = cmd.Wait(); string(buf[:n]) != "caught\n" || cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("SIGTERM: %q, exit code %d", buf[:n], cmd.ProcessState.ExitCode())
	}

	ctx, cancel := context.WithCancel(t.Context())
	cmd, err = m.Command(ctx, "sleep", "4711")
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command runs", func() bool { return sleeping(t, m, "4711") })
	cancel()
	_ = cmd.Wait()
	if sleeping(t, m, "4711") {
		t.Error("a cancelled command lives on")
	}

	cmd, err = m.Command(t.Context(), "sleep", "4714")
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command runs", func() bool { return sleeping(t, m, "4714") })
	_ = cmd.Process.Kill() // the half outside only
	_ = cmd.Wait()
	eventually(t, "the command is gone with it", func() bool { return !sleeping(t, m, "4714") })
}

func TestCommandBelongsToTheMachine(t *testing.T) {
	s := spec(t)
	m := boots(t, s)
	cmd, err := m.Command(t.Context(), "sleep", "4712")
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command runs", func() bool { return sleeping(t, m, "4712") })
	if err := m.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the command ended well although the power was cut")
	}
	if _, err := m.Command(t.Context(), "true"); !errors.Is(err, ErrOff) {
		t.Errorf("a command on a machine without power: %v, want ErrOff", err)
	}
}

// TestShellOnATerminal talks to an interactive shell as a person does, through
// a pseudo terminal made by script(1).
func TestShellOnATerminal(t *testing.T) {
	m := boots(t, spec(t))
	cmd, err := m.Command(t.Context(), "bash", "-i")
	if err != nil {
		t.Fatal(err)
	}
	quoted := strings.Join(cmd.Args, " ")
	terminal := exec.CommandContext(t.Context(), "script", "-qefc", quoted, "/dev/null")
	terminal.Env = append(cmd.Env, "TERM=xterm")
	terminal.Dir = os.TempDir()
	in, err := terminal.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out lockedBuffer
	terminal.Stdout, terminal.Stderr = &out, &out
	if err := terminal.Start(); err != nil {
		t.Skipf("script(1) of util-linux is missing: %v", err)
	}
	say := func(text, want string) {
		t.Helper()
		if _, err := in.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(10 * time.Second)
		for !strings.Contains(out.String(), want) {
			if time.Now().After(deadline) {
				t.Fatalf("after %q: no %q in\n%s", text, want, out.String())
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	say("", "root@"+m.Name()+":/# ")
	say("test -t 0 && echo is a $((40+2)) terminal\n", "is a 42 terminal")
	say("sleep 4713; echo interrupted $?\n", "sleep 4713")
	eventually(t, "the sleep runs", func() bool { return sleeping(t, m, "4713") })
	say("\x03", "^C")
	say("echo alive $((6*7))\n", "alive 42")
	if sleeping(t, m, "4713") {
		t.Error("control-C did not reach the foreground command")
	}
	say("exit 9\n", "exit")
	if _ = terminal.Wait(); terminal.ProcessState.ExitCode() != 9 {
		t.Errorf("exit code %d, want 9\n%s", terminal.ProcessState.ExitCode(), out.String())
	}
}

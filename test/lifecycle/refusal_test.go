package lifecycle

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zdl/test/harness"
)

// Every mistake and every lack is answered by one sentence that says what to do,
// and leaves nothing behind.

func TestWithoutALabVerbsSaySo(t *testing.T) {
	l, before := start(t, "t-none")
	for _, verb := range [][]string{
		{"down"}, {"status"}, {"kubeconfig"}, {"kubectl", "get", "nodes"}, {"shell", "worker-1", "--", "true"},
		{"node", "list"}, {"node", "power-off", "worker-1"}, {"attack", "pod", "--all"}, {"watch"}, {"open"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		r, err := l.Try(ctx, verb...)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.Join(verb, " "), func(t *testing.T) { mustRefuse(t, r, "no lab", l.Name) })
	}
	mustLeaveNothing(t, l, before)
}

func TestWithoutRootUpSaysHow(t *testing.T) {
	l, before := start(t, "t-nobody")
	// A copy, since nobody may not look into our directories.
	dir := t.TempDir()
	for d := dir; d != "/" && d != "."; d = filepath.Dir(d) {
		if info, err := os.Stat(d); err == nil && info.Mode().Perm()&0o001 == 0 {
			if err := os.Chmod(d, info.Mode().Perm()|0o055); err != nil {
				t.Fatal(err)
			}
			if d != dir {
				t.Cleanup(func() { os.Chmod(d, info.Mode().Perm()) })
			}
		}
	}
	zdl := filepath.Join(dir, "zdl")
	if out, err := exec.Command("cp", harness.Binary(), zdl).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for _, verb := range [][]string{{"up", "--profile", "small"}, {"down"}, {"status"}} {
		cmd := exec.Command(zdl, append(verb, "--name", l.Name)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		var said strings.Builder
		cmd.Stderr = &said
		_ = cmd.Run() // the code tells
		mustRefuse(t, harness.Result{Code: cmd.ProcessState.ExitCode(), Stderr: said.String()}, "root", "sudo zdl "+verb[0])
	}
	mustLeaveNothing(t, l, before)
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	l, before := start(t, "t-port")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	r, err := l.Try(t.Context(), "up", "--profile", "small", "--listen", address)
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, r, address, "--listen")
	mustLeaveNothing(t, l, before)
}

func TestWrongLabFilesNameLineAndField(t *testing.T) {
	l, before := start(t, "t-file")
	config, err := l.Try(t.Context(), "up", "--profile", "small", "--print-config")
	if err != nil || config.Code != 0 {
		t.Fatalf("--print-config: %d %v %s", config.Code, err, config.Stderr)
	}
	for name, c := range map[string]struct{ old, new, field, allowed string }{
		"timing":     {"timing: realistic", "timing: slow", "timing", "fast"},
		"memory":     {"memory: 2Gi", "memory: 2GB!", "memory", "Gi"},
		"role":       {"role: worker", "role: wroker", "role", "worker"},
		"the field":  {"replicas: ", "replcias: ", "replcias", "replicas"},
		"the number": {"routers: 1", "routers: 7", "routers", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(config.Stdout, c.old, c.new, 1)
			if text == config.Stdout {
				t.Fatalf("the printed file has no %q:\n%s", c.old, text)
			}
			line := strings.Count(text[:strings.Index(text, c.new)], "\n") + 1
			path := filepath.Join(t.TempDir(), "lab.yaml")
			write(t, path, text)
			r, err := l.Try(t.Context(), "up", "-f", path)
			if err != nil {
				t.Fatal(err)
			}
			mustRefuse(t, r, fmt.Sprintf("lab.yaml:%d", line), c.field, c.allowed)
		})
	}
	mustLeaveNothing(t, l, before)
}

func TestMissingArtifactsAreNamed(t *testing.T) {
	l, before := start(t, "t-cache", "ZDL_CACHE="+filepath.Join(t.TempDir(), "nothing-built"))
	r, err := l.Try(t.Context(), "up", "--profile", "small")
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, r, "zdl build")
	mustLeaveNothing(t, l, before)
}

func TestWithoutRoomOnTheDiskUpIsRefused(t *testing.T) {
	harness.Require(t)
	dir := t.TempDir()
	if err := unix.Mount("zdl-test", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount the full disk: %v", err)
		}
	})
	l, before := start(t, "t-full", "ZDL_STATE="+filepath.Join(dir, "state"))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := l.Try(ctx, "up", "--profile", "small")
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, r, "free", dir, "ZDL_STATE")
	mustLeaveNothing(t, l, before)
}

// A kernel that lacks something is asked before anything is made. The loop
// devices are taken away in a mount namespace of the verb's own.
func TestAMissingKernelFeatureIsNamed(t *testing.T) {
	l, before := start(t, "t-kernel")
	script := `mount --make-rprivate / && mount --bind /dev/null /dev/loop-control && exec "$0" up --profile small --name "$1"`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", script, harness.Binary(), l.Name)
	var said strings.Builder
	cmd.Stderr = &said
	_ = cmd.Run() // the code tells
	mustRefuse(t, harness.Result{Code: cmd.ProcessState.ExitCode(), Stderr: said.String()}, "loop devices", "modprobe")
	mustLeaveNothing(t, l, before)
}

// A disk that others fill while the lab boots ends the boot, with the reason.
func TestADiskThatFillsDuringTheBootEndsIt(t *testing.T) {
	harness.Require(t)
	dir := t.TempDir()
	if err := unix.Mount("zdl-test", dir, "tmpfs", 0, "size=6g"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount the full disk: %v", err)
		}
	})
	l, before := start(t, "t-fills", "ZDL_STATE="+filepath.Join(dir, "state"))
	type outcome struct {
		r   harness.Result
		err error
	}
	ended := make(chan outcome, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	go func() {
		r, err := l.Try(ctx, "up", "--profile", "small")
		ended <- outcome{r, err}
	}()
	harness.Eventually(t, "the lab's disks are made", time.Minute, func(context.Context) error {
		_, err := os.Stat(filepath.Join(dir, "state", l.Name, "machines", "cp-1", "disk.img"))
		return err
	})
	fill, err := os.Create(filepath.Join(dir, "others"))
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	for size := int64(1 << 30); size >= 1<<20; { // as much as there is room for
		end, _ := fill.Seek(0, 2)
		if unix.Fallocate(int(fill.Fd()), 0, end, size) != nil {
			size /= 2
		}
	}
	got := <-ended
	if got.err != nil {
		t.Fatal(got.err)
	}
	// Above the sentence stands how far the boot had come.
	lines := strings.Split(strings.TrimSpace(got.r.Stderr), "\n")
	got.r.Stderr = lines[len(lines)-1]
	mustRefuse(t, got.r, "full", dir, "ZDL_STATE")
	mustLeaveNothing(t, l, before)
}

// A shape is decided once: another one is refused, and the lab stays as it is.
func TestAnotherShapeForALabThatExistsIsRefused(t *testing.T) {
	l, _ := start(t, "t-shape")
	up(t, l, "--profile", "small")
	down(t, l, "--keep-data")
	r, err := l.Try(t.Context(), "up", "--profile", "ha")
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, r, "another shape", "zdl down")
	if _, err := os.Stat(filepath.Join(l.StateDir(), "lab.yaml")); err != nil {
		t.Errorf("the refused up lost the lab: %v", err)
	}
}

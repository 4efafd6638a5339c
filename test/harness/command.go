package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zdl/internal/artifact"
)

// Result is what a command left behind.
type Result struct {
	Stdout, Stderr string
	Code           int // exit code; 128 and the signal for one that was killed
	Took           time.Duration
}

// Exec runs a program with optional standard input and environment; the error
// is only about running it at all.
func Exec(ctx context.Context, env []string, stdin []byte, program string, args ...string) (Result, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	cmd.WaitDelay = 2 * time.Second // a grandchild may hold our pipes
	begin := time.Now()
	err := cmd.Run()
	result := Result{Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(begin)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		result.Code = exit.ExitCode()
		err = nil
	}
	return result, err
}

// Command prepares a verb of zdl on this lab.
func (l *Lab) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, Binary(), l.args(args)...)
	cmd.Env = append(os.Environ(), l.Env...)
	return cmd
}

// Try runs a verb of zdl on this lab and returns whatever came of it.
func (l *Lab) Try(ctx context.Context, args ...string) (Result, error) {
	return Exec(ctx, l.Env, nil, Binary(), l.args(args)...)
}

// args puts the lab's name behind the verb, before a "--" that may follow.
func (l *Lab) args(args []string) []string {
	return append([]string{args[0], "--name", l.Name}, args[1:]...)
}

// zdlLimit bounds a command of the lab; none takes that long.
const zdlLimit = 15 * time.Minute

// Zdl runs a verb on this lab and fails the test unless it exits with 0.
func (l *Lab) Zdl(t testing.TB, args ...string) string {
	t.Helper()
	// What cleans up after a test runs when the test's context has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), zdlLimit)
	defer cancel()
	r, err := l.Try(ctx, args...)
	if err != nil || r.Code != 0 {
		t.Fatalf("zdl %s: exit %d, %v\n%s%s", strings.Join(args, " "), r.Code, err, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// ZdlJSON runs a verb with -o json and decodes what it prints.
func (l *Lab) ZdlJSON(t testing.TB, into any, args ...string) {
	t.Helper()
	out := l.Zdl(t, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("zdl %s -o json: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Shell runs a command inside a machine and fails the test unless it exits
// with 0.
func (l *Lab) Shell(t testing.TB, machine string, argv ...string) string {
	t.Helper()
	return l.Zdl(t, append([]string{"shell", machine, "--"}, argv...)...)
}

// TryShell runs a command inside a machine and returns whatever came of it.
func (l *Lab) TryShell(ctx context.Context, machine string, argv ...string) Result {
	r, err := l.Try(ctx, append([]string{"shell", machine, "--"}, argv...)...)
	return settled(r, err)
}

// Kubectl runs the unmodified kubectl with the printed kubeconfig and fails the
// test unless it exits with 0.
func (l *Lab) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	r := l.TryKubectl(t.Context(), nil, args...)
	if r.Code != 0 {
		t.Fatalf("kubectl %s: exit %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// TryKubectl runs kubectl and returns whatever came of it.
func (l *Lab) TryKubectl(ctx context.Context, stdin []byte, args ...string) Result {
	return settled(Exec(ctx, nil, stdin, l.KubectlPath(), append([]string{"--kubeconfig", l.Info.Kubeconfig}, args...)...))
}

// KubectlCommand prepares a kubectl that goes on running.
func (l *Lab) KubectlCommand(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, l.KubectlPath(), append([]string{"--kubeconfig", l.Info.Kubeconfig}, args...)...)
}

// KubectlPath is the kubectl that was built beside the cluster.
func (l *Lab) KubectlPath() string {
	if set, err := artifact.Open(l.dirs.Cache); err == nil {
		return filepath.Join(set.Bin, "kubectl")
	}
	return "kubectl"
}

// Image is the full name of one of the lab's own images, such as "toolbox".
func (l *Lab) Image(t testing.TB, name string) string {
	t.Helper()
	set, err := artifact.Open(l.dirs.Cache)
	if err != nil {
		t.Fatal(err)
	}
	ref := set.Images[name]
	if ref == "" {
		t.Fatalf("no image %q among %v", name, set.Images)
	}
	return ref
}

func settled(r Result, err error) Result {
	if err != nil {
		r.Code, r.Stderr = -1, err.Error()
	}
	return r
}

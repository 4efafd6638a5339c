package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"zdl/test/harness"
)

// phases in which a boot is interrupted, in the order in which it reaches them.
var phases = []string{"kubeadm", "machines", "api", "addons", "nodes", "redundancy"}

func TestUpContinuesAfterEachInterruption(t *testing.T) {
	for _, c := range []struct {
		name  string
		phase func(i int) bool
		stop  func(t *testing.T, l *harness.Lab, first *process)
	}{
		// Ctrl-C: zdl up ends, and says how to go on.
		{"by SIGINT", func(i int) bool { return i%2 == 0 }, func(t *testing.T, l *harness.Lab, first *process) {
			first.signal(syscall.SIGINT)
			code, said := first.wait(t)
			if code == 0 || !strings.Contains(said, "zdl up") {
				t.Errorf("an interrupted zdl up: exit %d %q, want how to go on", code, said)
			}
		}},
		// Both at once, as the kernel does when memory is short.
		{"by SIGKILL of up and daemon", func(i int) bool { return i%2 == 1 }, func(t *testing.T, l *harness.Lab, first *process) {
			daemon, err := l.Daemon()
			first.signal(syscall.SIGKILL)
			if err == nil {
				_ = syscall.Kill(daemon.PID, syscall.SIGKILL)
			}
			first.wait(t)
			if err == nil {
				waitFor(t, "the daemon is dead", func() error {
					if daemon.Alive() {
						return fmt.Errorf("%s lives", daemon)
					}
					return nil
				})
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, before := start(t, "t-interrupt")
			args := []string{"--profile", "small"}
			for i, phase := range phases {
				if !c.phase(i) {
					continue
				}
				c.stop(t, l, beginUp(t, l, phase, args...))
			}
			up(t, l, args...)
			serves(t, l)
			down(t, l)
			mustLeaveNothing(t, l, before)
		})
	}
}

// Only the waiting zdl up is gone: the daemon behind goes on, and a second up
// joins it.
func TestASecondUpJoinsABootWhoseFirstUpWasKilled(t *testing.T) {
	l, _ := start(t, "t-join")
	first := beginUp(t, l, "machines", "--profile", "small")
	daemon, err := l.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	first.signal(syscall.SIGKILL)
	first.wait(t)
	up(t, l)
	if now, err := l.Daemon(); err != nil || now != daemon {
		t.Errorf("the daemon is %v, %v; want still %v", now, err, daemon)
	}
	serves(t, l)

	// A third finds it running: one clear sentence, and nothing changes.
	r, err := l.Try(t.Context(), "up")
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, r, "running already", "zdl status")
	serves(t, l)
}

func TestDownInTheMiddleOfABootLeavesNothing(t *testing.T) {
	l, before := start(t, "t-abort")
	for _, phase := range []string{"fabric", "machines", "workers"} {
		first := beginUp(t, l, phase, "--profile", "small")
		daemon, daemonErr := l.Daemon()
		first.signal(syscall.SIGKILL)
		if phase != "fabric" && daemonErr == nil { // once with a living daemon
			_ = syscall.Kill(daemon.PID, syscall.SIGKILL)
		}
		first.wait(t)
		down(t, l)
		mustLeaveNothing(t, l, before)
	}
}

func TestInterruptedDownIsCompletedByTheNext(t *testing.T) {
	l, before := start(t, "t-halfdown")
	up(t, l, "--profile", "small")
	inits := l.MustInits(t)
	first := begin(t, l, "down")
	waitFor(t, "the first machine is gone", func() error {
		for _, p := range inits {
			if !p.Alive() {
				return nil
			}
		}
		return fmt.Errorf("all live")
	})
	first.signal(syscall.SIGKILL)
	first.wait(t)
	r, err := l.Try(t.Context(), "down")
	if err != nil {
		t.Fatal(err)
	}
	if r.Code != 0 && !strings.Contains(r.Stderr, "no lab") { // the first may have been done
		t.Errorf("the second down: exit %d %s", r.Code, r.Stderr)
	}
	mustLeaveNothing(t, l, before)
}

func waitFor(t *testing.T, what string, ok func() error) {
	t.Helper()
	harness.Eventually(t, what, 20*time.Second, func(context.Context) error { return ok() })
}

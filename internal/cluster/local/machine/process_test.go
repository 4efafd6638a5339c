package machine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper is a child of the test and its process; it ends with the test.
func sleeper(t *testing.T) (Process, func() bool) {
	t.Helper()
	cmd := exec.Command("sleep", "infinity")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	p, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return p, func() bool {
		select {
		case <-ended:
			return false
		default:
			return true
		}
	}
}

func TestProcessIsKilledAndSeenToBeGone(t *testing.T) {
	p, _ := sleeper(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := p.Gone(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a process that runs: gone = %v", err)
	}
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Gone(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnotherProcessOfTheSameNumberIsLeftAlone(t *testing.T) {
	p, lives := sleeper(t)
	earlier := Process{PID: p.PID, Start: p.Start - 1}
	if err := earlier.Signal(unix.SIGKILL); !errors.Is(err, ErrGone) {
		t.Errorf("signal: %v, want ErrGone", err)
	}
	if err := earlier.Gone(t.Context()); err != nil {
		t.Errorf("gone: %v", err)
	}
	if err := p.Signal(0); err != nil || !lives() {
		t.Errorf("the process that has the number now was hit: %v", err)
	}
}

func TestNumberWithoutAProcessIsGone(t *testing.T) {
	if _, err := Identify(1 << 30); !errors.Is(err, ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
	if _, err := Outer(1, []int{os.Getpid()}); !errors.Is(err, ErrGone) {
		t.Errorf("a process without a machine was taken for one of it: %v", err)
	}
}

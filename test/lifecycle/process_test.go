package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"zdl/internal/lab"
	"zdl/test/harness"
)

// process is a zdl that runs.
type process struct {
	cmd   *exec.Cmd
	said  *bytes.Buffer // to be read once it has ended
	ended chan struct{}
}

// begin starts a verb.
func begin(t *testing.T, l *harness.Lab, args ...string) *process {
	t.Helper()
	p := &process{cmd: l.Command(context.Background(), args...), said: &bytes.Buffer{}, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a signal for us is none for it
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }() // the exit code tells
	return p
}

// beginUp starts zdl up and returns when the boot has reached a phase.
func beginUp(t *testing.T, l *harness.Lab, phase string, args ...string) *process {
	t.Helper()
	p := begin(t, l, append([]string{"up"}, args...)...)
	// The daemon tells how far it is to whoever asks.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	reached := errors.New("reached")
	for {
		var err error
		if client, connectErr := lab.Connect(l.Dirs(), l.Name); connectErr == nil {
			err = client.Stream(ctx, "/api/v1/boot", func(_ string, data []byte) error {
				if strings.Contains(string(data), fmt.Sprintf("%q:%q", "phase", phase)) {
					return reached
				}
				return nil
			})
		}
		if errors.Is(err, reached) {
			return p
		}
		select {
		case <-ctx.Done():
			p.signal(syscall.SIGKILL)
			_, said := p.wait(t)
			t.Fatalf("zdl up did not reach the phase %s: %v\n%s", phase, err, said)
		case <-p.ended:
			t.Fatalf("zdl up ended before the phase %s\n%s", phase, p.said)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

// wait returns the exit code and everything it said.
func (p *process) wait(t *testing.T) (code int, said string) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		p.signal(syscall.SIGKILL)
		<-p.ended
		t.Errorf("%v did not end within 30 s of its signal", p.cmd.Args)
	}
	return p.cmd.ProcessState.ExitCode(), p.said.String()
}

package step

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local"
	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
)

// Kill sends SIGKILL to one process of a machine, the first of a container or
// of a service. Whoever watches over it starts another; there is nothing to undo.
type Kill struct {
	w       *World
	Machine string          `json:"machine"`
	What    string          `json:"what"` // in words: "container web of web/web-1"
	Process machine.Process `json:"process"`

	killed  time.Time // when Inject sent the signal, for the evidence
	release func()    // of what makes the end quick
}

// NewContainerKill plans to kill the first process of a container, with which
// the kernel ends all others of the container.
func (w *World) NewContainerKill(c *local.Container) (fault.Step, error) {
	p, err := w.Local.ContainerProcess(c)
	if err != nil {
		return nil, err
	}
	return &Kill{w: w, Machine: c.Machine, What: fmt.Sprintf("container %s of %s/%s", c.Name, c.Namespace, c.Pod), Process: p}, nil
}

// NewServiceKill plans to kill the main process of a machine's service.
func (w *World) NewServiceKill(ctx context.Context, name, service string) (fault.Step, error) {
	p, err := w.Local.ServiceProcess(ctx, name, service)
	if err != nil {
		return nil, err
	}
	return &Kill{w: w, Machine: name, What: "service " + service, Process: p}, nil
}

// Mechanism is "kill".
func (k *Kill) Mechanism() string { return "kill" }

// Touches the process.
func (k *Kill) Touches() []string {
	return []string{fmt.Sprintf("process/%s/%d", k.Machine, k.Process.PID)}
}

// Inject sends the signal to exactly that process.
func (k *Kill) Inject(context.Context) error {
	if k.release == nil {
		k.release = k.Process.Hasten()
	}
	k.killed = time.Now()
	err := k.Process.Signal(unix.SIGKILL)
	if errors.Is(err, machine.ErrGone) {
		return nil // an earlier call did it, or it ended in the moment before
	}
	return err
}

// Verify waits until the process is gone, its memory and connections included.
func (k *Kill) Verify(ctx context.Context) (string, error) {
	err := k.Process.Gone(ctx)
	if k.release != nil {
		k.release()
		k.release = nil
	}
	if err != nil {
		return "", fmt.Errorf("%s on %s: %w", k.What, k.Machine, err)
	}
	after := ""
	if !k.killed.IsZero() {
		after = fmt.Sprintf(" %.1f ms after its SIGKILL", float64(time.Since(k.killed).Microseconds())/1000)
	}
	return fmt.Sprintf("process %d (%s on %s) was gone%s", k.Process.PID, k.What, k.Machine, after), nil
}

// Undo has nothing to do: kubelet or supervisor start another process.
func (k *Kill) Undo(context.Context) error { return nil }

// State is empty: the process does not come back.
func (k *Kill) State(context.Context) (map[string]string, error) { return map[string]string{}, nil }

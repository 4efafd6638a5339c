package local

import (
	"context"
	"fmt"
	"syscall"

	"zdl/internal/cluster/local/machine"
)

// Services lists what a machine's supervisor keeps running. One that is off
// gives machine.ErrOff, and one that is frozen machine.ErrFrozen instead of
// keeping the caller waiting.
func (c *Cluster) Services(ctx context.Context, name string) ([]machine.ServiceStatus, error) {
	m, err := c.awake(name)
	if err != nil {
		return nil, err
	}
	return m.Services(ctx)
}

// StopService ends a service of a machine by a signal and keeps it stopped; it
// returns when its process is gone. Ten seconds after any other signal follows
// SIGKILL.
func (c *Cluster) StopService(ctx context.Context, name, service string, signal syscall.Signal) error {
	m, err := c.awake(name)
	if err != nil {
		return err
	}
	return m.HaltService(ctx, service, signal)
}

// StartService lets a stopped service run again.
func (c *Cluster) StartService(ctx context.Context, name, service string) error {
	m, err := c.awake(name)
	if err != nil {
		return err
	}
	return m.StartService(ctx, service)
}

// ServiceProcess is the main process of a service that runs, or machine.ErrGone.
func (c *Cluster) ServiceProcess(ctx context.Context, name, service string) (machine.Process, error) {
	m, err := c.awake(name)
	if err != nil {
		return machine.Process{}, err
	}
	return m.ServiceProcess(ctx, service)
}

// awake finds a machine whose supervisor can answer.
func (c *Cluster) awake(name string) (*machine.Machine, error) {
	m, err := c.running(name)
	if err != nil {
		return nil, err
	}
	if frozen, err := m.Frozen(); err == nil && frozen {
		return nil, fmt.Errorf("ask the supervisor of %s: %w", name, machine.ErrFrozen)
	}
	return m, nil
}

// BootID is new at each boot of a machine.
func (c *Cluster) BootID(name string) (string, error) {
	m, err := c.running(name)
	if err != nil {
		return "", err
	}
	return m.BootID(), nil
}

// Holder names the machine that has the virtual IP of a purpose at this moment:
// "users", "api" or "gateways"; "" when none has.
func (c *Cluster) Holder(purpose string) string {
	for _, m := range c.Machines() {
		for _, held := range m.Holds {
			if held == purpose {
				return m.Name
			}
		}
	}
	return ""
}

// PauseImage is the image of pods' sandboxes, whose program does nothing.
func (c *Cluster) PauseImage() string { return c.plan.PauseImage }

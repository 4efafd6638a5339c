package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"zdl/internal/cluster/local/machine"
	"zdl/internal/cluster/local/machine/boot"
	"zdl/internal/fault"
)

// ServiceStop ends a service of a machine, kubelet or containerd, through the
// machine's supervisor, which keeps it stopped.
type ServiceStop struct {
	w       *World
	Machine string          `json:"machine"`
	Service string          `json:"service"`
	Signal  syscall.Signal  `json:"signal"`
	Process machine.Process `json:"process,omitzero"`  // which runs when it is planned
	Stopped bool            `json:"stopped,omitempty"` // it was stopped before, and stays so
}

// NewServiceStop plans to end a service by a signal: SIGTERM as systemctl stop
// does, or SIGKILL, which is faster and tells it nothing.
func (w *World) NewServiceStop(ctx context.Context, name, service string, signal syscall.Signal) (fault.Step, error) {
	stopped, err := w.serviceStopped(ctx, name, service)
	if err != nil {
		return nil, err
	}
	s := &ServiceStop{w: w, Machine: name, Service: service, Signal: signal, Stopped: stopped}
	// One that waits to be started again has no process, and needs none.
	s.Process, err = w.Local.ServiceProcess(ctx, name, service)
	if err != nil && !errors.Is(err, machine.ErrGone) {
		return nil, err
	}
	return s, nil
}

// Mechanism is "service-stop".
func (s *ServiceStop) Mechanism() string { return "service-stop" }

// Touches the service's switch.
func (s *ServiceStop) Touches() []string { return []string{"service/" + s.Machine + "/" + s.Service} }

// Inject stops it.
func (s *ServiceStop) Inject(ctx context.Context) error {
	defer s.Process.Hasten()()
	return s.w.Local.StopService(ctx, s.Machine, s.Service, s.Signal)
}

// Verify asks the supervisor, and looks for the process.
func (s *ServiceStop) Verify(ctx context.Context) (string, error) {
	stopped, err := s.w.serviceStopped(ctx, s.Machine, s.Service)
	if err == nil && !stopped {
		err = fmt.Errorf("service %s on %s is not stopped", s.Service, s.Machine)
	}
	if err == nil && s.Process.PID != 0 {
		err = s.Process.Gone(ctx)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("process %d (%s on %s) is gone and its supervisor keeps it stopped", s.Process.PID, s.Service, s.Machine), nil
}

// Undo lets it run again. A machine that is off starts it when it boots.
func (s *ServiceStop) Undo(ctx context.Context) error {
	if s.Stopped {
		return nil
	}
	err := s.w.Local.StartService(ctx, s.Machine, s.Service)
	if errors.Is(err, machine.ErrOff) {
		return nil
	}
	return err
}

// State tells whether the supervisor keeps it stopped.
func (s *ServiceStop) State(ctx context.Context) (map[string]string, error) {
	stopped, err := s.w.serviceStopped(ctx, s.Machine, s.Service)
	if errors.Is(err, machine.ErrOff) {
		err = nil
	}
	state := map[bool]string{true: "stopped", false: "kept running"}[stopped]
	return map[string]string{fmt.Sprintf("service %s on %s", s.Service, s.Machine): state}, err
}

// serviceStopped asks the supervisor of a machine.
func (w *World) serviceStopped(ctx context.Context, name, service string) (bool, error) {
	all, err := w.Local.Services(ctx, name)
	if err != nil {
		return false, err
	}
	at := slices.IndexFunc(all, func(s machine.ServiceStatus) bool { return s.Name == service })
	if at < 0 {
		return false, fmt.Errorf("%s has no service %s", name, service)
	}
	return all[at].State == boot.Stopped || all[at].State == boot.Stopping, nil
}

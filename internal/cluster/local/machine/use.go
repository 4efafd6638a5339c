package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"zdl/internal/cluster/local/machine/boot"
)

// ErrFrozen is returned for a machine that hangs because it was frozen: no
// command can run in it.
var ErrFrozen = errors.New("the machine is frozen")

// Freeze makes the machine hang: every process of it stands still until Thaw,
// while its network still answers as far as the kernel does.
func (m *Machine) Freeze(ctx context.Context) error { return m.group.Freeze(ctx) }

// Thaw ends Freeze.
func (m *Machine) Thaw(ctx context.Context) error { return m.group.Thaw(ctx) }

// Frozen reports whether the machine hangs.
func (m *Machine) Frozen() (bool, error) { return m.group.Frozen() }

// cancelGrace is how long a cancelled command may take to end by itself.
const cancelGrace = 2 * time.Second

// Command prepares a command that runs inside the machine: in its namespaces,
// its root and its control groups. Standard streams and a terminal may be
// attached as with any exec.Cmd; signals sent to it reach the command, its exit
// code is the command's, and when ctx ends the command is killed. Env holds the
// machine's PATH and HOME and may be added to; Dir must stay empty, the command
// starts at the machine's root.
func (m *Machine) Command(ctx context.Context, argv ...string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		return nil, errors.New("no command to run")
	}
	if !m.mark.Alive() {
		return nil, fmt.Errorf("run %s on %s: %w", argv[0], m.plan.Name, ErrOff)
	}
	if frozen, err := m.group.Frozen(); err == nil && frozen {
		return nil, fmt.Errorf("run %s on %s: %w", argv[0], m.plan.Name, ErrFrozen)
	}
	cmd := exec.CommandContext(ctx, m.plan.InitBinary, append([]string{"enter", m.runDir, "--"}, argv...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(boot.KillSignal) }
	cmd.WaitDelay = cancelGrace
	cmd.Env = []string{"PATH=" + boot.Path, "HOME=/root", "LANG=C.UTF-8"}
	if term := os.Getenv("TERM"); term != "" {
		cmd.Env = append(cmd.Env, "TERM="+term)
	}
	return cmd, nil
}

// Services lists what the machine's supervisor keeps running.
func (m *Machine) Services(ctx context.Context) ([]ServiceStatus, error) {
	return m.ask(ctx, boot.Request{Op: boot.OpList})
}

// StartService lets a stopped service run again.
func (m *Machine) StartService(ctx context.Context, name string) error {
	_, err := m.ask(ctx, boot.Request{Op: boot.OpStart, Service: name})
	return err
}

// StopService ends a service, with SIGTERM and after 10 s with SIGKILL, and
// keeps it stopped. It returns when its process is gone; children that left its
// session, such as the shims of containers, live on.
func (m *Machine) StopService(ctx context.Context, name string) error {
	_, err := m.ask(ctx, boot.Request{Op: boot.OpStop, Service: name})
	return err
}

// HaltService ends a service by a signal of the caller's choice and keeps it
// stopped, like StopService.
func (m *Machine) HaltService(ctx context.Context, name string, signal syscall.Signal) error {
	_, err := m.ask(ctx, boot.Request{Op: boot.OpStop, Service: name, Signal: int(signal)})
	return err
}

// RestartService stops a service and lets it start again.
func (m *Machine) RestartService(ctx context.Context, name string) error {
	_, err := m.ask(ctx, boot.Request{Op: boot.OpRestart, Service: name})
	return err
}

// SignalService sends a signal to the main process of a service: SIGKILL is a
// crash, which the supervisor mends; SIGSTOP makes it hang.
func (m *Machine) SignalService(ctx context.Context, name string, signal syscall.Signal) error {
	_, err := m.ask(ctx, boot.Request{Op: boot.OpSignal, Service: name, Signal: int(signal)})
	return err
}

// ask sends one request to the supervisor.
func (m *Machine) ask(ctx context.Context, req boot.Request) ([]ServiceStatus, error) {
	response, err := m.exchange(ctx, req)
	if err == nil && response.Error != "" {
		err = errors.New(response.Error)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s on %s: %w", req.Op, req.Service, m.plan.Name, err)
	}
	return response.Services, nil
}

func (m *Machine) exchange(ctx context.Context, req boot.Request) (*boot.Response, error) {
	if !m.mark.Alive() {
		return nil, ErrOff
	}
	// By way of a directory descriptor: the address of a socket holds 107 bytes.
	dir, err := os.Open(m.runDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", filepath.Join(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), boot.Socket))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(conn).ReadBytes('\n')
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	response := new(boot.Response)
	return response, json.Unmarshal(line, response)
}

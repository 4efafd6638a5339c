package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
)

// PIDLimit lowers the number of tasks that a machine may have to what it has.
type PIDLimit struct {
	w       *World
	Machine string `json:"machine"`
	Leave   int    `json:"leave"`  // how many more it may have
	Before  string `json:"before"` // the limit as it was
	Boot    string `json:"boot"`   // the boot of the machine that Before is of
}

// maxLeave bounds how many processes Verify has to fork.
const maxLeave = 200

// NewPIDLimit plans to exhaust the process numbers of a machine.
func (w *World) NewPIDLimit(name string, leave int) (fault.Step, error) {
	m, err := w.Local.Machine(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &PIDLimit{w: w, Machine: name, Leave: min(leave, maxLeave), Boot: m.BootID()}
	_, p.Before, err = m.Cgroup().Part("").PIDs()
	return p, err
}

// Mechanism is "pid-limit".
func (p *PIDLimit) Mechanism() string { return "pid-limit" }

// Touches the machine's limit of tasks.
func (p *PIDLimit) Touches() []string { return []string{"pids/" + p.Machine} }

// Inject sets the limit. One that was lowered already stays: what ends meanwhile
// must not make it fall further.
func (p *PIDLimit) Inject(context.Context) error {
	m, err := p.w.Local.Machine(p.Machine)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Machine, err)
	}
	part := m.Cgroup().Part("")
	current, limit, err := part.PIDs()
	if err != nil || limit != p.Before {
		return err
	}
	return part.SetPIDs(strconv.Itoa(current + p.Leave))
}

// Verify forks in the machine's control group until it is refused.
func (p *PIDLimit) Verify(ctx context.Context) (string, error) {
	m, err := p.w.Local.Machine(p.Machine)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.Machine, err)
	}
	part := m.Cgroup().Part("")
	current, limit, err := part.PIDs()
	if err != nil {
		return "", err
	}
	forked, refused, err := forkUntilRefused(ctx, p.Leave+1, part.Admit)
	if err != nil {
		return "", err
	}
	if !refused {
		return "", fmt.Errorf("%s let %d processes be forked; %d tasks of %s", p.Machine, forked, current, limit)
	}
	return fmt.Sprintf("%s has %d tasks and may have %s; a fork was refused after %d", p.Machine, current, limit, forked), nil
}

// forkUntilRefused lets a shell, once it was admitted to a control group, fork up
// to a number of processes that end with it.
func forkUntilRefused(ctx context.Context, most int, admit func(pid int) error) (forked int, refused bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// A shell without threads of its own: forking is all it can fail at. Its
	// children must not keep our end of the pipe open when it does.
	const script = `read -r go; i=0; while [ $i -lt "$0" ]; do sleep 5 >/dev/null & i=$((i+1)); echo $i; done`
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script, strconv.Itoa(most))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, false, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, false, err
	}
	if err := cmd.Start(); err != nil {
		return 0, false, err
	}
	group := cmd.Process.Pid
	cmd.Cancel = func() error { return syscall.Kill(-group, syscall.SIGKILL) }
	defer func() {
		_ = syscall.Kill(-group, syscall.SIGKILL) // what it forked holds numbers
		_ = cmd.Wait()
	}()
	if err := admit(group); err != nil {
		return 0, false, fmt.Errorf("enter the control group: %w", err)
	}
	if _, err := io.WriteString(stdin, "go\n"); err != nil {
		return 0, false, err
	}
	last := 0
	for {
		var n int
		if _, err := fmt.Fscan(stdout, &n); err != nil {
			return last, last < most, ctx.Err() // it ended early: refused
		}
		if last = n; last == most {
			return last, false, nil
		}
	}
}

// Undo sets the limit that was. A machine that was off or booted again since has
// its own.
func (p *PIDLimit) Undo(context.Context) error {
	m, err := p.w.Local.Machine(p.Machine)
	if errors.Is(err, machine.ErrOff) {
		return nil
	}
	if err != nil || m.BootID() != p.Boot {
		return err
	}
	return m.Cgroup().Part("").SetPIDs(p.Before)
}

// State is the limit.
func (p *PIDLimit) State(context.Context) (map[string]string, error) {
	m, err := p.w.Local.Machine(p.Machine)
	limit := p.Before // of a machine that is off: its next boot sets it
	if err == nil {
		_, limit, err = m.Cgroup().Part("").PIDs()
	} else if errors.Is(err, machine.ErrOff) {
		err = nil
	}
	return map[string]string{"limit of tasks of " + p.Machine: limit}, err
}

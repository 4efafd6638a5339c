package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/machine/boot"
)

// ErrGone is returned for a process that has ended.
var ErrGone = errors.New("the process is gone")

// Process is one process beyond doubt: its number alone is used again by others.
type Process struct {
	PID   int    `json:"pid"`   // as the host counts
	Start uint64 `json:"start"` // when it started, in clock ticks since the host's boot
}

// Identify takes down which process has a number at this moment.
func Identify(pid int) (Process, error) {
	start, err := boot.Started(pid)
	if err != nil {
		return Process{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	return Process{PID: pid, Start: start}, nil
}

// open gives a descriptor of exactly this process, or ErrGone.
func (p Process) open() (int, error) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err == unix.ESRCH || err == unix.EINVAL { // EINVAL: no first thread of a process any more
		return -1, ErrGone
	}
	if err != nil {
		return -1, fmt.Errorf("process %d: %w", p.PID, err)
	}
	// With the descriptor held the number is not used again, so this is the
	// process that was opened.
	if start, err := boot.Started(p.PID); err != nil || start != p.Start {
		unix.Close(fd)
		return -1, ErrGone
	}
	return fd, nil
}

// Signal sends a signal to exactly this process; ErrGone when it has ended.
func (p Process) Signal(signal unix.Signal) error {
	fd, err := p.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err == unix.ESRCH {
		return ErrGone
	} else if err != nil {
		return fmt.Errorf("send %v to process %d: %w", signal, p.PID, err)
	}
	return nil
}

// Hasten makes the end of a process that is about to be killed quick. What it
// takes for that, release gives back; it is never nil, and to be called when the
// process is gone.
func (p Process) Hasten() (release func()) {
	fd, err := p.open()
	if err != nil {
		return func() {}
	}
	defer unix.Close(fd)
	return holdWatches([]int{p.PID})
}

// Gone waits until the process has ended with all its threads, which frees its
// memory and closes its connections, or until ctx ends.
func (p Process) Gone(ctx context.Context) error {
	fd, err := p.open()
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const slice = 20 * time.Millisecond // between looks at ctx
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(slice.Milliseconds()))
		switch {
		case err != nil && err != unix.EINTR:
			return fmt.Errorf("wait for the end of process %d: %w", p.PID, err)
		case n > 0:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("process %d still runs: %w", p.PID, ctx.Err())
		}
	}
}

// Outer finds a process that the machine calls inside among the host's processes
// with the given numbers, such as those of one of its control groups.
func Outer(inside int, pids []int) (Process, error) {
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // it has ended since it was listed
		}
		// The first number is ours, the second that of the machine, which is a
		// PID namespace right below ours (NSpid in proc_pid_status(5)).
		for line := range strings.Lines(string(status)) {
			if numbers, ok := strings.CutPrefix(line, "NSpid:"); ok {
				if f := strings.Fields(numbers); len(f) > 1 && f[1] == strconv.Itoa(inside) {
					return Identify(pid)
				}
				break
			}
		}
	}
	return Process{}, ErrGone
}

// ServiceProcess is the main process of a service that runs.
func (m *Machine) ServiceProcess(ctx context.Context, name string) (Process, error) {
	services, err := m.Services(ctx)
	if err != nil {
		return Process{}, err
	}
	at := slices.IndexFunc(services, func(s ServiceStatus) bool { return s.Name == name })
	if at < 0 {
		return Process{}, fmt.Errorf("%s has no service %s", m.plan.Name, name)
	}
	if services[at].PID == 0 {
		return Process{}, fmt.Errorf("service %s on %s is %s: %w", name, m.plan.Name, services[at].State, ErrGone)
	}
	pids, err := m.group.Own()
	if err != nil {
		return Process{}, err
	}
	p, err := Outer(services[at].PID, pids)
	if err != nil {
		return Process{}, fmt.Errorf("service %s on %s: %w", name, m.plan.Name, err)
	}
	return p, nil
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local"
)

// Down removes a lab: daemon, machines, network, cgroups and, unless asked to
// keep them, its data. It needs neither a daemon nor a readable lab file, and
// it can be repeated. For a name that is no lab it returns ErrNoLab.
func Down(ctx context.Context, d Dirs, name string, o DownOptions) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if !exists(d.state(name)) && !exists(d.run(name)) {
		return say(ErrNoLab, "no lab %q on this machine, nothing to take down", name)
	}
	busy, err := lock(verbLockPath(d, name))
	if errors.Is(err, errLocked) {
		return fmt.Errorf("another zdl up or down of lab %q is at work: wait for it, or end it first", name)
	}
	if err != nil {
		return err
	}
	defer busy.Close()
	return takeDown(ctx, d, name, o)
}

func takeDown(ctx context.Context, d Dirs, name string, o DownOptions) error {
	begin := time.Now()
	report := func(phase, detail string, done bool) {
		if o.Progress != nil {
			o.Progress(Progress{Phase: phase, Detail: detail, Elapsed: time.Since(begin), Done: done})
		}
	}
	report("daemon", "stop the daemon", false)
	if err := stopDaemon(d, name, 3*time.Second); err != nil {
		return err
	}
	report("daemon", "", true)
	report("machines", "cut the power of all machines", false)
	if err := local.Remove(ctx, name, d.run(name), d.Run); err != nil {
		return err
	}
	report("machines", "", true)
	if err := os.RemoveAll(d.run(name)); err != nil {
		return fmt.Errorf("remove the run directory: %w", err)
	}
	if !o.KeepData {
		report("data", "remove disks and state", false)
		if err := os.RemoveAll(d.state(name)); err != nil {
			return fmt.Errorf("remove the state directory: %w", err)
		}
		report("data", "", true)
	}
	_ = os.Remove(verbLockPath(d, name))
	_ = os.Remove(d.Run) // only when this was the last lab
	if !o.KeepData {
		_ = os.Remove(d.State)
	}
	return nil
}

// stopDaemon asks the daemon to end, waits for it, and kills it if it does not.
func stopDaemon(d Dirs, name string, patience time.Duration) error {
	pid := daemonPID(d, name)
	if pid == 0 {
		return nil
	}
	// The pidfd is taken before the lock is asked again, so that a number that
	// was given to another process meanwhile is never signalled.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return fmt.Errorf("reach the daemon (pid %d): %w", pid, err)
	}
	defer unix.Close(fd)
	if daemonPID(d, name) != pid {
		return nil
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stop the daemon (pid %d): %w", pid, err)
		}
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		deadline := time.Now().Add(patience)
		for {
			n, err := unix.Poll(poll, int(max(time.Until(deadline), 0).Milliseconds()))
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if n > 0 {
				return nil
			}
			break
		}
	}
	return fmt.Errorf("the daemon (pid %d) survives SIGKILL: it hangs in the kernel", pid)
}

package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/disk"
	"zdl/internal/cluster/local/machine/boot"
)

// patience bounds how long the kernel may take to let go of what a dead
// machine held. Milliseconds are normal.
const patience = 10 * time.Second

// PowerOff cuts the machine's power: its first process is killed and with it
// every other, and its disk stops at once, so that only what was synced is on
// it. It returns when every process is gone, the disk is let go of and the
// control groups are removed. A machine that is off already is no error.
func (m *Machine) PowerOff(ctx context.Context) error {
	return powerOff(ctx, m.runDir)
}

// Cut is the part of PowerOff that others see: it returns when the last process
// is gone, and tells how long that took. What is left, control groups and the
// attached disk, tidy removes; it must be called, and until it returns nobody
// else can switch the machine.
func (m *Machine) Cut(ctx context.Context) (gone time.Duration, tidy func(context.Context) error, err error) {
	return cut(ctx, m.runDir)
}

func powerOff(ctx context.Context, runDir string) error {
	_, tidy, err := cut(ctx, runDir)
	if err != nil {
		return err
	}
	return tidy(ctx)
}

func cut(ctx context.Context, runDir string) (gone time.Duration, tidy func(context.Context) error, err error) {
	nothing := func(context.Context) error { return nil }
	lock, err := acquire(ctx, runDir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nothing, nil
	}
	if err != nil {
		return 0, nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	plan, err := boot.ReadPlan(runDir)
	if errors.Is(err, fs.ErrNotExist) { // never got as far as to start anything
		return 0, nothing, lock.Close()
	}
	if err != nil {
		return 0, nil, fmt.Errorf("power off the machine in %s: %w", runDir, err)
	}
	group, err := groupOf(plan)
	if err != nil {
		return 0, nil, err
	}
	if mark, err := boot.ReadMark(runDir); err == nil {
		begin := time.Now()
		if err := kill(ctx, mark, group, plan.Disk != ""); err != nil {
			return 0, nil, fmt.Errorf("power off machine %s: %w", plan.Name, err)
		}
		gone = time.Since(begin)
	}
	return gone, func(ctx context.Context) error {
		defer lock.Close()
		if err := sweep(ctx, group, plan.Disk); err != nil {
			return fmt.Errorf("power off machine %s: %w", plan.Name, err)
		}
		return os.RemoveAll(filepath.Join(runDir, boot.MarkFile))
	}, nil
}

// kill kills the first process and returns when it is gone. The kernel lets it
// go last: it has killed all others of its namespace by then
// (zap_pid_ns_processes in kernel/pid_namespace.c), and has left its mounts.
func kill(ctx context.Context, mark *boot.Mark, group *cgroup.Group, hasDisk bool) error {
	pidfd, err := unix.PidfdOpen(mark.PID, 0)
	if err != nil || !mark.Exists() {
		if err == nil {
			unix.Close(pidfd)
		}
		return nil // it is off, or the number belongs to somebody else now
	}
	defer unix.Close(pidfd)
	var disk *os.File
	if hasDisk {
		disk, _ = os.Open(fmt.Sprintf("/proc/%d/root/var", mark.PID)) // not there yet: nothing to cut
	}
	if pids, err := group.Everyone(); err == nil {
		defer holdWatches(pids)()
	}
	frozen, _ := group.FrozenBelow()
	if len(frozen) > 0 { // those cannot die; they must not wake up for one more step either
		_ = group.Kill()
	}
	_ = group.Hurry() // without it they die all the same, only later
	err = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
	if disk != nil {
		cutDisk(disk)
		disk.Close()
	}
	if err != nil && err != unix.ESRCH {
		return err
	}
	for _, f := range frozen {
		if err := f.Thaw(ctx); err != nil && f.Exists() {
			return err
		}
	}
	return waitGone(ctx, pidfd, mark, group)
}

// cutDisk stops the disk, if dir is one: a machine that was still booting
// shows the host's /var there.
func cutDisk(dir *os.File) {
	var root, parent unix.Stat_t
	if unix.Fstat(int(dir.Fd()), &root) != nil || unix.Fstatat(int(dir.Fd()), "..", &parent, 0) != nil {
		return
	}
	const loopMajor = 7
	if unix.Major(uint64(root.Dev)) != loopMajor || root.Dev == parent.Dev {
		return
	}
	_ = disk.Shutdown(dir) // kernels without it write the disk back instead, which takes longer
}

// waitGone waits until the first process has ended, or until every process of
// the machine has and only waits to be reaped. The first process cannot go
// before that, and processes that came from outside by a command that was
// killed are reaped by the host's init, which may take its time.
func waitGone(ctx context.Context, pidfd int, mark *boot.Mark, group *cgroup.Group) error {
	const slice = 20 // ms
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, slice)
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			return nil
		}
		pids, err := group.Procs()
		if err != nil {
			return err
		}
		if len(pids) == 0 && !mark.Alive() { // dead processes are not listed
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("processes %v are still there: %w", pids, ctx.Err())
		}
	}
}

// sweep removes what a machine without a first process may have left: stray
// processes of its groups, the groups, an attached disk.
func sweep(ctx context.Context, group *cgroup.Group, image string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if group.Exists() {
		if err := group.Kill(); err != nil {
			return err
		}
		frozen, err := group.FrozenBelow()
		if err != nil {
			return err
		}
		for _, f := range frozen {
			if err := f.Thaw(ctx); err != nil && f.Exists() {
				return err
			}
		}
	}
	// Also when there is no group: an interrupted Start may have made the
	// directory above it.
	if err := group.RemoveAll(ctx); err != nil {
		return err
	}
	if image == "" {
		return nil
	}
	for first := true; ; first = false {
		devices, err := disk.Attached(image)
		if err != nil || len(devices) == 0 {
			return err
		}
		if !first {
			if err := disk.Detach(image); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("its disk %s is still in use as %v: %w", image, devices, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Destroy cuts the power of the machine in runDir, if it runs, and removes all
// that is left of it outside its state directory. It is idempotent, and works
// for machines of which a crash left only parts.
func Destroy(ctx context.Context, runDir string) error {
	if err := powerOff(ctx, runDir); err != nil {
		return err
	}
	if err := os.RemoveAll(runDir); err != nil {
		return fmt.Errorf("remove the run directory of a machine: %w", err)
	}
	return nil
}

// acquire takes the lock of a machine, waiting until ctx ends. Closing the
// file gives it back; the first process of a booting machine holds it too.
func acquire(ctx context.Context, runDir string) (*os.File, error) {
	for {
		f, err := os.OpenFile(filepath.Join(runDir, boot.LockFile), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && sameFile(f) {
			return f, nil
		}
		f.Close()
		if err != nil && err != unix.EWOULDBLOCK && err != unix.EINTR {
			return nil, fmt.Errorf("lock %s: %w", runDir, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another start or stop of the machine in %s: %w", runDir, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// sameFile reports whether the open lock still has its name: Destroy takes it
// away.
func sameFile(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(open, named)
}

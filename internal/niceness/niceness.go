// Package niceness gives processes that measure a better place in the kernel's
// queue: a prober or a generator of load that wakes up late would blame the
// service for its own delay. All of it is sched(7), and needs root.
package niceness

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Instrument is the niceness of what measures (-20 to 19; 0 is what everything
// has, the machines of a lab included; -10 weighs about nine times as much).
const Instrument = -10

// During does something with a niceness and by the common policy: what it starts
// inherits that. Without the right to, it is done all the same, as this thread is.
func During(nice int, do func() error) error {
	runtime.LockOSThread() // both are the thread's
	before, err := unix.SchedGetAttr(0, 0)
	if err == nil && unix.SchedSetAttr(0, common(nice), 0) == nil {
		defer func() {
			if unix.SchedSetAttr(0, before, 0) == nil {
				runtime.UnlockOSThread()
			} // else the thread is not what it was: it ends with the goroutine
		}()
	} else {
		defer runtime.UnlockOSThread()
	}
	return do()
}

// Raise gives all threads of this process, and those that they start later, the
// niceness of an instrument, and its session likewise. The function gives the
// session its own back.
func Raise() (restore func(), err error) {
	restore, err = session()
	if err == nil {
		err = threads(common(Instrument), func(now *unix.SchedAttr) bool {
			return now.Policy != unix.SCHED_NORMAL || now.Nice <= Instrument
		})
	}
	return restore, err
}

// Realtime puts all threads of this process, and those that they start, before
// all others (SCHED_RR, priority 1), until the function is called. It is for
// instruments that need little: what they take, they take from everybody, but for
// the twentieth that the kernel keeps.
func Realtime() (restore func(), err error) {
	urgent := func(now *unix.SchedAttr) bool { return now.Policy == unix.SCHED_RR }
	if err := threads(&unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, urgent); err != nil {
		return func() {}, err
	}
	return func() {
		_ = threads(common(Instrument), func(now *unix.SchedAttr) bool { return !urgent(now) })
	}, nil
}

// common is the policy of everything that has no other.
func common(nice int) *unix.SchedAttr {
	return &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: int32(nice)}
}

// threads changes those of this process that are not as they should be.
func threads(to *unix.SchedAttr, fine func(now *unix.SchedAttr) bool) error {
	// A thread that is made meanwhile is as its maker, which may not have been
	// changed yet: look again until nothing is left to do.
	for range 10 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		left := 0
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				return fmt.Errorf("/proc/self/task: %w", err)
			}
			now, err := unix.SchedGetAttr(tid, 0)
			if err == nil && !fine(now) {
				left++
				err = unix.SchedSetAttr(tid, to, 0)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return os.NewSyscallError("sched_setattr", err)
			}
		}
		if left == 0 {
			return nil
		}
	}
	return errors.New("threads appear faster than they can be changed")
}

// autogroup is where the niceness of this process's session is read and set. With
// automatic grouping, which most kernels do by default, sessions compete as
// wholes, and a thread's niceness counts only within its own.
const autogroup = "/proc/self/autogroup"

func session() (restore func(), err error) {
	restore = func() {}
	if on, err := os.ReadFile("/proc/sys/kernel/sched_autogroup_enabled"); err != nil || strings.TrimSpace(string(on)) != "1" {
		return restore, nil
	}
	text, err := os.ReadFile(autogroup) // "/autogroup-25 nice 0"
	if err != nil {
		return restore, err
	}
	_, value, _ := strings.Cut(string(text), " nice ")
	before, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || before <= Instrument {
		return restore, nil // this process is in none, or in one that is urgent
	}
	to := func(nice int) error { return os.WriteFile(autogroup, []byte(strconv.Itoa(nice)), 0) }
	if err := to(Instrument); err != nil {
		return restore, err
	}
	return func() { _ = to(before) }, nil
}

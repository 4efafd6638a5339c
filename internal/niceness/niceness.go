// Package niceness gives processes that measure a better place in the kernel's
// queue: a prober or a generator of load that wakes up late would blame the
// service for its own delay.
//
// The queue has two levels where the kernel groups by session: see Raise.
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

// Instrument is the niceness of what measures (sched(7): -20 to 19, 0 is what
// everything has, the machines of a lab included; -10 weighs about nine times
// as much). Only root may lower it.
const Instrument = -10

// During does something with a niceness: what it starts inherits that. Without
// the right to, it is done all the same, with that of this thread.
func During(nice int, do func() error) error {
	runtime.LockOSThread() // the niceness is the thread's
	before, err := get(0)
	if err == nil && set(0, nice) == nil {
		defer func() {
			if set(0, before) == nil {
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
		err = threads()
	}
	return restore, err
}

// autogroup is where the niceness of this process's session is read and set. With
// automatic grouping, which most kernels do by default, sessions compete as
// wholes, and a thread's niceness counts only within its own (sched(7), "The
// autogroup feature").
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
	if err != nil {
		return restore, nil // this process is in none
	}
	if before <= Instrument {
		return restore, nil
	}
	to := func(nice int) error { return os.WriteFile(autogroup, []byte(strconv.Itoa(nice)), 0) }
	if err := to(Instrument); err != nil {
		return restore, err
	}
	return func() { _ = to(before) }, nil
}

func threads() error {
	// A thread that is made meanwhile has the niceness of its maker, which may
	// not have been raised yet: look again until nothing is left to do.
	for range 10 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		left := 0
		for _, thread := range threads {
			tid, err := strconv.Atoi(thread.Name())
			if err != nil {
				return fmt.Errorf("/proc/self/task: %w", err)
			}
			switch now, err := get(tid); {
			case errors.Is(err, unix.ESRCH) || err == nil && now <= Instrument:
				continue
			case err != nil:
				return err
			}
			left++
			if err := set(tid, Instrument); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		if left == 0 {
			return nil
		}
	}
	return errors.New("threads appear faster than their niceness can be set")
}

func set(tid, nice int) error {
	return os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, tid, nice))
}

// get reads it: the system call itself gives 20 minus the niceness
// (getpriority(2)).
func get(tid int) (int, error) {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
	return 20 - raw, os.NewSyscallError("getpriority", err)
}

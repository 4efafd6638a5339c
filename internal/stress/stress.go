// Package stress is the program that uses up processor time or memory inside a
// control group of a machine, as part of a fault. A keeper outside the group
// starts it, and ends it with its own standard input; so it never outlives the
// daemon that wants it, however throttled the group is.
package stress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/cgroup"
)

// Config says what to use up, and where.
type Config struct {
	Groups []string `json:"groups"` // directories of control groups to join, one per hierarchy
	PIDNS  string   `json:"pidns"`  // PID namespace to live in: the stress ends with its first process
	// Workers use Load of a CPU each, 0 to 1.
	Workers int     `json:"workers,omitempty"`
	Load    float64 `json:"load,omitempty"`
	// Memory bytes are taken at Rate bytes a second, and kept.
	Memory int64 `json:"memory,omitempty"`
	Rate   int64 `json:"rate,omitempty"`
}

// Keep starts the stress and returns when ctx ended, having killed it, or with an
// error when it ended before. program is this executable; args make it call Run.
func Keep(ctx context.Context, data []byte, ready func(), args ...string) error {
	var config Config
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	result := make(chan error, 1)
	go func() {
		// This thread's children are born in the other PID namespace, and are
		// killed when it ends; so it is kept, and then thrown away.
		runtime.LockOSThread()
		result <- keep(ctx, config.PIDNS, data, ready, args)
	}()
	return <-result
}

func keep(ctx context.Context, pidns string, data []byte, ready func(), args []string) error {
	ns, err := os.Open(pidns)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWPID); err != nil {
		return fmt.Errorf("enter the PID namespace: %w", err)
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	cmd.Env = []string{"GOTRACEBACK=none"}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the stress: %w", err)
	}
	// Cancelled from outside the group: one that is throttled would not hear it.
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	word := make([]byte, len(readyWord))
	if _, err = stdin.Write(append(data, '\n')); err == nil {
		if _, err = io.ReadFull(stdout, word); err == nil && string(word) == readyWord {
			ready()
		}
	}
	waitErr := cmd.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errors.New("the stress has ended with its container or was killed for memory"), err, waitErr)
}

const readyWord = "ready\n"

// Run is the stress itself: the first line of in is its Config. It ends when in
// does, or the process is killed.
func Run(in io.Reader) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	// A decoder may read beyond the line; nothing follows it.
	var config Config
	if err := json.NewDecoder(in).Decode(&config); err != nil {
		return err
	}
	if err := cgroup.JoinAt(config.Groups); err != nil {
		return err
	}
	// What people see in ps; else it would be "exe".
	_ = os.WriteFile("/proc/self/comm", []byte("zdl-stress"), 0)
	runtime.GOMAXPROCS(config.Workers + 2)
	for range config.Workers {
		go burn(config.Load)
	}
	if _, err := syscall.Write(1, []byte(readyWord)); err != nil {
		return err
	}
	failed := make(chan error, 1)
	if config.Memory > 0 {
		go func() {
			if err := hoard(config.Memory, config.Rate); err != nil {
				failed <- err
			}
		}()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, in)
	}()
	select {
	case <-ended:
		return nil
	case err := <-failed:
		return err
	}
}

// slice is the time in which a worker reaches its load: short against what
// people notice, long against a switch of threads.
const slice = 20 * time.Millisecond

// burn uses a share of one CPU for ever.
func burn(load float64) {
	runtime.LockOSThread()
	busy := time.Duration(load * float64(slice))
	for {
		begin := time.Now()
		for time.Since(begin) < busy {
			for range 10_000 { // the clock is not what shall be stressed
			}
		}
		if rest := slice - busy; rest > 0 {
			time.Sleep(rest)
		}
	}
}

// chunk is how much memory is taken at once.
const chunk = 1 << 20

// hoard takes memory in a file without a name. It is charged to the control group
// like any other, but to no process: so when the group is out of memory the
// kernel ends what runs there, and not the stress, which holds next to nothing.
func hoard(size, rate int64) error {
	fd, err := unix.MemfdCreate("zdl-stress", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	zeros := make([]byte, chunk)
	begin := time.Now()
	for taken := int64(0); taken < size; {
		if rate > 0 {
			due := time.Duration(float64(taken) / float64(rate) * float64(time.Second))
			time.Sleep(due - time.Since(begin))
		}
		n, err := unix.Pwrite(fd, zeros[:min(chunk, size-taken)], taken)
		switch err {
		case nil:
			taken += int64(n)
		case unix.EINTR, unix.ENOMEM: // the group is full: stay, and try again
			time.Sleep(10 * time.Millisecond)
		default:
			return fmt.Errorf("take memory: %w", err)
		}
	}
	return nil
}

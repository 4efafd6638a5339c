package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/machine/boot"
)

// How services are started, restarted and stopped.
const (
	firstDelay = 200 * time.Millisecond // before the first restart; doubles
	lastDelay  = 5 * time.Second        // at most
	settled    = 10 * time.Second       // of life that end a row of restarts
	stopGrace  = 10 * time.Second       // between SIGTERM and SIGKILL
	stopPoll   = time.Millisecond       // between looks at a service that is to end, at first
	waitPoll   = 10 * time.Millisecond  // between looks at WaitFor, for the first
	waitEager  = 5 * time.Second        // while a boot is on
	waitLazy   = 200 * time.Millisecond // and after that
)

// supervisor keeps the machine's services running and reaps every process that
// lost its parent.
type supervisor struct {
	services []*service
	children children
}

// service is one program that is kept running. Its mutex guards all below.
type service struct {
	boot.Service
	output *logFile

	mu       sync.Mutex
	state    boot.State
	wanted   bool          // whether it is to run
	changed  chan struct{} // closed and replaced when wanted changes
	pid      int
	starts   int
	lastExit string
}

func newSupervisor(services []boot.Service) *supervisor {
	s := &supervisor{}
	for _, spec := range services {
		s.services = append(s.services, &service{
			Service: spec, output: newLogFile("/var/log/" + spec.Name + ".log"),
			state: boot.Waiting, wanted: true, changed: make(chan struct{}),
		})
	}
	return s
}

// start sets all services going. Each has its own goroutine until the machine
// dies.
func (s *supervisor) start() {
	// The first process must not die of a signal from inside its machine. They
	// are caught, not ignored, because children inherit what is ignored.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE)
	go func() {
		for range signals {
		}
	}()
	for _, v := range s.services {
		go s.keep(v)
	}
}

// keep runs one service for ever.
func (s *supervisor) keep(v *service) {
	delay := firstDelay
	for {
		v.waitUntilWanted()
		v.waitForPaths()
		v.dropEmpty()
		if !v.isWanted() {
			continue
		}
		began := time.Now()
		exited, err := s.run(v)
		if err == nil {
			status := <-exited
			v.ended(describe(status))
		} else {
			v.ended(err.Error())
			v.output.note("cannot start: %v", err)
		}
		if time.Since(began) >= settled {
			delay = firstDelay
		}
		if v.isWanted() {
			v.output.note("%s; starts again in %v", v.status().LastExit, delay)
			v.sleep(delay)
			delay = min(2*delay, lastDelay)
		} else {
			delay = firstDelay
		}
	}
}

// run starts the service; the channel tells how it ended.
func (s *supervisor) run(v *service) (<-chan syscall.WaitStatus, error) {
	if len(v.Argv) == 0 {
		return nil, errors.New("no command")
	}
	out, err := v.output.pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	null, err := os.Open("/dev/null")
	if err != nil {
		return nil, err
	}
	defer null.Close()
	attr := &syscall.ProcAttr{
		Dir:   "/",
		Env:   append([]string{"PATH=" + boot.Path, "HOME=/root", "LANG=C.UTF-8"}, v.Env...),
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	pid, exited, err := s.children.fork(v.Argv, attr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.Argv[0], err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pid, v.state = pid, boot.Running
	v.starts++
	if !v.wanted { // stopped between the look and the fork
		v.state = boot.Stopping
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	return exited, nil
}

func (v *service) ended(how string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pid, v.lastExit, v.state = 0, how, boot.BackOff
	if !v.wanted {
		v.state = boot.Stopped
	}
}

func (v *service) isWanted() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.wanted
}

// want changes whether the service is to run and returns its process.
func (v *service) want(run bool) (pid int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.wanted != run {
		v.wanted = run
		close(v.changed)
		v.changed = make(chan struct{})
	}
	switch {
	case !run && v.pid != 0:
		v.state = boot.Stopping
	case !run:
		v.state = boot.Stopped
	}
	return v.pid
}

func (v *service) waitUntilWanted() {
	for {
		v.mu.Lock()
		wanted, changed := v.wanted, v.changed
		if wanted {
			v.state = boot.Waiting
		}
		v.mu.Unlock()
		if wanted {
			return
		}
		<-changed
	}
}

// sleep waits d, or until somebody changes what the service is to do.
func (v *service) sleep(d time.Duration) {
	v.mu.Lock()
	changed := v.changed
	v.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	}
}

// dropEmpty removes what a power cut has left of files that were not synced.
func (v *service) dropEmpty() {
	for _, pattern := range v.DropEmpty {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Size() == 0 {
				_ = os.Remove(path)
			}
		}
	}
}

// waitForPaths returns when every path is there, or the service is no longer
// wanted.
func (v *service) waitForPaths() {
	began := time.Now()
	for _, p := range v.WaitFor {
		for !there(p) && v.isWanted() {
			if time.Since(began) < waitEager {
				v.sleep(waitPoll)
			} else {
				v.sleep(waitLazy)
			}
		}
	}
}

// there reports whether a path exists. A socket must also accept: one that a
// dead server left behind does not count.
func there(path string) bool {
	st, err := os.Stat(path)
	if err != nil {
		return false
	}
	if st.Mode()&os.ModeSocket == 0 {
		return true
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	// EAGAIN: its queue is full. EPROTOTYPE: it is no stream.
	return err == nil || err == unix.EAGAIN || err == unix.EPROTOTYPE
}

func (v *service) status() boot.ServiceStatus {
	v.mu.Lock()
	defer v.mu.Unlock()
	return boot.ServiceStatus{Name: v.Name, State: v.state, PID: v.pid, Starts: v.starts, LastExit: v.lastExit}
}

func describe(w syscall.WaitStatus) string {
	if w.Signaled() {
		return "killed by " + unix.SignalName(w.Signal())
	}
	return fmt.Sprintf("exited with code %d", w.ExitStatus())
}

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// children knows which processes somebody waits for. The first process of a
// machine inherits every orphan, so it waits for all, and only then asks whose
// child that was.
type children struct {
	mu    sync.Mutex
	exits map[int]chan<- syscall.WaitStatus
}

// fork starts a process. The lock is held over the fork, so that even a child
// that dies at once is known before it is reaped.
func (c *children) fork(argv []string, attr *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	if err != nil {
		return 0, nil, err
	}
	exit := make(chan syscall.WaitStatus, 1)
	if c.exits == nil {
		c.exits = map[int]chan<- syscall.WaitStatus{}
	}
	c.exits[pid] = exit
	return pid, exit, nil
}

func (c *children) exited(pid int, status syscall.WaitStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if exit, ok := c.exits[pid]; ok {
		exit <- status
		delete(c.exits, pid)
	}
}

// reap waits for every process of the machine, for ever.
func (s *supervisor) reap() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	for {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if pid <= 0 {
				break
			}
			s.children.exited(pid, status)
		}
		<-signals
	}
}

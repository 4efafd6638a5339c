package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// DialIn opens a connection from inside the network namespace at a path, for
// example a pod's: /proc/PID/ns/net. See Dial.
func DialIn(ctx context.Context, path, network, addr string) (net.Conn, error) {
	f := &Fabric{dir: "/", visits: make(chan struct{}, 1)}
	return f.Dial(ctx, path, network, addr)
}

// Sockets makes TCP sockets inside one network namespace, many a second and one
// after another: it keeps the namespace open, and notices when another one lies
// at its path, as after a machine's power was off.
type Sockets struct {
	path string

	mu     sync.Mutex
	fd     int // of the namespace; -1: not open
	device uint64
	inode  uint64
}

// NewSockets is for the namespace at a path; Close it at the end.
func NewSockets(path string) *Sockets { return &Sockets{path: path, fd: -1} }

// home is the namespace of this process.
var home = sync.OnceValues(func() (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return unix.Open(ownNetNS, unix.O_RDONLY|unix.O_CLOEXEC, 0)
})

// Socket makes an IPv4 TCP socket that does not block. The caller owns it.
func (s *Sockets) Socket() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own, err := home()
	if err != nil {
		return -1, fmt.Errorf("open this process's network namespace: %w", err)
	}
	if err := s.open(); err != nil {
		return -1, err
	}
	runtime.LockOSThread()
	if err := unix.Setns(s.fd, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return -1, fmt.Errorf("enter network namespace %s: %w", s.path, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if back := unix.Setns(own, unix.CLONE_NEWNET); back != nil {
		// A thread in the wrong namespace must not run anything else. It stays
		// locked, so the runtime ends it with its goroutine.
		if err == nil {
			unix.Close(fd)
		}
		return -1, errors.Join(err, fmt.Errorf("leave network namespace %s: %w", s.path, back))
	}
	runtime.UnlockOSThread()
	return fd, os.NewSyscallError("socket", err)
}

// open opens the namespace, if what lies at the path is not open already.
func (s *Sockets) open() error {
	var at unix.Stat_t
	if err := unix.Stat(s.path, &at); err != nil {
		s.shut() // of a machine without power nothing must stay
		return &os.PathError{Op: "stat", Path: s.path, Err: err}
	}
	if s.fd >= 0 && at.Dev == s.device && at.Ino == s.inode {
		return nil
	}
	fd, err := openNamespace(s.path)
	if err != nil {
		return err
	}
	s.shut()
	s.fd, s.device, s.inode = fd, at.Dev, at.Ino
	return nil
}

func (s *Sockets) shut() {
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}

// Close lets go of the namespace.
func (s *Sockets) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut()
}

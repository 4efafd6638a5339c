package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketConn is a connected TCP socket. It does what probes need of a net.Conn with
// half the system calls: a connection per request, hundreds of times a second,
// is most of what a prober costs.
type socketConn struct {
	*os.File
	remote net.Addr
}

func (c *socketConn) LocalAddr() net.Addr  { return nil }
func (c *socketConn) RemoteAddr() net.Addr { return c.remote }

// connectSocket makes a connection of a socket that is not blocking and not
// connected, and closes it if that fails.
func connectSocket(fd int, to netip.AddrPort, deadline time.Time) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	// HTTP/2's first frames are several small writes.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		unix.Close(fd)
		return fail(os.NewSyscallError("setsockopt", err))
	}
	where := &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	err := unix.Connect(fd, where)
	if err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
		unix.Close(fd)
		return fail(os.NewSyscallError("connect", err))
	}
	// It enters the runtime's poller after connect: before, it would count as hung
	// up.
	c := &socketConn{File: os.NewFile(uintptr(fd), "probe"), remote: net.TCPAddrFromAddrPort(to)}
	if err == nil {
		return c, nil
	}
	if err := c.await(where, deadline); err != nil {
		c.Close()
		return fail(err)
	}
	return c, nil
}

// await waits until the connect under way has succeeded or failed.
func (c *socketConn) await(where unix.Sockaddr, deadline time.Time) error {
	if err := c.SetWriteDeadline(deadline); err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Write(func(fd uintptr) bool {
		// A second connect tells in one call: still trying, done, or why not.
		switch err := unix.Connect(int(fd), where); err {
		case unix.EALREADY, unix.EINPROGRESS, unix.EINTR:
			return false
		case nil, unix.EISCONN:
		default:
			failure = os.NewSyscallError("connect", err)
		}
		return true
	})
	return errors.Join(failure, err)
}

// plainSocket makes a socket on this machine.
func plainSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

// literal is the address as a number, if it is IPv4: there is nobody to ask for
// names.
func literal(address string) (netip.AddrPort, bool) {
	to, err := netip.ParseAddrPort(address)
	return to, err == nil && to.Addr().Is4()
}

var errSocket = errors.New("make a socket")

// bySocket connects by a socket of the caller's.
func bySocket(socket func() (int, error), to netip.AddrPort, deadline time.Time) (net.Conn, error) {
	fd, err := socket()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSocket, err)
	}
	return connectSocket(fd, to, deadline)
}

var _ syscall.Conn = (*socketConn)(nil)

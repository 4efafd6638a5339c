package probe

import (
	"net"
	"syscall"
)

// alive tells whether a connection that was used before still stands as far as
// this end can know. Every serious client looks before it sends: what the server
// ended while nothing was under way is nobody's failed request. An idle one must
// not have anything to read either.
func alive(c net.Conn, idle bool) bool {
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok { // below TLS
		c, idle = inner.NetConn(), false // session tickets come unasked
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	ok = false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		ok = err == syscall.EAGAIN || err == syscall.EINTR || err == nil && n > 0 && !idle
	})
	return ok && err == nil
}

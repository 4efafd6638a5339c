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
	state := peek(c)
	return state == nothing || state == something && !idle || state == unknown
}

// silent tells whether nothing has arrived on a connection that has not been read.
func silent(c net.Conn) bool {
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = inner.NetConn()
	}
	return peek(c) == nothing
}

// What can be read from a connection.
type readable int

const (
	unknown readable = iota // it is no socket
	nothing
	something
	theEnd // it was closed or broken
)

// peek looks without reading, also while another goroutine waits for data.
func peek(c net.Conn) readable {
	s, ok := c.(syscall.Conn)
	if !ok {
		return unknown
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return theEnd
	}
	state := theEnd
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		switch n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT); {
		case err == syscall.EAGAIN, err == syscall.EINTR:
			state = nothing
		case err == nil && n > 0:
			state = something
		}
	})
	if err != nil {
		return theEnd
	}
	return state
}

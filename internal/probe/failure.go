package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// DialClass is the class of a request whose connection did not come about. It
// tells a failing service from a prober that could not even try.
func DialClass(err error) Class {
	switch {
	case isTimeout(err), errors.Is(err, syscall.ETIMEDOUT):
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF):
		return Reset
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return Unreachable
	}
	if errors.As(err, new(handshakeError)) {
		return Wrong // it is there, and not who or what it should be
	}
	return Missed // no sockets, no ports, no namespace: nothing was asked of the service
}

// BrokenClass is the class of a request that failed after its connection stood.
func BrokenClass(err error) Class {
	if isTimeout(err) {
		return Timeout
	}
	switch class := DialClass(err); {
	case class == Refused, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return Reset
	case class != Missed:
		return class
	}
	return Wrong // what came back is not the protocol
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

package probe

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// handshakeError is that of a server that was reached, and with which no secure
// connection came about.
type handshakeError struct{ error }

func (e handshakeError) Error() string { return "TLS: " + e.error.Error() }
func (e handshakeError) Unwrap() error { return e.error }

// secure makes a TLS connection of one that stands, or closes it.
func secure(conn net.Conn, config *tls.Config, deadline time.Time) (net.Conn, error) {
	out := tls.Client(conn, config)
	err := conn.SetDeadline(deadline)
	if err == nil {
		// Without a context: with one the handshake would need a goroutine beside it.
		err = out.Handshake()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("with %s: %w", conn.RemoteAddr(), handshakeError{err})
	}
	return out, nil
}

package step

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"zdl/internal/cluster/local/fabric"
	"zdl/internal/fault"
	"zdl/internal/packetfilter"
	"zdl/internal/tcpfault"
)

// TCPDelay puts a slow relay in the way of a machine's connections to one of its
// own ports.
type TCPDelay struct {
	w       *World
	Machine string          `json:"machine"`
	What    string          `json:"what"` // for messages: "API server and etcd"
	Config  tcpfault.Config `json:"config"`
}

// NewTCPDelay plans a slow relay. The server must speak TLS, by which the delay
// is measured.
func (w *World) NewTCPDelay(machine, what string, c tcpfault.Config) fault.Step {
	return &TCPDelay{w: w, Machine: machine, What: what, Config: c}
}

// Mechanism is "tcp-delay".
func (t *TCPDelay) Mechanism() string { return "tcp-delay" }

// Touches the way to that port.
func (t *TCPDelay) Touches() []string {
	return []string{"tcp-delay/" + t.Machine + "/" + t.Config.Server.String()}
}

func (t *TCPDelay) reroute() *reroute {
	return &reroute{w: t.w, key: t.Touches()[0], what: t.What + " on " + t.Machine, verb: "tcpdelay", table: t.Config.Table,
		netns: func() (string, error) {
			path := t.w.Local.NetNS(t.Machine)
			if !packetfilter.IsNamespace(path) {
				return "", fmt.Errorf("%s is off: %w", t.Machine, os.ErrNotExist)
			}
			return path, nil
		}}
}

// Inject starts the relay and resets the connections that do not go through it.
func (t *TCPDelay) Inject(context.Context) error {
	if err := t.reroute().inject(t.Config); err != nil {
		return err
	}
	_, err := t.resetDirect()
	return err
}

// resetDirect resets what is connected to the server past the relay, and counts.
func (t *TCPDelay) resetDirect() (int, error) {
	count := 0
	err := fabric.In(t.w.Local.NetNS(t.Machine), func() (err error) {
		count, err = tcpfault.Reset(t.Config.Server)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reset connections to %s on %s: %w", t.Config.Server, t.Machine, err)
	}
	return count, nil
}

// Verify compares TLS handshakes with the server past the relay and through it,
// and makes sure that nobody has a connection past it.
func (t *TCPDelay) Verify(ctx context.Context) (string, error) {
	netns, err := t.reroute().standing()
	if err != nil {
		return "", err
	}
	if n, err := t.resetDirect(); err != nil || n > 0 {
		return "", errors.Join(err, fmt.Errorf("%d connections went past the relay", n))
	}
	direct, err := handshake(ctx, netns, tcpfault.Self, t.Config.Server)
	if err != nil {
		return "", err
	}
	late, err := handshake(ctx, netns, netip.Addr{}, t.Config.Server)
	if err != nil {
		return "", err
	}
	if late-direct < t.Config.Latency*9/10 {
		return "", fmt.Errorf("a TLS handshake of %s takes %v, past the relay %v", t.What, late, direct)
	}
	return fmt.Sprintf("%s on %s: a TLS round trip takes %.1f ms, past the relay %.1f ms", t.What, t.Machine, ms(late), ms(direct)), nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// handshake measures the time from a ClientHello to the server's answer, on a
// connection that comes from an address, if it is valid. A certificate of ours
// is not needed until after that.
func handshake(ctx context.Context, netns string, from netip.Addr, server netip.AddrPort) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var dialer net.Dialer
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	var conn net.Conn
	err := fabric.In(netns, func() (err error) {
		conn, err = dialer.DialContext(ctx, "tcp4", server.String())
		return err
	})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	begin := time.Now()
	// Who answers is not the question, but when.
	if err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx); err != nil {
		return 0, fmt.Errorf("TLS handshake with %s: %w", server, err)
	}
	return time.Since(begin), nil
}

// Undo ends the relay: what went through it is reset and connects anew.
func (t *TCPDelay) Undo(ctx context.Context) error { return t.reroute().undo(ctx) }

// State tells whether there is a relay.
func (t *TCPDelay) State(context.Context) (map[string]string, error) { return t.reroute().state() }

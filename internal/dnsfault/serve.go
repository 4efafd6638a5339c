package dnsfault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"zdl/internal/packetfilter"
)

// mark is on the packets of the proxy's own questions, which must not come back
// to it. "dns" in ASCII.
const mark = 0x646e73

// patience bounds a question that is passed on. Resolvers ask again after 5 s.
const patience = 4 * time.Second

// Run stands in the way from ready until ctx ends, in the network namespace of
// this process. The packet filter that brings the questions here belongs to the
// process, so it goes when that does.
func Run(ctx context.Context, c Config, ready func()) error {
	packets, streams, port, err := listen(c.Listen)
	if err != nil {
		return err
	}
	defer packets.Close()
	defer streams.Close()
	a := newAnswerer(c, asker(c))
	a.freeze(ctx)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		network := "udp"
		if _, ok := w.RemoteAddr().(*net.TCPAddr); ok {
			network = "tcp"
		}
		if r := a.answer(ctx, network, q); r != nil {
			_ = w.WriteMsg(r) // who asked may be gone
		}
	})
	failed := make(chan error, 2)
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: streams, Handler: handler}} {
		go func() { failed <- s.ActivateAndServe() }()
	}
	table, err := packetfilter.Own(Table(c, port))
	if err != nil {
		return err
	}
	defer table.Close()
	ready()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("serve names: %w", err)
	}
}

// Table is the packet filter that brings questions to a port of the proxy.
func Table(c Config, port uint16) packetfilter.Table {
	chain := packetfilter.Chain{Name: "dns", NAT: true, Priority: -110} // before kube-proxy's, at -100
	if c.Incoming {
		chain.Hook = packetfilter.Prerouting
	} else {
		chain.Hook = packetfilter.Output
		chain.Rules = append(chain.Rules, packetfilter.Rule{Mark: mark, Do: packetfilter.Accept})
	}
	for _, protocol := range []string{"udp", "tcp"} {
		rule := packetfilter.Rule{Protocol: protocol, ToPort: c.Server.Port(), Do: packetfilter.Redirect, Redirect: port}
		if c.Incoming {
			rule.To = []netip.Prefix{netip.PrefixFrom(c.Listen, 32)}
		} else {
			rule.To = []netip.Prefix{netip.PrefixFrom(c.Server.Addr(), 32)}
		}
		chain.Rules = append(chain.Rules, rule)
	}
	return packetfilter.Table{Family: packetfilter.IPv4, Name: c.Table, Chains: []packetfilter.Chain{chain}}
}

// listen takes a port that is free for both protocols.
func listen(addr netip.Addr) (net.PacketConn, net.Listener, uint16, error) {
	var errs error
	for range 16 {
		l, err := net.Listen("tcp4", netip.AddrPortFrom(addr, 0).String())
		if err != nil {
			return nil, nil, 0, fmt.Errorf("listen for questions: %w", err)
		}
		at := l.Addr().(*net.TCPAddr).AddrPort()
		p, err := net.ListenPacket("udp4", at.String())
		if err == nil {
			return p, l, at.Port(), nil
		}
		l.Close()
		errs = errors.Join(errs, err)
	}
	return nil, nil, 0, fmt.Errorf("listen for questions: %w", errs)
}

// asker passes questions on to the real server.
func asker(c Config) func(context.Context, string, *dns.Msg) (*dns.Msg, error) {
	dialer := &net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if controlErr := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
		}); controlErr != nil {
			return controlErr
		}
		return err
	}}
	return func(ctx context.Context, network string, q *dns.Msg) (*dns.Msg, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		client := &dns.Client{Net: network, Dialer: dialer, Timeout: patience, UDPSize: dns.MaxMsgSize}
		r, _, err := client.ExchangeContext(ctx, q, c.Server.String())
		return r, err
	}
}

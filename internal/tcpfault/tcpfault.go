// Package tcpfault is a relay that stands in the way of TCP connections to one
// port of its own machine and passes everything on late. It knows nothing of what
// it carries, so that encrypted connections stay what they are.
package tcpfault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"zdl/internal/packetfilter"
)

// Config says what a relay stands in front of.
type Config struct {
	Server  netip.AddrPort `json:"server"`  // on loopback
	Latency time.Duration  `json:"latency"` // added to each round trip: what goes to the server waits
	Table   string         `json:"table"`   // name of the packet filter that brings connections here
}

// Self is the address that the relay's own connections to a server come from. It
// tells them from those of others.
var Self = netip.MustParseAddr("127.0.0.2")

// buffered is how much of a connection may wait in the relay, in chunks of up to
// 64 KiB: at 50 ms that still lets 1 Gbit/s through.
const buffered = 128

// Run stands in the way from ready until ctx ends, in the network namespace of
// this process. The packet filter belongs to the process, so it goes when that
// does; connections that went through the relay are reset.
func Run(ctx context.Context, c Config, ready func()) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for connections: %w", err)
	}
	defer l.Close()
	table, err := packetfilter.Own(Table(c, l.Addr().(*net.TCPAddr).AddrPort().Port()))
	if err != nil {
		return err
	}
	defer table.Close()
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { l.Close() })
	ready()
	for {
		client, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept connections: %w", err)
		}
		if err != nil { // out of files, for a moment
			time.Sleep(10 * time.Millisecond)
			continue
		}
		group.Go(func() { relay(ctx, client.(*net.TCPConn), c) })
	}
}

// Table is the packet filter that brings connections to a port of the relay.
func Table(c Config, port uint16) packetfilter.Table {
	server := []netip.Prefix{netip.PrefixFrom(c.Server.Addr(), 32)}
	return packetfilter.Table{Family: packetfilter.IPv4, Name: c.Table, Chains: []packetfilter.Chain{{
		Name: "delay", Hook: packetfilter.Output, NAT: true, Priority: -110, // before kube-proxy's, at -100
		Rules: []packetfilter.Rule{
			{From: []netip.Prefix{netip.PrefixFrom(Self, 32)}, Do: packetfilter.Accept},
			{To: server, Protocol: "tcp", ToPort: c.Server.Port(), Do: packetfilter.Redirect, Redirect: port},
		},
	}}}
}

// relay carries one connection until either end closes it or ctx ends.
func relay(ctx context.Context, client *net.TCPConn, c Config) {
	defer client.Close()
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(Self, 0))}
	conn, err := dialer.DialContext(ctx, "tcp4", c.Server.String())
	if err != nil {
		_ = client.SetLinger(0) // a reset, as from a server that is not there
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	stop := context.AfterFunc(ctx, func() {
		for _, end := range []*net.TCPConn{client, server} {
			_ = end.SetLinger(0)
			_ = end.Close()
		}
	})
	defer stop()
	var group sync.WaitGroup
	group.Go(func() { carry(server, client, c.Latency) })
	group.Go(func() { carry(client, server, 0) })
	group.Wait()
}

// chunk is what was read at once, and when it is to go on.
type chunk struct {
	data []byte
	due  time.Time
}

// carry passes what comes from one end to the other, each byte delay after it
// came. An end that was closed is closed in its time as well.
func carry(to, from *net.TCPConn, delay time.Duration) {
	queue := make(chan chunk, buffered)
	go func() {
		defer close(queue)
		for {
			buf := make([]byte, 64<<10)
			n, err := from.Read(buf)
			if n > 0 {
				queue <- chunk{append([]byte(nil), buf[:n]...), time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	failed := false
	for c := range queue { // to its end, so that the reader is not held up
		if failed {
			continue
		}
		time.Sleep(time.Until(c.due))
		if _, err := to.Write(c.data); err != nil {
			failed = true
			_ = from.CloseRead()
		}
	}
	_ = to.CloseWrite()
}

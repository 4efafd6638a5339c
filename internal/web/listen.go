package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"zdl/internal/web/visitor"
)

// NewServer prepares a server for visitors nobody knows: whoever sends slowly,
// or too much, is cut off.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second, // of a request with its body; streams have no end
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    8 << 10, // and 4 KB that net/http adds
	}
}

// CheckPublic tells whether an address is one to listen on for everybody: an IP
// address and a port.
func CheckPublic(address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || a.Port() == 0 {
		return fmt.Errorf("%q is no address to listen on: give an IP address of this machine and a port, for example 0.0.0.0:8420 or [::]:8420", address)
	}
	return nil
}

// CheckLoopback tells whether an address can be reached from this machine only.
func CheckLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: give HOST:PORT, for example 127.0.0.1:8420", address)
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Unmap().IsLoopback() || host == "localhost" {
		return nil
	}
	return fmt.Errorf("other machines could reach %s: for that there is --public, which asks the owner for a token", address)
}

// Socket buffers of a visitor's connection, in bytes. The kernel would grow them
// to megabytes for whoever asks for much and reads nothing.
const (
	sendBuffer    = 128 << 10
	receiveBuffer = 16 << 10
)

// Bound limits how many connections are open at once, all together and of one
// address; one too many is closed at once, so that the others need not wait.
// Trusted proxies have many visitors, and no limit of their own.
func Bound(l net.Listener, limits visitor.Limits, proxies []netip.Prefix) net.Listener {
	return &bounded{Listener: l, limits: limits, proxies: proxies, of: map[netip.Addr]int{}}
}

type bounded struct {
	net.Listener
	limits  visitor.Limits
	proxies []netip.Prefix

	mu  sync.Mutex
	all int
	of  map[netip.Addr]int
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			var passing interface{ Temporary() bool }
			if errors.As(err, &passing) && passing.Temporary() {
				time.Sleep(10 * time.Millisecond) // out of file descriptors, say
				continue
			}
			return nil, err
		}
		peer := peerOf(conn.RemoteAddr().String())
		network := visitor.Network(peer)
		if !b.enter(peer, network) {
			conn.Close()
			continue
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(sendBuffer) // the defaults work, too
			_ = tcp.SetReadBuffer(receiveBuffer)
		}
		return &counted{Conn: conn, closed: sync.OnceFunc(func() { b.leave(network) })}, nil
	}
}

func (b *bounded) enter(peer, network netip.Addr) bool {
	trusted := (&door{Access: Access{Proxies: b.proxies}}).trusted(peer)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all >= b.limits.AllConns || !trusted && b.of[network] >= b.limits.Conns {
		return false
	}
	b.all++
	b.of[network]++
	return true
}

func (b *bounded) leave(network netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.of[network]--; b.of[network] == 0 {
		delete(b.of, network)
	}
}

type counted struct {
	net.Conn
	closed func()
}

func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

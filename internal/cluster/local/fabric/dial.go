package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Dial opens a connection from inside a machine: network is "tcp", "tcp4", "udp"
// or "udp4", addr an IPv4 address and a port. Errors are *net.OpError, like those
// of net.Dialer, so that refused, unreachable and timeout can be told apart; that
// of a machine without a network wraps os.ErrNotExist.
//
// A thread is in the machine's namespace only while the socket is made, some
// microseconds; who waits for an answer holds no thread. The socket stays in the
// namespace for life, and keeps it alive in the kernel.
func (f *Fabric) Dial(ctx context.Context, machine, network, addr string) (net.Conn, error) {
	conn, err := f.dial(ctx, machine, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: dialAddr{network, addr}, Err: err}
	}
	return conn, nil
}

func (f *Fabric) dial(ctx context.Context, machine, network, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	kind, ok := map[string]int{
		"tcp": unix.SOCK_STREAM, "tcp4": unix.SOCK_STREAM, "udp": unix.SOCK_DGRAM, "udp4": unix.SOCK_DGRAM,
	}[network]
	if !ok {
		return nil, net.UnknownNetworkError(network)
	}
	to, err := parseAddr(addr)
	if err != nil {
		return nil, err
	}
	fd := -1
	select {
	case f.visits <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	err = inNamespace(f.Path(machine), func() error {
		fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	<-f.visits
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("from %s: %w", machine, err)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.EINTR) {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	// The socket enters the runtime's poller after connect: before, it would
	// count as hung up.
	file := os.NewFile(uintptr(fd), machine+" to "+addr)
	defer file.Close()
	if err != nil {
		if err := awaitConnect(ctx, file); err != nil {
			return nil, err
		}
	}
	return net.FileConn(file)
}

// awaitConnect waits until a connect under way has succeeded or failed, or ctx
// ends.
func awaitConnect(ctx context.Context, file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { file.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	var failure error
	err = raw.Write(func(fd uintptr) bool {
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil {
			failure = os.NewSyscallError("getsockopt", err)
			return true
		}
		if errno != 0 {
			failure = os.NewSyscallError("connect", unix.Errno(errno))
			return true
		}
		// Without an error it is connected, or still trying.
		_, err = unix.Getpeername(int(fd))
		return err == nil
	})
	if failure != nil {
		return failure
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Listen opens a listener inside a machine, for example a loopback forward's or
// a fake service's. network is "tcp" or "tcp4", addr an IPv4 address and a port.
func (f *Fabric) Listen(ctx context.Context, machine, network, addr string) (net.Listener, error) {
	var l net.Listener
	err := inNamespace(f.Path(machine), func() (err error) {
		// With a literal address ListenConfig makes the socket on this thread.
		if _, err = parseAddr(addr); err == nil {
			l, err = (&net.ListenConfig{}).Listen(ctx, network, addr)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", machine, err)
	}
	return l, nil
}

// Do runs a short function on a thread that is in a machine's network namespace,
// for example to open a socket of another kind. See Dial for connections.
func (f *Fabric) Do(machine string, do func() error) error {
	return inNamespace(f.Path(machine), do)
}

// parseAddr accepts 198.18.0.100:80 and :80; there is nobody here to ask for
// names.
func parseAddr(addr string) (netip.AddrPort, error) {
	if port, ok := strings.CutPrefix(addr, ":"); ok {
		n, err := strconv.ParseUint(port, 10, 16)
		return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n)), err
	}
	to, err := netip.ParseAddrPort(addr)
	if err == nil && !to.Addr().Is4() {
		err = fmt.Errorf("%s: only IPv4 here", addr)
	}
	return to, err
}

// dialAddr is the address in the error of a dial.
type dialAddr struct{ network, addr string }

func (a dialAddr) Network() string { return a.network }
func (a dialAddr) String() string  { return a.addr }

package tcpfault

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// established is TCP_ESTABLISHED of the kernel's net/tcp_states.h.
const established = 1

// Reset resets the open connections to a server on this machine that do not come
// from a relay, at the server's end, in the calling thread's namespace, and
// counts them. Clients that connect again find what packet filter there is then.
func Reset(server netip.AddrPort) (int, error) {
	sockets, err := netlink.SocketDiagTCP(unix.AF_INET)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return 0, fmt.Errorf("list sockets: %w", err)
	}
	count := 0
	for _, s := range sockets {
		local, remote := addrPort(s.ID.Source, s.ID.SourcePort), addrPort(s.ID.Destination, s.ID.DestinationPort)
		if s.State != established || local != server || remote.Addr() == Self {
			continue
		}
		err := netlink.SocketDestroy(net.TCPAddrFromAddrPort(local), net.TCPAddrFromAddrPort(remote))
		if errors.Is(err, unix.ENOENT) {
			continue // closed meanwhile
		}
		if err != nil {
			return count, fmt.Errorf("reset %s: %w", remote, err)
		}
		count++
	}
	return count, nil
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip.To4())
	return netip.AddrPortFrom(a, port)
}

package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"zdl/internal/topology"
)

// mtu of every link, bytes.
const mtu = 1500

// ensureSwitch makes a segment's switch: a bridge without spanning tree, so that
// a port forwards as soon as it is up.
func (f *Fabric) ensureSwitch(s *topology.Segment) error {
	path := f.SwitchPath(s.Name)
	defer f.lock(path)()
	if err := makeNamespace(path, switchSysctls()); err != nil {
		return fmt.Errorf("switch %s: %w", s.Name, err)
	}
	ns, err := enter(path)
	if err != nil {
		return fmt.Errorf("switch %s: %w", s.Name, err)
	}
	defer ns.close()
	if _, err := ns.LinkByName(s.Bridge); isNotFound(err) {
		snooping := false // a plain switch: multicast goes everywhere, without a querier
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = s.Bridge, mtu
		attrs.HardwareAddr = mac(0x5b, s.Subnet.Addr())
		err = ns.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping})
		if err != nil {
			return fmt.Errorf("switch %s: add bridge %s: %w", s.Name, s.Bridge, err)
		}
	} else if err != nil {
		return fmt.Errorf("switch %s: %w", s.Name, err)
	}
	if err := ns.up("lo"); err != nil {
		return fmt.Errorf("switch %s: %w", s.Name, err)
	}
	if err := ns.up(s.Bridge); err != nil {
		return fmt.Errorf("switch %s: %w", s.Name, err)
	}
	return nil
}

// SwitchPort names the interface in a switch's namespace that a machine's cable
// ends at: to-MACHINE, shortened to the 15 characters that Linux allows.
func SwitchPort(m *topology.Machine) string {
	if name := "to-" + m.Name; len(name) < unix.IFNAMSIZ {
		return name
	}
	// No name of a machine holds a tilde, and the index tells nodes apart.
	return fmt.Sprintf("to-%.7s~%d", m.Name, m.Index)
}

// mac derives a locally administered address from an IPv4 address, so that a
// machine keeps it over a power cycle and captures can be read.
func mac(kind byte, a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, kind, b[0], b[1], b[2], b[3]}
}

// namespace is an open network namespace with a netlink socket in it.
type namespace struct {
	*netlink.Handle
	fd int
}

// enter opens the namespace bound to path.
func enter(path string) (*namespace, error) {
	fd, err := openNamespace(path)
	if err != nil {
		return nil, err
	}
	h, err := netlink.NewHandleAt(netns.NsHandle(fd), unix.NETLINK_ROUTE)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink in %s: %w", path, err)
	}
	return &namespace{h, fd}, nil
}

func (n *namespace) close() {
	n.Handle.Close()
	unix.Close(n.fd)
}

// up sets a link up, by name.
func (n *namespace) up(name string) error {
	link, err := n.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if link.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := n.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

func isNotFound(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing)
}

package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"zdl/internal/topology"
)

// Plug gives a machine its network: a namespace, a cable from each port to its
// switch, addresses and routes. It returns the path of the namespace. A machine
// that is plugged in is repaired where something is missing, and its links are
// set up. Up must have made the switches.
func (f *Fabric) Plug(ctx context.Context, m *topology.Machine) (string, error) {
	path := f.Path(m.Name)
	defer f.lock(path)()
	if err := f.plug(ctx, m, path); err != nil {
		return "", fmt.Errorf("plug in %s: %w", m.Name, err)
	}
	return path, nil
}

func (f *Fabric) plug(ctx context.Context, m *topology.Machine, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := makeNamespace(path, machineSysctls(m.Kind)); err != nil {
		return err
	}
	inside, err := enter(path)
	if err != nil {
		return err
	}
	defer inside.close()
	if err := inside.up("lo"); err != nil {
		return err
	}
	for _, p := range m.Ports {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.plugPort(inside, m, p); err != nil {
			return fmt.Errorf("port %s to switch %s: %w", p.Name, p.Segment, err)
		}
	}
	for _, r := range routes(f.topo, m) {
		if err := inside.setRoute(r); err != nil {
			return err
		}
	}
	return nil
}

// plugPort lays the cable of one port.
func (f *Fabric) plugPort(inside *namespace, m *topology.Machine, p topology.Port) error {
	sw, err := enter(f.SwitchPath(p.Segment))
	if err != nil {
		return err
	}
	defer sw.close()
	bridge, err := sw.LinkByName(f.topo.Segment(p.Segment).Bridge)
	if err != nil {
		return err
	}
	near, far, err := ensureCable(inside, sw, m, p)
	if err != nil {
		return err
	}
	for _, a := range addresses(f.topo, m, p) {
		if err := inside.AddrReplace(near, &netlink.Addr{IPNet: ipNet(a)}); err != nil {
			return fmt.Errorf("add address %s: %w", a, err)
		}
	}
	if err := inside.up(p.Name); err != nil {
		return err
	}
	if err := sw.connect(far, bridge); err != nil {
		return err
	}
	return settle(inside, p.Name, sw, far.Attrs().Name)
}

// settle waits until both ends of a cable have noticed that they have a carrier:
// before, the machine drops what it sends and the bridge what arrives. Asking for
// a single link makes the kernel catch up (linkwatch_sync_dev in rtnl_getlink,
// net/core/rtnetlink.c since Linux 6.9); older kernels take some milliseconds.
func settle(inside *namespace, near string, sw *namespace, far string) error {
	_, err := inside.LinkByName(near)
	if err == nil {
		_, err = sw.LinkByName(far)
	}
	return err
}

// ensureCable returns both ends of the cable, made anew unless they belong
// together. A machine that lost its namespace may have left its end behind.
func ensureCable(inside, sw *namespace, m *topology.Machine, p topology.Port) (near, far netlink.Link, err error) {
	near, far, err = bothEnds(inside, sw, m, p)
	if err != nil || near != nil && far != nil &&
		near.Attrs().ParentIndex == far.Attrs().Index && far.Attrs().ParentIndex == near.Attrs().Index {
		return near, far, err
	}
	for ns, link := range map[*namespace]netlink.Link{inside: near, sw: far} {
		if link != nil {
			if err := ns.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
				return nil, nil, fmt.Errorf("remove stale %s: %w", link.Attrs().Name, err)
			}
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = SwitchPort(m), mtu
	attrs.HardwareAddr = mac(0x5c, p.Addr)
	// Ends with equal numbers would make the kernel report a change of carrier up
	// to a second late (linkwatch_urgent_event in net/core/link_watch.c); those of
	// a machine are small.
	attrs.Index = 1000 + int(p.Addr.As4()[3])
	err = sw.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerTxQLen: -1,
		PeerName: p.Name, PeerHardwareAddr: mac(0x5a, p.Addr), PeerNamespace: netlink.NsFd(inside.fd),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("add cable: %w", err)
	}
	near, far, err = bothEnds(inside, sw, m, p)
	if err == nil && (near == nil || far == nil) {
		err = errors.New("the cable vanished while it was laid")
	}
	return near, far, err
}

// bothEnds finds the ends of a cable; one that is missing is nil.
func bothEnds(inside, sw *namespace, m *topology.Machine, p topology.Port) (near, far netlink.Link, err error) {
	if near, err = inside.LinkByName(p.Name); err != nil && !isNotFound(err) {
		return nil, nil, err
	}
	if far, err = sw.LinkByName(SwitchPort(m)); err != nil && !isNotFound(err) {
		return nil, nil, err
	}
	return near, far, nil
}

// connect sets a port up and makes it one of the bridge's.
func (n *namespace) connect(port, bridge netlink.Link) error {
	name := port.Attrs().Name
	if port.Attrs().Flags&net.FlagUp == 0 {
		if err := n.LinkSetUp(port); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
	}
	if port.Attrs().MasterIndex != bridge.Attrs().Index {
		if err := n.LinkSetMaster(port, bridge); err != nil {
			return fmt.Errorf("connect %s to %s: %w", name, bridge.Attrs().Name, err)
		}
	}
	return nil
}

func (n *namespace) setRoute(r route) error {
	kr := &netlink.Route{Dst: ipNet(r.to), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC}
	if r.via.IsValid() {
		link, err := n.LinkByName(r.port)
		if err != nil {
			return err
		}
		kr.LinkIndex, kr.Gw, kr.Flags = link.Attrs().Index, r.via.AsSlice(), int(netlink.FLAG_ONLINK)
	} else {
		kr.Type = unix.RTN_BLACKHOLE
	}
	if err := n.RouteReplace(kr); err != nil {
		return fmt.Errorf("route to %s via %s: %w", r.to, r.via, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// SetLink pulls (up = false) or reconnects all cables of a machine at the
// switch. The machine sees that its carrier is gone; what it sends is lost and
// its peers hear nothing. It keeps addresses and routes. A link that is set up
// carries traffic on return; but what asked for a neighbour's address while it was
// down asks again only after ARP's retransmission time, a second, as on any
// Linux machine. The error of a machine that is not plugged in is os.ErrNotExist.
func (f *Fabric) SetLink(ctx context.Context, m *topology.Machine, up bool) error {
	defer f.lock(f.Path(m.Name))()
	for _, p := range m.Ports {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.setPort(m, p, up); err != nil {
			return fmt.Errorf("link of %s to switch %s: %w", m.Name, p.Segment, err)
		}
	}
	return nil
}

func (f *Fabric) setPort(m *topology.Machine, p topology.Port, up bool) error {
	sw, err := enter(f.SwitchPath(p.Segment))
	if err != nil {
		return err
	}
	defer sw.close()
	port, err := sw.LinkByName(SwitchPort(m))
	if isNotFound(err) {
		return fmt.Errorf("no port %s: %w", SwitchPort(m), os.ErrNotExist)
	}
	if err != nil {
		return err
	}
	if !up {
		return sw.LinkSetDown(port)
	}
	bridge, err := sw.LinkByName(f.topo.Segment(p.Segment).Bridge)
	if err != nil {
		return err
	}
	if err := sw.connect(port, bridge); err != nil {
		return err
	}
	inside, err := enter(f.Path(m.Name))
	if err != nil {
		return err
	}
	defer inside.close()
	return settle(inside, p.Name, sw, SwitchPort(m))
}

// Unplug is the network half of a power cut: the machine's links go down at
// once, so that nothing it still says arrives, then they and its namespace are
// removed. A machine that is not plugged in is no error.
func (f *Fabric) Unplug(ctx context.Context, m *topology.Machine) error {
	path := f.Path(m.Name)
	defer f.lock(path)()
	for _, last := range []bool{false, true} {
		for _, p := range m.Ports {
			if err := f.unplugPort(m, p, last); err != nil {
				return fmt.Errorf("unplug %s from switch %s: %w", m.Name, p.Segment, err)
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if err := removeNamespace(path); err != nil {
		return fmt.Errorf("unplug %s: %w", m.Name, err)
	}
	return nil
}

// unplugPort sets a port down or, the second time, removes the cable.
func (f *Fabric) unplugPort(m *topology.Machine, p topology.Port, remove bool) error {
	sw, err := enter(f.SwitchPath(p.Segment))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sw.close()
	port, err := sw.LinkByName(SwitchPort(m))
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if remove {
		err = sw.LinkDel(port)
	} else {
		err = sw.LinkSetDown(port)
	}
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

package catalogue

import (
	"fmt"
	"net/netip"
	"slices"

	"zdl/internal/fault"
	"zdl/internal/fault/step"
	"zdl/internal/shape"
	"zdl/internal/topology"
)

// shaping is what is to be done to each link of a target.
type shaping struct {
	p         shape.Params
	direction string
	peer      peer
	seed      uint64
}

// peer narrows a shaping; the zero value means everything.
type peer struct {
	prefixes []netip.Prefix
	machines []*topology.Machine // of this lab that are in it
}

// shapeLinks finds the links of a target and plans to shape them.
type shapeLinks func(fault.Target, *shaping) (fault.Step, error)

// link is how an interface is shaped. At a switch, what its owner sends comes in:
// mirrored tells that the interface is at the other end of the owner's cable.
func (s *shaping) link(netns, name string, far *shape.End, mirrored bool) shape.Link {
	l := shape.Link{Netns: netns, Interface: name, Far: far, Seed: s.seed, Filter: shape.Filter{Peers: s.peer.prefixes}}
	sends, receives := &l.Egress, &l.Ingress
	if mirrored {
		sends, receives = receives, sends
	}
	if s.direction != inwards {
		p := s.p
		*sends = &p
	}
	if s.direction != outwards {
		p := s.p
		*receives = &p
	}
	return l
}

// machineLinks are the ends at the switches of a machine's cables: nothing shows
// in the machine itself.
func (c *catalogue) machineLinks(t fault.Target, s *shaping) (fault.Step, error) {
	m := c.Local.Topology.Machine(t.Name)
	if m == nil || m.Kind == topology.KindOutside {
		return nil, fault.Refuse(fmt.Sprintf("%s cannot be shaped: the lab itself stands on it.", t.Name), "a target is "+machineHelp)
	}
	if !c.Local.Powered(m.Name) {
		return nil, fault.Refuse(fmt.Sprintf("%s is off, so its links carry nothing.", m.Name), "zdl node power-on "+m.Name)
	}
	var links []shape.Link
	for _, port := range m.Ports {
		netns, _, name, err := c.Local.SwitchPort(m.Name, port.Name)
		if err != nil {
			return nil, err
		}
		links = append(links, s.link(netns, name, &shape.End{Netns: c.Local.NetNS(m.Name), Interface: port.Name}, true))
	}
	path := step.EchoPath{Netns: c.Local.NetNS(m.Name), From: m.Name}
	return c.NewShape(m.Name, links, path, c.echoTargets(m, s))
}

// echoTargets lists addresses that lie behind the first link of a machine: its
// neighbours on the switch, or machines of the peer.
func (c *catalogue) echoTargets(m *topology.Machine, s *shaping) []netip.Addr {
	var out []netip.Addr
	for _, other := range c.among(s) {
		for _, p := range other.Ports {
			if other.Name != m.Name && (s.peer.prefixes != nil || p.Segment == m.Ports[0].Segment) {
				out = append(out, p.Addr)
			}
		}
	}
	return inside(out, s.peer.prefixes)
}

// among lists the machines that are on, of the peer if there is one.
func (c *catalogue) among(s *shaping) []*topology.Machine {
	all := s.peer.machines
	if s.peer.prefixes == nil {
		all = c.others(nil)
	}
	var out []*topology.Machine
	for _, m := range all {
		if c.Local.Powered(m.Name) {
			out = append(out, m)
		}
	}
	return out
}

// inside keeps the addresses that lie in one of the prefixes, if there are any.
func inside(addrs []netip.Addr, prefixes []netip.Prefix) []netip.Addr {
	if prefixes == nil {
		return addrs
	}
	return slices.DeleteFunc(addrs, func(a netip.Addr) bool {
		return !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	})
}

// podLinks is a pod's interface on its node.
func (c *catalogue) podLinks(t fault.Target, s *shaping) (fault.Step, error) {
	addr, err := c.podAddr(t)
	if err != nil {
		return nil, err
	}
	netns := c.Local.NetNS(t.Node)
	name, err := shape.InterfaceTo(netns, addr)
	if err != nil {
		return nil, fault.Refuse(fmt.Sprintf("The interface of %s on %s was not found: %v.", t.Name, t.Node, err), "wait until the pod runs")
	}
	var far *shape.End
	if inner, err := c.Local.PodNetNS(t.Node, t.UID); err == nil {
		far = &shape.End{Netns: inner, Interface: "eth0"} // what CNI calls it
	}
	links := []shape.Link{s.link(netns, name, far, true)}
	path := step.EchoPath{Netns: netns, From: t.Node}
	to := []netip.Addr{addr}
	if s.peer.prefixes != nil {
		// The echo must be the peer's, or the pod's to it.
		path, to = step.EchoPath{}, nil
		for _, m := range c.among(s) {
			if len(inside([]netip.Addr{m.Addr()}, s.peer.prefixes)) > 0 {
				path, to = step.EchoPath{Netns: c.Local.NetNS(m.Name), From: m.Name}, []netip.Addr{addr}
				break
			}
		}
	}
	return c.NewShape(t.Name, links, path, to)
}

// zoneLinks are the routers' ports on the switch of a zone. Routers talk to each
// other there as well (VRRP); the filter leaves that alone.
func (c *catalogue) zoneLinks(t fault.Target, s *shaping) (fault.Step, error) {
	var own []netip.Prefix
	var from, behind []*topology.Machine
	for _, m := range c.Local.Topology.Nodes() {
		if m.Zone == t.Name {
			own = append(own, machinePrefixes(m)...)
			if c.Local.Powered(m.Name) {
				from = append(from, m)
			}
		}
	}
	for _, m := range c.among(s) {
		if m.Zone != t.Name && m.Kind != topology.KindRouter {
			behind = append(behind, m)
		}
	}
	var to []netip.Addr
	for _, m := range behind {
		to = append(to, m.Addr())
	}
	to = inside(to, s.peer.prefixes)
	if s.peer.prefixes == nil {
		s.peer.prefixes = own
	}
	var links []shape.Link
	for _, r := range c.Local.Topology.Of(topology.KindRouter) {
		for _, port := range r.Ports {
			if port.Segment != t.Name {
				continue
			}
			netns, _, name, err := c.Local.SwitchPort(r.Name, port.Name)
			if err != nil {
				return nil, err
			}
			// At this end the zone sends what goes to the router.
			links = append(links, s.link(netns, name, &shape.End{Netns: c.Local.NetNS(r.Name), Interface: port.Name}, false))
		}
	}
	if len(links) == 0 || len(from) == 0 {
		return nil, fault.Refuse(fmt.Sprintf("Zone %s has no router or no machine that is on.", t.Name), "zdl status shows what is on")
	}
	return c.NewShape("zone "+t.Name, links, step.EchoPath{Netns: c.Local.NetNS(from[0].Name), From: from[0].Name}, to)
}

// shapePeer resolves the parameter peer.
func (c *catalogue) shapePeer(text string) (peer, error) {
	if text == "" {
		return peer{}, nil
	}
	topo := c.Local.Topology
	if m := topo.Machine(text); m != nil {
		return peer{machinePrefixes(m), []*topology.Machine{m}}, nil
	}
	if s := topo.Segment(text); s != nil {
		p := peer{prefixes: []netip.Prefix{s.Subnet}}
		for _, m := range c.others(nil, topology.KindRouter) {
			if m.Ports[0].Segment == text {
				p.machines = append(p.machines, m)
				if m.IsNode() {
					p.prefixes = append(p.prefixes, m.PodCIDR)
				}
			}
		}
		return p, nil
	}
	prefix, err := netip.ParsePrefix(text)
	if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil || !prefix.Addr().Is4() {
		return peer{}, fault.Refuse(fmt.Sprintf("No peer is called %q.", text), "it is "+peerParam.Help)
	}
	return peer{prefixes: []netip.Prefix{prefix.Masked()}, machines: c.others(nil)}, nil
}

// machinePrefixes are the addresses of a machine, and of the pods on it.
func machinePrefixes(m *topology.Machine) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range m.Ports {
		out = append(out, netip.PrefixFrom(p.Addr, 32))
	}
	if m.IsNode() {
		out = append(out, m.PodCIDR)
	}
	return out
}

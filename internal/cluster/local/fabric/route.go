package fabric

import (
	"net/netip"

	"zdl/internal/topology"
)

// route is one entry of a machine's routing table beyond its own subnets.
type route struct {
	to   netip.Prefix // 0.0.0.0/0 is the default route
	via  netip.Addr   // not valid: drop what goes there
	port string       // name of the interface
}

var everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// routes lists the routing table of a machine: a pure function of the wiring.
//
// A machine's default route leads to the gateway of its segment. Routers know
// the way to the pods of every node and have no default route, so nothing leaves
// the lab. Nodes of one segment send each other's pods their packets directly.
// A node drops packets for pods that it does not have (the CNI plugin adds a more
// specific route for each one that it has); sent to the gateway, they would come
// back until their time to live ran out.
func routes(t *topology.Topology, m *topology.Machine) []route {
	var list []route
	if m.Kind != topology.KindRouter {
		list = append(list, route{everywhere, t.Segment(m.Ports[0].Segment).Gateway, m.Ports[0].Name})
	}
	for _, n := range t.Nodes() {
		if n.Name == m.Name {
			list = append(list, route{to: n.PodCIDR})
			continue
		}
		if m.Kind != topology.KindRouter && !m.IsNode() {
			continue
		}
		for _, p := range m.Ports {
			if p.Segment == n.Ports[0].Segment {
				list = append(list, route{n.PodCIDR, n.Addr(), p.Name})
			}
		}
	}
	return list
}

// addresses lists those of one port. A router that is alone owns the gateway
// addresses of its segments and a load balancer that is alone the virtual IPs;
// two share them by VRRP (see package edge).
func addresses(t *topology.Topology, m *topology.Machine, p topology.Port) []netip.Prefix {
	s := t.Segment(p.Segment)
	list := []netip.Prefix{netip.PrefixFrom(p.Addr, s.Subnet.Bits())}
	if len(t.Of(m.Kind)) > 1 {
		return list
	}
	switch m.Kind {
	case topology.KindRouter:
		list = append(list, netip.PrefixFrom(s.Gateway, s.Subnet.Bits()))
	case topology.KindEdge:
		list = append(list, netip.PrefixFrom(topology.UserVIP, 32), netip.PrefixFrom(topology.APIVIP, 32))
	}
	return list
}

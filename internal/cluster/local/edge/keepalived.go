package edge

import (
	"fmt"

	"zdl/internal/topology"
)

// instance is one VRRP instance: a group of addresses that moves between peers.
type instance struct {
	Name      string
	Interface string
	RouterID  int // VRRP's virtual router identifier, 1 to 255; alone in its segment
	Source    string
	Peers     []string
	Addresses []string // with prefix length
}

// keepalivedConf gives keepalived.conf of a load balancer or a router.
func keepalivedConf(t *topology.Topology, m *topology.Machine) ([]byte, error) {
	var instances []instance
	switch m.Kind {
	case topology.KindEdge:
		instances = append(instances, newInstance(t, m, m.Ports[0], "virtual-ips", 100,
			topology.UserVIP.String()+"/32", topology.APIVIP.String()+"/32"))
	case topology.KindRouter:
		for i, p := range m.Ports {
			s := t.Segment(p.Segment)
			instances = append(instances, newInstance(t, m, p, "gateway-"+s.Name, i+1,
				fmt.Sprintf("%s/%d", s.Gateway, s.Subnet.Bits())))
		}
	default:
		return nil, wrongKind(m)
	}
	return render("keepalived.conf.tmpl", map[string]any{
		"Name": m.Name, "Priority": 150 - 10*m.Index, "Instances": instances,
		"Check": map[bool]string{true: haproxyCheck}[m.Kind == topology.KindEdge],
	})
}

// newInstance is about a port and the ports of the same kind of machine in its
// segment.
func newInstance(t *topology.Topology, m *topology.Machine, port topology.Port, name string, id int, addrs ...string) instance {
	in := instance{Name: name, Interface: port.Name, RouterID: id, Source: port.Addr.String(), Addresses: addrs}
	for _, other := range t.Of(m.Kind) {
		for _, p := range other.Ports {
			if p.Segment == port.Segment && other.Name != m.Name {
				in.Peers = append(in.Peers, p.Addr.String())
			}
		}
	}
	return in
}

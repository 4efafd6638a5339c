package topology

import (
	"fmt"
	"net/netip"
	"testing"

	"zdl/internal/labfile"
)

// biggest is the largest lab that a lab file may describe.
func biggest() *labfile.Lab {
	lab := &labfile.Lab{Zones: []string{"a", "b", "c", "d", "e"}, Edge: 2, Routers: 2}
	for i := range 50 {
		role := labfile.Worker
		if i < 5 {
			role = labfile.ControlPlane
		}
		lab.Nodes = append(lab.Nodes, labfile.Node{Name: fmt.Sprintf("n%d", i), Role: role, Zone: lab.Zones[i%5]})
	}
	return lab
}

func TestEveryAddressIsOneMachinesOwn(t *testing.T) {
	topo := New(biggest())
	owner := map[netip.Addr]string{UserVIP: "users' virtual IP", APIVIP: "API's virtual IP"}
	for _, s := range topo.Segments {
		owner[s.Gateway] = "gateway of " + s.Name
	}
	pods := map[netip.Prefix]string{}
	for _, m := range topo.Machines {
		for _, p := range m.Ports {
			if other, taken := owner[p.Addr]; taken {
				t.Errorf("%s and %s both have %s", m.Name, other, p.Addr)
			}
			owner[p.Addr] = m.Name
			if s := topo.Segment(p.Segment); s == nil || !s.Subnet.Contains(p.Addr) {
				t.Errorf("%s has %s on segment %q, which is not in its subnet", m.Name, p.Addr, p.Segment)
			}
		}
		if !m.IsNode() {
			continue
		}
		if other, taken := pods[m.PodCIDR]; taken || !PodCIDR.Contains(m.PodCIDR.Addr()) {
			t.Errorf("pod range %s of %s is outside %s or also %q's", m.PodCIDR, m.Name, PodCIDR, other)
		}
		pods[m.PodCIDR] = m.Name
	}
}

func TestEverythingLiesInTheBenchmarkRange(t *testing.T) {
	benchmark := netip.MustParsePrefix("198.18.0.0/15") // RFC 2544
	topo := New(biggest())
	for _, s := range topo.Segments {
		if !benchmark.Contains(s.Subnet.Addr()) {
			t.Errorf("segment %s is %s", s.Name, s.Subnet)
		}
		if s.Subnet.Overlaps(ServiceCIDR) || s.Subnet.Overlaps(PodCIDR) {
			t.Errorf("segment %s (%s) overlaps the Services or the pods", s.Name, s.Subnet)
		}
	}
	if !ServiceCIDR.Contains(DNS) || !benchmark.Contains(PodCIDR.Addr()) {
		t.Error("Services, DNS or pods lie outside the range")
	}
}

func TestControlPlanesBootBeforeWorkersAndKeepTheirZone(t *testing.T) {
	topo := New(biggest())
	nodes := topo.Nodes()
	if len(nodes) != 50 {
		t.Fatalf("%d nodes, want 50", len(nodes))
	}
	for i, m := range nodes {
		if (m.Kind == KindControlPlane) != (i < 5) {
			t.Errorf("node %d is a %s", i, m.Kind)
		}
		if m.Zone != m.Node.Zone || m.Ports[0].Segment != m.Zone {
			t.Errorf("%s stands in zone %q, plugged into %q, but its file says %q", m.Name, m.Zone, m.Ports[0].Segment, m.Node.Zone)
		}
	}
	if topo.Machine("n7") == nil || topo.Machine("nobody") != nil {
		t.Error("Machine does not find by name")
	}
}

// Package topology turns a lab file into the wiring of a data centre: which
// machines exist, which subnet each stands in and which address it has. It is
// pure: the same lab file always gives the same addresses.
//
// All addresses lie in 198.18.0.0/15, which RFC 2544 reserves for benchmarks,
// so a lab never collides with a network that its host knows:
//
//	198.18.0.0/24      edge: load balancers and the two virtual IPs
//	198.18.Z.0/24      zone Z (1 to 5): the nodes
//	198.18.254.0/24    outside: the users, and where probes and load run
//	198.18.128.0/20    Services
//	198.19.N.0/24      pods of node N (1 to 250)
package topology

import (
	"fmt"
	"net/netip"

	"zdl/internal/labfile"
)

// Well-known addresses, the same in every lab.
var (
	ServiceCIDR = netip.MustParsePrefix("198.18.128.0/20")
	PodCIDR     = netip.MustParsePrefix("198.19.0.0/16")
	DNS         = netip.MustParseAddr("198.18.128.10") // Service kube-dns
	UserVIP     = netip.MustParseAddr("198.18.0.100")  // users' virtual IP, HTTP on port 80, HTTPS on 443
	APIVIP      = netip.MustParseAddr("198.18.0.101")  // API servers' virtual IP, port 6443
	OutsideAddr = netip.MustParseAddr("198.18.254.10") // the machine "outside"
	EdgeNet     = netip.MustParsePrefix("198.18.0.0/24")
	OutsideNet  = netip.MustParsePrefix("198.18.254.0/24")
)

const (
	// APIPort is the port of every API server and of the API's virtual IP.
	APIPort = 6443
	// IngressPort is the host port on which Skipper listens on its nodes.
	IngressPort = 9999
	// IngressTLSPort is where it ends users' TLS.
	IngressTLSPort = 9443
	// UserHost is the name by which users ask for the service over HTTPS: a
	// certificate and the choice of one (SNI, RFC 6066) need a name. It is of a
	// domain that no real name is in (RFC 6761).
	UserHost = "web.zdl.test"
	// EdgeSegment and OutsideSegment name the two segments that are not zones.
	EdgeSegment    = "edge"
	OutsideSegment = "outside"
)

// Kind says what a machine does.
type Kind string

const (
	KindControlPlane Kind = "control-plane"
	KindWorker       Kind = "worker"
	KindEdge         Kind = "edge"    // HAProxy and keepalived: lb-1, lb-2
	KindRouter       Kind = "router"  // router-1, router-2: forwards between all segments
	KindOutside      Kind = "outside" // the client host: outside
)

// Segment is one layer-2 network: a switch and the subnet on it.
type Segment struct {
	Name    string       // a zone's name, "edge" or "outside"
	Zone    bool         // whether it is a zone
	Subnet  netip.Prefix // a /24
	Gateway netip.Addr   // .1, the virtual address that the routers share by VRRP
	Bridge  string       // interface name of the switch in its namespace
}

// Port is one network interface of a machine.
type Port struct {
	Segment string     // which switch it is plugged into
	Name    string     // interface name in the machine: eth0, eth1, …
	Addr    netip.Addr // address in the segment's /24
}

// Machine is anything with a power switch.
type Machine struct {
	Name    string
	Kind    Kind
	Zone    string        // "" for edge, router and outside
	Index   int           // from 1 within its kind (control planes and workers count together)
	Ports   []Port        // routers have one per segment, all others exactly one
	PodCIDR netip.Prefix  // control planes and workers only
	Node    *labfile.Node // control planes and workers only
}

// Addr is the machine's primary address.
func (m *Machine) Addr() netip.Addr { return m.Ports[0].Addr }

// IsNode tells whether the machine is a Kubernetes node.
func (m *Machine) IsNode() bool { return m.Kind == KindControlPlane || m.Kind == KindWorker }

// Topology is the wiring of one lab.
type Topology struct {
	Segments []Segment
	Machines []Machine // routers, edge, outside, control planes, workers: the order in which they boot
}

// New wires a valid lab.
func New(lab *labfile.Lab) *Topology {
	t := &Topology{}
	segment := func(name string, zone bool, subnet netip.Prefix) {
		t.Segments = append(t.Segments, Segment{
			Name: name, Zone: zone, Subnet: subnet, Gateway: host(subnet, 1),
			Bridge: fmt.Sprintf("sw%d", len(t.Segments)),
		})
	}
	segment(EdgeSegment, false, EdgeNet)
	zoneNet := map[string]netip.Prefix{}
	for i, name := range lab.Zones {
		zoneNet[name] = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i + 1), 0}), 24)
		segment(name, true, zoneNet[name])
	}
	segment(OutsideSegment, false, OutsideNet)

	for i := 1; i <= lab.Routers; i++ {
		m := Machine{Name: fmt.Sprintf("router-%d", i), Kind: KindRouter, Index: i}
		for j, s := range t.Segments {
			m.Ports = append(m.Ports, Port{Segment: s.Name, Name: fmt.Sprintf("eth%d", j), Addr: host(s.Subnet, 1+i)})
		}
		t.Machines = append(t.Machines, m)
	}
	for i := 1; i <= lab.Edge; i++ {
		t.Machines = append(t.Machines, Machine{Name: fmt.Sprintf("lb-%d", i), Kind: KindEdge, Index: i,
			Ports: []Port{{Segment: EdgeSegment, Name: "eth0", Addr: host(EdgeNet, 10+i)}}})
	}
	t.Machines = append(t.Machines, Machine{Name: "outside", Kind: KindOutside, Index: 1,
		Ports: []Port{{Segment: OutsideSegment, Name: "eth0", Addr: OutsideAddr}}})
	inZone := map[string]int{}
	index := 0
	for _, role := range []labfile.Role{labfile.ControlPlane, labfile.Worker} {
		for i := range lab.Nodes {
			n := &lab.Nodes[i]
			if n.Role != role {
				continue
			}
			index++
			inZone[n.Zone]++
			t.Machines = append(t.Machines, Machine{
				Name: n.Name, Kind: Kind(role), Zone: n.Zone, Index: index, Node: n,
				Ports:   []Port{{Segment: n.Zone, Name: "eth0", Addr: host(zoneNet[n.Zone], 10+inZone[n.Zone])}},
				PodCIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 19, byte(index), 0}), 24),
			})
		}
	}
	return t
}

// Segment finds a segment by name, or nil.
func (t *Topology) Segment(name string) *Segment {
	for i := range t.Segments {
		if t.Segments[i].Name == name {
			return &t.Segments[i]
		}
	}
	return nil
}

// Machine finds a machine by name, or nil.
func (t *Topology) Machine(name string) *Machine {
	for i := range t.Machines {
		if t.Machines[i].Name == name {
			return &t.Machines[i]
		}
	}
	return nil
}

// Of lists the machines of the given kinds, in boot order.
func (t *Topology) Of(kinds ...Kind) []*Machine {
	var out []*Machine
	for i := range t.Machines {
		for _, k := range kinds {
			if t.Machines[i].Kind == k {
				out = append(out, &t.Machines[i])
			}
		}
	}
	return out
}

// Nodes lists the Kubernetes nodes, control planes first.
func (t *Topology) Nodes() []*Machine { return t.Of(KindControlPlane, KindWorker) }

func host(p netip.Prefix, n int) netip.Addr {
	a := p.Addr().As4()
	a[3] = byte(n)
	return netip.AddrFrom4(a)
}

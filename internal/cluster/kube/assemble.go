package kube

import (
	"cmp"
	"slices"
	"time"

	"zdl/internal/cluster"
)

// assemble builds the snapshot from the tables, everything in a stable order.
func (v *View) assemble() *cluster.Snapshot {
	var nodes []cluster.Node
	v.nodes.each(func(n cluster.Node, seen time.Time) {
		n.Seen = seen
		nodes = append(nodes, n)
	})
	var pods []podRow
	v.pods.each(func(p podRow, seen time.Time) {
		p.Seen = seen
		pods = append(pods, p)
	})
	s := arrange(nodes, pods, v.o.Power)

	s.Synced = v.pods.synced.Load() && v.nodes.synced.Load()
	v.slices.each(func(e []cluster.Endpoint, _ time.Time) { s.Endpoints = append(s.Endpoints, e...) })
	s.PodsSeen, s.EndpointsSeen = v.pods.changedAt(), v.slices.changedAt()
	slices.SortFunc(s.Endpoints, func(a, b cluster.Endpoint) int { return cmp.Compare(a.Pod+a.Address, b.Pod+b.Address) })
	if v.o.Machines != nil {
		s.Machines = append(s.Machines, v.o.Machines()...)
	}
	s.Target.Namespace, s.Target.Service, s.Target.Selector = v.o.Namespace, v.o.Service, v.o.Selector
	v.deployments.each(func(n int, _ time.Time) { s.Target.Desired += n })
	return s
}

// leaders lists who holds the leader leases.
func (v *View) leaders() []cluster.Leader {
	out := []cluster.Leader{}
	for _, t := range v.leases {
		t.each(func(l cluster.Leader, _ time.Time) { out = append(out, l) })
	}
	if v.o.Leaders != nil {
		out = append(out, v.o.Leaders()...)
	}
	return out
}

// arrange sorts nodes into zones and pods onto nodes.
func arrange(nodes []cluster.Node, pods []podRow, power func(string) cluster.Power) *cluster.Snapshot {
	s := &cluster.Snapshot{
		Zones: []cluster.Zone{}, System: []cluster.Pod{}, Pending: []cluster.Pod{},
		Endpoints: []cluster.Endpoint{}, Machines: []cluster.Machine{},
	}
	slices.SortFunc(nodes, func(a, b cluster.Node) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), compareBool(b.ControlPlane, a.ControlPlane), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(pods, func(a, b podRow) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	for _, n := range nodes {
		if power != nil {
			n.Power = power(n.Name)
		}
		n.Pods = []cluster.Pod{} // rows are shared between snapshots
		if z := len(s.Zones); z == 0 || s.Zones[z-1].Name != n.Zone {
			s.Zones = append(s.Zones, cluster.Zone{Name: n.Zone})
		}
		z := &s.Zones[len(s.Zones)-1]
		z.Nodes = append(z.Nodes, n)
	}
	for _, p := range pods {
		n := s.Node(p.Node)
		switch {
		case !p.target:
			s.System = append(s.System, p.Pod)
			if n != nil {
				n.System++
			}
			continue
		case n != nil:
			n.Pods = append(n.Pods, p.Pod)
		default:
			s.Pending = append(s.Pending, p.Pod)
		}
		if p.Ready && p.Alive() {
			s.Target.Ready++
		}
	}
	return s
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

package edge

import "zdl/internal/topology"

// databases lists the nodes by which the load balancers reach the lab's database,
// where there is one: any worker leads to the primary, and without workers any
// control plane.
func databases(t *topology.Topology) []peer {
	nodes := t.Of(topology.KindWorker)
	if len(nodes) == 0 {
		nodes = t.Of(topology.KindControlPlane)
	}
	out := []peer{}
	for _, n := range nodes {
		out = append(out, peer{n.Name, n.Addr().String(), topology.DatabaseNodePort})
	}
	return out
}

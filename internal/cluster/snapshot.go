package cluster

// Nodes lists the nodes of all zones.
func (s *Snapshot) Nodes() []Node {
	var out []Node
	for _, z := range s.Zones {
		out = append(out, z.Nodes...)
	}
	return out
}

// Node finds a node by name, or nil.
func (s *Snapshot) Node(name string) *Node {
	for i := range s.Zones {
		for j := range s.Zones[i].Nodes {
			if n := &s.Zones[i].Nodes[j]; n.Name == name {
				return n
			}
		}
	}
	return nil
}

// TargetPods lists the target's pods, those without a node last.
func (s *Snapshot) TargetPods() []Pod {
	var out []Pod
	for _, z := range s.Zones {
		for _, n := range z.Nodes {
			out = append(out, n.Pods...)
		}
	}
	return append(out, s.Pending...)
}

// TargetPod finds a pod of the target by UID, or nil.
func (s *Snapshot) TargetPod(uid string) *Pod {
	for _, p := range s.TargetPods() {
		if p.UID == uid {
			return &p
		}
	}
	return nil
}

// Alive tells whether the pod exists and was not asked to leave.
func (p *Pod) Alive() bool {
	return p.Deleting.IsZero() && p.Phase != "Failed" && p.Phase != "Succeeded"
}

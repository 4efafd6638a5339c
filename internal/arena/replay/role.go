// Package replay plays the attack of a round once more: the same weapons at the
// same moments on targets in the same roles, against the cluster as it is now.
// What users had of it is measured by the same prober, so that before and after
// can be put side by side.
package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"zdl/internal/cluster"
)

// Role is what a target was to the cluster when it was struck: its place, not
// its name, since most names are gone a moment later.
type Role struct {
	Kind string `json:"kind"` // pod, node, zone, machine, component, lab
	// Name is of a node, zone, machine, component or lab; of a pod it is only for
	// people.
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"` // of a pod
	App       string `json:"app,omitempty"`       // of a pod
	Node      string `json:"node,omitempty"`      // of a pod or component
	Zone      string `json:"zone,omitempty"`
	// Rank is how many older ones of the same app there were in its zone, of a pod.
	Rank int `json:"rank"`
	// ControlPlane: it is a node of the control plane.
	ControlPlane bool `json:"controlPlane,omitempty"`
	// Leader: the component led its kind.
	Leader bool `json:"leader,omitempty"`
}

// String tells the role in words.
func (r Role) String() string {
	switch r.Kind {
	case "pod":
		where := ""
		if r.Zone != "" {
			where = " in " + r.Zone
		}
		return fmt.Sprintf("the %s of %s/%s%s", ordinal(r.Rank), r.Namespace, r.App, where)
	case "component":
		if r.Leader {
			return "the leading " + r.Name
		}
		return r.Name + " on " + r.Node
	}
	return r.Kind + " " + r.Name
}

func ordinal(n int) string {
	if n == 0 {
		return "oldest"
	}
	return fmt.Sprintf("%d. oldest", n+1)
}

// Leaders tells on which node a component leads, "" where that is not known.
type Leaders func(component string) (node string)

// RoleOf gives the role of a target by its ID; see arena.Target for those.
func RoleOf(id string, s *cluster.Snapshot, leaders Leaders) (Role, error) {
	kind, rest, ok := strings.Cut(id, "/")
	if !ok || rest == "" {
		return Role{}, fmt.Errorf("%q is no target", id)
	}
	switch kind {
	case "pod":
		namespace, uid, _ := strings.Cut(rest, "/")
		return roleOfPod(namespace, uid, s)
	case "node":
		n := s.Node(rest)
		if n == nil {
			return Role{}, fmt.Errorf("there is no node %s", rest)
		}
		return Role{Kind: kind, Name: n.Name, Zone: n.Zone, ControlPlane: n.ControlPlane}, nil
	case "component":
		name, node, ok := strings.Cut(rest, "@")
		if !ok {
			return Role{}, fmt.Errorf("%q is no component", id)
		}
		return Role{Kind: kind, Name: name, Node: node, Leader: leaders != nil && leaders(name) == node}, nil
	case "zone", "machine", "lab":
		return Role{Kind: kind, Name: rest}, nil
	}
	return Role{}, fmt.Errorf("%q is no target", id)
}

func roleOfPod(namespace, uid string, s *cluster.Snapshot) (Role, error) {
	zones := zonesOf(s)
	for _, p := range append(s.TargetPods(), s.System...) {
		if p.Namespace != namespace || p.UID != uid {
			continue
		}
		r := Role{Kind: "pod", Name: p.Name, Namespace: namespace, App: p.App, Node: p.Node, Zone: zones[p.Node]}
		for _, other := range podsOf(s, namespace, p.App) {
			if zones[other.Node] == r.Zone && byAge(other, p) < 0 {
				r.Rank++
			}
		}
		return r, nil
	}
	return Role{}, fmt.Errorf("there is no pod %s/%s", namespace, uid)
}

// Find gives the target that has the role now. Where none has, it is one that
// could have it, chosen by the seed: equal clusters and seeds give equal targets.
// Pods that were struck, by their IDs, are passed over: the snapshot may not show
// yet that they are gone. note says that and how the choice differs from the role.
func (r Role) Find(s *cluster.Snapshot, leaders Leaders, struck map[string]bool, seed uint64) (id, note string, err error) {
	switch r.Kind {
	case "pod":
		return r.findPod(s, struck, seed)
	case "node":
		return r.findNode(s, seed)
	case "component":
		return r.findComponent(s, leaders, seed)
	case "zone":
		var names []string
		for _, z := range s.Zones {
			names = append(names, z.Name)
		}
		return r.named(names, seed)
	case "machine":
		var names []string
		kind, _, _ := strings.Cut(r.Name, "-") // lb-1, router-2
		for _, m := range s.Machines {
			if strings.HasPrefix(m.Name, kind+"-") {
				names = append(names, m.Name)
			}
		}
		return r.named(names, seed)
	case "lab":
		return "lab/" + r.Name, "", nil
	}
	return "", "", fmt.Errorf("%q is no kind of target", r.Kind)
}

func (r Role) findPod(s *cluster.Snapshot, struck map[string]bool, seed uint64) (id, note string, err error) {
	zones := zonesOf(s)
	var all, near []cluster.Pod
	for _, p := range podsOf(s, r.Namespace, r.App) {
		if struck[podID(p)] {
			continue
		}
		all = append(all, p)
		if zones[p.Node] == r.Zone {
			near = append(near, p)
		}
	}
	if len(all) == 0 {
		return "", "", fmt.Errorf("no pod of %s/%s is running", r.Namespace, r.App)
	}
	if r.Rank >= 0 && r.Rank < len(near) {
		return podID(near[r.Rank]), "", nil
	}
	from := near // the zone matters more than the age
	if len(from) == 0 {
		from = all
	}
	p := from[seed%uint64(len(from))]
	return podID(p), fmt.Sprintf("%s is not there; %s on %s stands in for it", r, p.Name, p.Node), nil
}

func podID(p cluster.Pod) string { return "pod/" + p.Namespace + "/" + p.UID }

func (r Role) findNode(s *cluster.Snapshot, seed uint64) (id, note string, err error) {
	var same, near []string
	for _, n := range s.Nodes() {
		switch {
		case n.Name == r.Name:
			return "node/" + n.Name, "", nil
		case n.ControlPlane != r.ControlPlane:
		case n.Zone == r.Zone:
			near = append(near, n.Name)
		default:
			same = append(same, n.Name)
		}
	}
	if len(near) > 0 {
		same = near
	}
	return r.named(same, seed)
}

func (r Role) findComponent(s *cluster.Snapshot, leaders Leaders, seed uint64) (id, note string, err error) {
	var on []string
	for _, n := range s.Nodes() {
		if n.ControlPlane {
			on = append(on, n.Name)
		}
	}
	slices.Sort(on)
	node := r.Node
	if r.Leader && leaders != nil {
		if now := leaders(r.Name); now != "" {
			node = now
		}
	}
	if slices.Contains(on, node) {
		return "component/" + r.Name + "@" + node, "", nil
	}
	if len(on) == 0 {
		return "", "", fmt.Errorf("no node runs %s", r.Name)
	}
	other := on[seed%uint64(len(on))]
	return "component/" + r.Name + "@" + other, fmt.Sprintf("%s is not there; that on %s stands in for it", r, other), nil
}

// named is the one of the same name, or one chosen by the seed.
func (r Role) named(names []string, seed uint64) (id, note string, err error) {
	if slices.Contains(names, r.Name) {
		return r.Kind + "/" + r.Name, "", nil
	}
	if len(names) == 0 {
		return "", "", fmt.Errorf("nothing has the role of %s", r)
	}
	slices.Sort(names)
	other := names[seed%uint64(len(names))]
	return r.Kind + "/" + other, fmt.Sprintf("%s is not there; %s stands in for it", r, other), nil
}

// podsOf lists the pods of an app that can be struck, the oldest first.
func podsOf(s *cluster.Snapshot, namespace, app string) []cluster.Pod {
	var out []cluster.Pod
	for _, p := range append(s.TargetPods(), s.System...) {
		if p.Namespace == namespace && p.App == app && p.Alive() && p.Phase == "Running" {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, byAge)
	return out
}

func byAge(a, b cluster.Pod) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
}

func zonesOf(s *cluster.Snapshot) map[string]string {
	out := map[string]string{}
	for _, n := range s.Nodes() {
		out[n.Name] = n.Zone
	}
	return out
}

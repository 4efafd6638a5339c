package arena

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
)

// seen is a target as the cluster shows it, without what the game adds.
type seen struct {
	id, kind, name, title string
	node, zone            string
	group                 int    // index in Level.Targets
	pod                   string // NAMESPACE/NAME of a pod or a component's pod
	part                  string // what belongs together: a new pod of it replaces one that is gone
	created               time.Time
	up                    bool   // it works, as far as Kubernetes and the power switches tell
	refused               string // why it can't be hit now; "" when it can
}

// look lists a level's targets in a snapshot, each once, in the order of the
// level's groups, then by node and name.
func look(l *Level, s *cluster.Snapshot) []seen {
	var out []seen
	for i := range l.Targets {
		g := &l.Targets[i]
		var found []seen
		switch g.Kind {
		case KindPod:
			found = lookPods(g, s)
		case KindNode:
			found = lookNodes(g, s)
		case KindZone:
			found = lookZones(s)
		case KindMachine:
			found = lookMachines(g, s)
		case KindComponent:
			found = lookComponents(g, s)
		case KindLab:
			found = []seen{{id: "lab/" + s.Target.Service, name: s.Target.Service, title: "the lab as a whole", up: true}}
		}
		for _, t := range found {
			t.kind, t.group = g.Kind, i
			if !slices.ContainsFunc(out, func(o seen) bool { return o.id == t.id }) {
				out = append(out, t)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b seen) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.node, b.node), cmp.Compare(a.name, b.name))
	})
	return out
}

func lookPods(g *TargetGroup, s *cluster.Snapshot) []seen {
	var out []seen
	zones := zonesOf(s)
	all := s.System
	if g.Select.Of == SubjectService {
		all = s.TargetPods()
	}
	for i := range all {
		p := &all[i]
		switch {
		case g.Select.Namespace != "" && p.Namespace != g.Select.Namespace,
			len(g.Select.App) > 0 && !slices.Contains(g.Select.App, p.App),
			p.Phase == "Succeeded", p.Phase == "Failed":
			continue
		}
		t := seen{id: "pod/" + p.Namespace + "/" + p.UID, name: p.Name, title: p.Name, node: p.Node, zone: zones[p.Node],
			pod: p.Namespace + "/" + p.UID, part: p.Namespace + "/" + p.App, created: p.Created, up: p.Ready && p.Alive()}
		switch {
		case !p.Alive():
			t.refused = "It is being deleted already."
		case p.Phase != "Running":
			t.refused = "It does not run yet: there is nothing to break."
		}
		out = append(out, t)
	}
	return out
}

func lookNodes(g *TargetGroup, s *cluster.Snapshot) []seen {
	var out []seen
	for _, n := range s.Nodes() {
		if g.Select.Role == "worker" && n.ControlPlane || g.Select.Role == "control-plane" && !n.ControlPlane {
			continue
		}
		out = append(out, seen{id: "node/" + n.Name, name: n.Name, title: n.Name, node: n.Name, zone: n.Zone, up: nodeUp(&n)})
	}
	return out
}

func nodeUp(n *cluster.Node) bool {
	return n.Ready && (n.Power == cluster.PowerOn || n.Power == cluster.PowerUnknown)
}

func lookZones(s *cluster.Snapshot) []seen {
	var out []seen
	for _, z := range s.Zones {
		if z.Name == "" {
			continue
		}
		up := !slices.ContainsFunc(z.Nodes, func(n cluster.Node) bool { return !nodeUp(&n) })
		out = append(out, seen{id: "zone/" + z.Name, name: z.Name, title: z.Name, zone: z.Name, up: up})
	}
	return out
}

func lookMachines(g *TargetGroup, s *cluster.Snapshot) []seen {
	var out []seen
	for _, m := range s.Machines {
		if m.Kind != "edge" && m.Kind != "router" || g.Select.Machine != "" && m.Kind != g.Select.Machine {
			continue
		}
		out = append(out, seen{id: "machine/" + m.Name, name: m.Name, title: m.Name, node: m.Name, up: m.Power == cluster.PowerOn})
	}
	return out
}

func lookComponents(g *TargetGroup, s *cluster.Snapshot) []seen {
	var out []seen
	zones := zonesOf(s)
	for i := range s.System {
		p := &s.System[i]
		if p.Namespace != "kube-system" || !slices.Contains(g.Select.Component, p.App) || !strings.HasSuffix(p.Name, "-"+p.Node) {
			continue // a static pod is named after its node
		}
		out = append(out, seen{id: "component/" + p.App + "@" + p.Node, name: p.App, title: p.App + " on " + p.Node, node: p.Node, zone: zones[p.Node],
			pod: p.Namespace + "/" + p.Name, up: p.Ready})
	}
	return out
}

func zonesOf(s *cluster.Snapshot) map[string]string {
	out := map[string]string{}
	for _, n := range s.Nodes() {
		out[n.Name] = n.Zone
	}
	return out
}

// selector is how a fault of a kind names a target of ours; false if it cannot
// strike it.
func selector(k *fault.Kind, t *seen) (target string, mode fault.Mode, fits bool) {
	switch k.Targets {
	case "pod":
		if t.pod != "" {
			return t.pod, "", true
		}
	case "node":
		switch t.kind {
		case KindNode:
			return t.name, "", true
		case KindComponent:
			return t.node, "", true
		}
	case "control-plane":
		if t.kind == KindComponent && k.DefaultTarget != "leader" && concerns(k.Name, t.name) {
			return t.node, "", true
		}
	case "machine", "machines":
		switch t.kind {
		case KindNode, KindMachine:
			return t.name, "", true
		case KindZone:
			return "zone=" + t.name, fault.All, true
		}
	case "zone":
		if t.kind == KindZone {
			return t.name, "", true
		}
	case "load-balancer":
		if t.kind == KindMachine && strings.HasPrefix(t.name, "lb-") {
			return t.name, "", true
		}
	case "router":
		if t.kind == KindMachine && strings.HasPrefix(t.name, "router-") {
			return t.name, "", true
		}
	}
	if t.kind == KindLab && (k.Targets == "" || k.DefaultTarget != "") && k.Name != "compound" {
		return k.DefaultTarget, "", true
	}
	return "", "", false
}

// concerns tells whether a fault of control planes is about a component:
// apiserver-kill is about kube-apiserver, etcd-member-kill about etcd.
func concerns(kind, component string) bool {
	word, _, _ := strings.Cut(kind, "-")
	return strings.HasSuffix(component, word)
}

// request is what a strike asks of the engine.
func request(k *fault.Kind, w *WeaponFile, t *seen, name string) (fault.Request, error) {
	target, mode, fits := selector(k, t)
	if !fits {
		return fault.Request{}, fmt.Errorf("%s cannot strike %s", k.Name, t.title)
	}
	r := fault.Request{Kind: k.Name, Target: target, Mode: mode, Params: w.Params, By: by(name)}
	if !k.Instant {
		r.For = time.Duration(w.For)
		if r.For == 0 {
			r.For = defaultFor
		}
	}
	return r, nil
}

// defaultFor is how long a fault lasts whose weapon does not say.
const defaultFor = 30 * time.Second

// targetFor is a target of a kind, for checks before there is a real one.
func targetFor(g *TargetGroup) seen {
	t := seen{kind: g.Kind, name: "x", title: "a " + g.Kind}
	switch g.Kind {
	case KindPod:
		t.pod = "x/x"
	case KindComponent:
		t.pod, t.node = "x/x", "x"
		if len(g.Select.Component) > 0 {
			t.name = g.Select.Component[0]
		}
	case KindMachine:
		t.name = "lb-x"
		if g.Select.Machine == "router" {
			t.name = "router-x"
		}
	}
	return t
}

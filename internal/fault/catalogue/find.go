package catalogue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// Help texts for what targets may look like.
const (
	podHelp     = "POD or any or app=NAME (pods of the service), NAMESPACE/POD, NAMESPACE/any, NAMESPACE/app=NAME, node=NODE, zone=ZONE"
	nodeHelp    = "NODE, any, workers, control-planes, zone=ZONE, or several with commas"
	machineHelp = "MACHINE (a node, load balancer or router), a group of nodes such as workers, zone=ZONE, or several with commas"
	zoneHelp    = "ZONE, or any"
)

// pods finds pods: of the target's namespace unless the selector names another.
func (c *catalogue) pods(_ context.Context, selector string) ([]fault.Target, error) {
	snap := c.Snapshot()
	if !snap.Synced {
		return nil, fault.Refuse("The cluster was not seen yet.", "wait until zdl status shows pods")
	}
	namespace, what, ok := strings.Cut(selector, "/")
	if !ok {
		namespace, what = snap.Target.Namespace, selector
	}
	anywhere := strings.HasPrefix(what, "node=") || strings.HasPrefix(what, "zone=")
	var match func(p *cluster.Pod, zone string) bool
	switch {
	case what == "any" || what == "all":
		match = func(*cluster.Pod, string) bool { return true }
	case strings.HasPrefix(what, "app="):
		match = func(p *cluster.Pod, _ string) bool { return p.App == what[len("app="):] }
	case strings.HasPrefix(what, "node="):
		match = func(p *cluster.Pod, _ string) bool { return p.Node == what[len("node="):] }
	case strings.HasPrefix(what, "zone="):
		match = func(_ *cluster.Pod, zone string) bool { return zone == what[len("zone="):] }
	default:
		match = func(p *cluster.Pod, _ string) bool { return p.Name == what || p.UID == what }
	}
	zones := map[string]string{}
	for _, n := range snap.Nodes() {
		zones[n.Name] = n.Zone
	}
	var out []fault.Target
	for _, p := range append(snap.TargetPods(), snap.System...) {
		inside := p.Namespace == namespace || anywhere && !ok && p.Namespace == snap.Target.Namespace
		if !inside || !p.Deleting.IsZero() || p.Phase != "Running" || !match(&p, zones[p.Node]) {
			continue
		}
		out = append(out, fault.Target{Type: "pod", Name: p.Namespace + "/" + p.Name, UID: p.UID, Node: p.Node, Zone: zones[p.Node]})
	}
	return sorted(out), nil
}

// nodes finds Kubernetes nodes.
func (c *catalogue) nodes(_ context.Context, selector string) ([]fault.Target, error) {
	snap := c.Snapshot()
	var out []fault.Target
	for _, word := range strings.Split(selector, ",") {
		before := len(out)
		for _, n := range snap.Nodes() {
			if nodeMatches(&n, word) && !slices.ContainsFunc(out, func(t fault.Target) bool { return t.Name == n.Name }) {
				out = append(out, fault.Target{Type: "node", Name: n.Name, UID: n.UID, Node: n.Name, Zone: n.Zone})
			}
		}
		if len(out) == before {
			return nil, fault.Refuse(fmt.Sprintf("No node matches %q.", word), "a target is "+nodeHelp+"; the nodes are "+strings.Join(nodeNames(&snap), ", "))
		}
	}
	return sorted(out), nil
}

func nodeMatches(n *cluster.Node, word string) bool {
	switch {
	case word == "any", word == "all", word == "nodes", word == n.Name:
		return true
	case word == "workers":
		return !n.ControlPlane
	case word == "control-planes":
		return n.ControlPlane
	}
	zone, ok := strings.CutPrefix(word, "zone=")
	return ok && zone == n.Zone
}

func nodeNames(s *cluster.Snapshot) []string {
	var out []string
	for _, n := range s.Nodes() {
		out = append(out, n.Name)
	}
	slices.Sort(out)
	return out
}

// machines finds machines of the lab, nodes included. It needs no API server.
func (c *catalogue) machines(_ context.Context, selector string) ([]fault.Target, error) {
	var out []fault.Target
	for _, word := range strings.Split(selector, ",") {
		found := c.machinesOf(word)
		if len(found) == 0 {
			var names []string
			for i := range c.Local.Topology.Machines {
				names = append(names, c.Local.Topology.Machines[i].Name)
			}
			return nil, fault.Refuse(fmt.Sprintf("No machine matches %q.", word), "a target is "+machineHelp+"; the machines are "+strings.Join(names, ", "))
		}
		for _, t := range found {
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return sorted(out), nil
}

func (c *catalogue) machinesOf(word string) []fault.Target {
	var out []fault.Target
	for i := range c.Local.Topology.Machines {
		m := &c.Local.Topology.Machines[i]
		zone, byZone := strings.CutPrefix(word, "zone=")
		isNode := m.Kind == topology.KindControlPlane || m.Kind == topology.KindWorker
		switch {
		case word == m.Name, byZone && zone == m.Zone, word == "any" && isNode,
			word == "workers" && m.Kind == topology.KindWorker,
			word == "control-planes" && m.Kind == topology.KindControlPlane,
			word == "nodes" && isNode,
			word == "load-balancers" && m.Kind == topology.KindEdge,
			word == "routers" && m.Kind == topology.KindRouter:
			out = append(out, fault.Target{Type: "machine", Name: m.Name, Node: m.Name, Zone: m.Zone})
		}
	}
	return out
}

// kindOf finds machines of one kind: load balancers, routers.
func (c *catalogue) kindOf(kind topology.Kind, word string) func(context.Context, string) ([]fault.Target, error) {
	return func(_ context.Context, selector string) ([]fault.Target, error) {
		var out []fault.Target
		for _, m := range c.Local.Topology.Of(kind) {
			if selector == "any" || selector == m.Name {
				out = append(out, fault.Target{Type: word, Name: m.Name, Node: m.Name, Zone: m.Zone})
			}
		}
		return sorted(out), nil
	}
}

// zones finds failure domains.
func (c *catalogue) zones(_ context.Context, selector string) ([]fault.Target, error) {
	snap := c.Snapshot()
	var out []fault.Target
	for _, z := range snap.Zones {
		if z.Name != "" && (selector == "any" || selector == z.Name) {
			out = append(out, fault.Target{Type: "zone", Name: z.Name, Zone: z.Name})
		}
	}
	return sorted(out), nil
}

func sorted(t []fault.Target) []fault.Target {
	slices.SortFunc(t, func(a, b fault.Target) int { return cmp.Compare(a.Name, b.Name) })
	return t
}

package labfile

import (
	"fmt"
	"strings"
)

// DefaultProfile is what `zdl up` boots when nobody says anything else.
const DefaultProfile = "ha"

// Version and Kind of every lab file.
const (
	APIVersion = "zdl/v1"
	Kind       = "Lab"
)

// DatabaseTaint keeps everything away from database nodes that does not
// tolerate it; the label of the same key and value attracts databases.
var DatabaseTaint = Taint{Key: "dedicated", Value: "database", Effect: "NoSchedule"}

// size is how big a node is made unless its file says otherwise.
type size struct {
	memory string
	cpus   int
	disk   string
}

var (
	nodeSize     = size{memory: "2Gi", cpus: 2, disk: "10Gi"}
	databaseSize = size{memory: "4Gi", cpus: 2, disk: "10Gi"}
)

// plan is a lab in numbers, before nodes have names and places.
type plan struct {
	timing                            Timing
	zones                             []string
	controlPlanes, workers, databases int
	edge, routers, replicas           int
}

// profiles are the built-in plans, in the order in which they are offered.
var profiles = []struct {
	name, about string
	plan        plan
}{
	{"small", "1 control plane and 2 workers in two zones; one load balancer, one router",
		plan{Realistic, zoneNames(2), 1, 2, 0, 1, 1, 3}},
	{"ha", "3 control planes and 3 workers in three zones; edge pair, router pair",
		plan{Realistic, zoneNames(3), 3, 3, 0, 2, 2, 3}},
	{"shop", "3 control planes, 5 workers and 3 tainted database nodes in three zones; edge pair, router pair",
		plan{Realistic, zoneNames(3), 3, 5, 3, 2, 2, 3}},
}

// Profiles lists the built-in profiles, smallest first.
func Profiles() []string {
	var names []string
	for _, p := range profiles {
		names = append(names, p.name)
	}
	return names
}

// About says in one line what a built-in profile consists of, "" for a name
// that is not one.
func About(profile string) string {
	for _, p := range profiles {
		if p.name == profile {
			return p.about
		}
	}
	return ""
}

// Profile returns a built-in lab: small, ha or shop. The caller owns it.
func Profile(name string) (*Lab, error) {
	p, ok := profilePlan(name)
	if !ok {
		return nil, fmt.Errorf("no profile %q: %s", name, allowed(name, Profiles()))
	}
	return p.lab(), nil
}

func profilePlan(name string) (plan, bool) {
	for _, p := range profiles {
		if p.name == name {
			p.plan.zones = append([]string(nil), p.plan.zones...)
			return p.plan, true
		}
	}
	return plan{}, false
}

// lab gives the plan's nodes their names and places.
func (p plan) lab() *Lab {
	l := &Lab{
		APIVersion: APIVersion, Kind: Kind, Timing: p.timing, Zones: p.zones,
		Edge: p.edge, Routers: p.routers, Replicas: p.replicas,
	}
	l.Nodes = append(l.Nodes, spread(l, "cp", p.controlPlanes, func(n *Node) { n.Role = ControlPlane })...)
	l.Nodes = append(l.Nodes, spread(l, "worker", p.workers, func(n *Node) { n.Role = Worker })...)
	l.Nodes = append(l.Nodes, spread(l, "db", p.databases, func(n *Node) {
		n.Role = Worker
		n.Memory, n.CPUs, n.Disk = databaseSize.memory, databaseSize.cpus, databaseSize.disk
		n.Labels = map[string]string{DatabaseTaint.Key: DatabaseTaint.Value}
		n.Taints = []Taint{DatabaseTaint}
	})...)
	return l
}

// spread makes a group of nodes, one zone after the other. A group smaller
// than the number of zones starts in the first zone that has no node yet, so
// that no zone stays empty while others hold two.
func spread(l *Lab, prefix string, count int, finish func(*Node)) []Node {
	if len(l.Zones) == 0 {
		return nil
	}
	first := 0
	if count < len(l.Zones) {
		used := map[string]bool{}
		for _, n := range l.Nodes {
			used[n.Zone] = true
		}
		for i, z := range l.Zones {
			if !used[z] {
				first = i
				break
			}
		}
	}
	var nodes []Node
	for i := range count {
		n := Node{
			Name: fmt.Sprintf("%s-%d", prefix, i+1), Zone: l.Zones[(first+i)%len(l.Zones)],
			Memory: nodeSize.memory, CPUs: nodeSize.cpus, Disk: nodeSize.disk,
		}
		finish(&n)
		nodes = append(nodes, n)
	}
	return nodes
}

// zoneNames makes zone-a, zone-b, …
func zoneNames(n int) []string {
	var zones []string
	for i := range n {
		zones = append(zones, "zone-"+string(rune('a'+i)))
	}
	return zones
}

// allowed says what may stand where got was found, nearest first guess last.
func allowed(got string, want []string) string {
	s := "allowed: " + strings.Join(want, ", ")
	if m := nearest(got, want); m != "" {
		s += fmt.Sprintf(" (did you mean %q?)", m)
	}
	return s
}

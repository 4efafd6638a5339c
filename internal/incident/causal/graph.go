package causal

import (
	"fmt"
	"slices"
	"time"
)

// Layer is how far a node is from what users feel.
type Layer string

const (
	Effect    Layer = "effect"    // what is felt
	Mechanism Layer = "mechanism" // how it came to that
	Root      Layer = "root"      // what has to be mended
)

// Layers lists them from the outside in.
func Layers() []Layer { return []Layer{Effect, Mechanism, Root} }

// Node is one thing that went wrong.
type Node struct {
	ID     string
	Layer  Layer
	Entity Entity // may be a pattern: any of them
	State  State
	// Optional nodes may be left out of a diagnosis: who goes from their cause to
	// their consequence is right, too.
	Optional bool
}

// Edge leads from a cause to its consequence.
type Edge struct {
	From, To string
	// MaxLag is how long after the cause the consequence may come true and still
	// be its consequence; 0: any time.
	MaxLag time.Duration
}

// Graph is the causal graph of a scenario.
type Graph struct {
	Nodes []Node
	Edges []Edge
}

// Node finds a node, nil for none.
func (g *Graph) Node(id string) *Node {
	for i := range g.Nodes {
		if g.Nodes[i].ID == id {
			return &g.Nodes[i]
		}
	}
	return nil
}

// Causes lists the edges that lead to a node.
func (g *Graph) Causes(id string) []Edge {
	return slices.DeleteFunc(slices.Clone(g.Edges), func(e Edge) bool { return e.To != id })
}

// Of lists the nodes of a layer.
func (g *Graph) Of(l Layer) []Node {
	return slices.DeleteFunc(slices.Clone(g.Nodes), func(n Node) bool { return n.Layer != l })
}

// Check says what is wrong with a graph, or nil: it has no circles, every
// mechanism has a cause and a consequence, no effect is a cause and no root a
// consequence.
func (g *Graph) Check() error {
	ids := map[string]bool{}
	for _, n := range g.Nodes {
		switch {
		case n.ID == "":
			return fmt.Errorf("a node has no id")
		case ids[n.ID]:
			return fmt.Errorf("node %s is there twice", n.ID)
		case !slices.Contains(Layers(), n.Layer):
			return fmt.Errorf("node %s: layer %q: want effect, mechanism or root", n.ID, n.Layer)
		case n.Optional && n.Layer != Mechanism:
			return fmt.Errorf("node %s: only a mechanism can be optional", n.ID)
		}
		if err := CheckState(n.Entity, n.State); err != nil {
			return fmt.Errorf("node %s: %w", n.ID, err)
		}
		ids[n.ID] = true
	}
	seen := map[[2]string]bool{}
	for _, e := range g.Edges {
		from, to := g.Node(e.From), g.Node(e.To)
		switch {
		case from == nil || to == nil:
			return fmt.Errorf("edge %s → %s: there is no such node", e.From, e.To)
		case seen[[2]string{e.From, e.To}]:
			return fmt.Errorf("edge %s → %s is there twice", e.From, e.To)
		case to.Layer == Root:
			return fmt.Errorf("edge %s → %s: a root has no cause", e.From, e.To)
		case from.Layer == Effect && to.Layer != Effect:
			return fmt.Errorf("edge %s → %s: an effect causes nothing but effects", e.From, e.To)
		case e.MaxLag < 0:
			return fmt.Errorf("edge %s → %s: maxLag is 0 or more", e.From, e.To)
		}
		seen[[2]string{e.From, e.To}] = true
	}
	for _, n := range g.Nodes {
		causes := len(g.Causes(n.ID))
		leads := slices.ContainsFunc(g.Edges, func(e Edge) bool { return e.From == n.ID })
		if n.Layer != Root && causes == 0 {
			return fmt.Errorf("node %s has no cause", n.ID)
		}
		if n.Layer != Effect && !leads {
			return fmt.Errorf("node %s leads to nothing", n.ID)
		}
	}
	if order := g.Order(); len(order) != len(g.Nodes) {
		return fmt.Errorf("the edges go in a circle")
	}
	return nil
}

// Order lists the nodes so that causes come before consequences, and otherwise as
// they are written; nodes of a circle are left out.
func (g *Graph) Order() []string {
	var out []string
	done := map[string]bool{}
	for range g.Nodes {
		for _, n := range g.Nodes {
			ready := !done[n.ID] && !slices.ContainsFunc(g.Edges, func(e Edge) bool { return e.To == n.ID && !done[e.From] })
			if ready {
				done[n.ID] = true
				out = append(out, n.ID)
				break
			}
		}
	}
	return out
}

// Without gives the graph without a node: each of its causes leads to each of its
// consequences directly.
func (g *Graph) Without(id string) *Graph {
	out := &Graph{}
	for _, n := range g.Nodes {
		if n.ID != id {
			out.Nodes = append(out.Nodes, n)
		}
	}
	add := func(e Edge) {
		if !slices.ContainsFunc(out.Edges, func(o Edge) bool { return o.From == e.From && o.To == e.To }) {
			out.Edges = append(out.Edges, e)
		}
	}
	for _, e := range g.Edges {
		switch id {
		case e.From:
			for _, c := range g.Causes(id) {
				add(Edge{From: c.From, To: e.To})
			}
		case e.To:
		default:
			add(e)
		}
	}
	return out
}

// Leads tells whether there is a way from one node to another.
func (g *Graph) Leads(from, to string) bool {
	reached := map[string]bool{from: true}
	for _, id := range g.Order() {
		if !reached[id] {
			continue
		}
		for _, e := range g.Edges {
			if e.From == id {
				reached[e.To] = true
			}
		}
	}
	return from != to && reached[to]
}

package grade

import (
	"fmt"
	"slices"
	"strings"

	"zdl/internal/incident/causal"
)

// Edge is a link between two nodes: of the graph, by their ids, or of a diagnosis,
// in words.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// ChainGrade compares the links.
type ChainGrade struct {
	Score   float64 `json:"score"`
	Right   []Edge  `json:"right"`
	Missing []Edge  `json:"missing"`
	// Wrong links do not exist, or lead from consequence to cause.
	Wrong []Edge `json:"wrong"`
	// Skipping links are true and leave a node out: neither right nor wrong.
	Skipping []Edge `json:"skipping"`
	// Layers says which nodes were put into a wrong layer.
	Layers []string `json:"layers"`
	// Left is the first link, seen from the users, at which the diagnosis left the
	// truth; nil when it did not.
	Left *Departure `json:"left,omitempty"`
}

// Departure is where a diagnosis left the truth.
type Departure struct {
	Link Edge   `json:"link"` // of the graph
	Text string `json:"text"`
}

// chain scores links by how many of the true ones and of the claimed ones agree:
// each claim that is wrong costs as much as one that is missing, so to name
// everything is worth little.
func (m *matched) chain() ChainGrade {
	g := ChainGrade{Right: []Edge{}, Missing: []Edge{}, Wrong: []Edge{}, Skipping: []Edge{}, Layers: []string{}}
	has := func(list []Edge, e Edge) bool { return slices.Contains(list, e) }
	wrong := 0
	for _, e := range m.d.Edges {
		from, to := m.node[e.From], m.node[e.To]
		link := Edge{from, to}
		switch {
		case from != "" && from == to: // two words for one node
		case from != "" && to != "" && m.true(link):
			if !has(g.Right, link) {
				g.Right = append(g.Right, link)
			}
		case from != "" && to != "" && m.graph.Leads(from, to):
			if !has(g.Skipping, link) {
				g.Skipping = append(g.Skipping, link)
			}
		default:
			g.Wrong = append(g.Wrong, Edge{m.named[e.From], m.named[e.To]})
			wrong++
		}
	}
	for _, n := range m.d.Nodes {
		id := m.node[n.ID]
		if id == "" {
			wrong++
		} else if want := m.graph.Node(id).Layer; want != n.Layer {
			g.Layers = append(g.Layers, fmt.Sprintf("%s is no %s but a %s", m.named[n.ID], n.Layer, want))
			wrong++
		}
	}
	for _, e := range m.graph.Edges {
		if link := (Edge{e.From, e.To}); !has(g.Right, link) {
			g.Missing = append(g.Missing, link)
		}
	}
	order := func(a, b Edge) int { return strings.Compare(a.From+" "+a.To, b.From+" "+b.To) }
	slices.SortFunc(g.Right, order)
	slices.SortFunc(g.Wrong, order)
	slices.SortFunc(g.Skipping, order)
	g.Score = float64(len(g.Right)) / float64(len(m.graph.Edges)+wrong)
	g.Left = m.left(&g)
	return g
}

func (m *matched) true(e Edge) bool {
	return slices.ContainsFunc(m.graph.Edges, func(x causal.Edge) bool { return x.From == e.From && x.To == e.To })
}

// back lists the links of the graph from the effects to the roots, the nearest to
// the users first.
func back(g *causal.Graph) []causal.Edge {
	var out []causal.Edge
	seen := map[string]bool{}
	var next []string
	for _, n := range g.Of(causal.Effect) {
		// The last effect of several is what users feel.
		if !slices.ContainsFunc(g.Edges, func(e causal.Edge) bool { return e.From == n.ID }) {
			next = append(next, n.ID)
		}
	}
	for len(next) > 0 {
		id := next[0]
		next = next[1:]
		if seen[id] {
			continue
		}
		seen[id] = true
		for _, e := range g.Causes(id) {
			out = append(out, e)
			next = append(next, e.From)
		}
	}
	return out
}

// left walks from what users feel towards the root until a link is not in the
// diagnosis.
func (m *matched) left(g *ChainGrade) *Departure {
	for _, e := range back(m.graph) {
		link := Edge{e.From, e.To}
		if slices.Contains(g.Right, link) {
			continue
		}
		to := m.run.Scenario.Graph.Node(e.To)
		d := &Departure{Link: link, Text: fmt.Sprintf("You have no link that leads to: %s %s.", to.Entity, to.State)}
		if !slices.Contains(m.values(), e.To) {
			d.Text = fmt.Sprintf("You do not have: %s %s.", to.Entity, to.State)
			return d
		}
		var instead []string
		for _, x := range m.d.Edges {
			if m.node[x.To] == e.To && !slices.Contains(g.Right, Edge{m.node[x.From], e.To}) {
				instead = append(instead, m.named[x.From])
			}
		}
		if len(instead) > 0 {
			slices.Sort(instead)
			d.Text = fmt.Sprintf("You say that %s %s comes from %s.", to.Entity, to.State, strings.Join(instead, " and "))
		}
		return d
	}
	return nil
}

// values lists the nodes of the graph that the diagnosis has.
func (m *matched) values() []string {
	var out []string
	for _, id := range m.node {
		out = append(out, id)
	}
	return out
}

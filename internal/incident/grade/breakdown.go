package grade

import (
	"slices"
	"time"

	"zdl/internal/incident/causal"
)

// Link is a link of what really happened, with this run's times and facts.
type Link struct {
	Effect  Told    `json:"effect"`
	Cause   Told    `json:"cause"`
	LagMS   float64 `json:"lagMs"` // from cause to effect
	Yours   bool    `json:"yours"` // the diagnosis has this link
	Departs string  `json:"departs,omitempty"`
	// Decoys say why what was taken for the cause cannot be it.
	Decoys []string `json:"decoys,omitempty"`
}

// Told is a node with what was seen of it.
type Told struct {
	ID     string        `json:"id"`
	Entity causal.Entity `json:"entity"`
	State  causal.State  `json:"state"`
	Says   string        `json:"says"`
	At     time.Time     `json:"at"`
	Fact   string        `json:"fact"`
}

// breakdown tells the whole chain from what users feel to the root.
func (m *matched) breakdown(v *Validation, g *Grade) []Link {
	s := m.run.Scenario
	told := func(id string) Told {
		n, t := s.Graph.Node(id), v.Nodes[id]
		return Told{ID: id, Entity: n.Entity, State: n.State, Says: s.Nodes[id].Says, At: t.At, Fact: t.Fact}
	}
	out := []Link{}
	for _, e := range back(&s.Graph) {
		l := Link{Effect: told(e.To), Cause: told(e.From), Yours: slices.Contains(g.Chain.Right, Edge{e.From, e.To})}
		l.LagMS = float64(l.Effect.At.Sub(l.Cause.At).Microseconds()) / 1000
		if left := g.Chain.Left; left != nil && left.Link == (Edge{e.From, e.To}) {
			l.Departs = left.Text
		}
		for _, x := range m.d.Edges {
			if m.node[x.To] != e.To || m.node[x.From] != "" {
				continue
			}
			for _, d := range g.Decoys {
				if d.Named == m.named[x.From] {
					l.Decoys = append(l.Decoys, d.Why)
				}
			}
		}
		out = append(out, l)
	}
	return out
}

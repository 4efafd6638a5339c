// Package diagnosis reads what a trainee hands in: a chain of nodes and edges, each
// an entity of the live inventory in a state of the closed list, with references to
// evidence. What cannot be read is refused with what is allowed.
package diagnosis

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"zdl/internal/incident/causal"
	"zdl/internal/incident/evidence"
)

// Diagnosis is what a trainee says is wrong, and why.
type Diagnosis struct {
	// Healthy says that nothing is wrong; there are no nodes then.
	Healthy bool   `json:"healthy,omitempty"`
	Nodes   []Node `json:"nodes,omitempty"`
	Edges   []Edge `json:"edges,omitempty"`
}

// Node is one thing that is wrong.
type Node struct {
	ID       string               `json:"id"` // the trainee's own
	Layer    causal.Layer         `json:"layer"`
	Entity   causal.Entity        `json:"entity"`
	State    causal.State         `json:"state"`
	Evidence []evidence.Reference `json:"evidence,omitempty"`
}

// Edge says that one node caused another.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Limits of what may be handed in. A true chain has a handful of nodes.
const (
	MaxSize     = 64 << 10 // bytes
	MaxNodes    = 20
	MaxEdges    = 40
	MaxEvidence = 5 // of a node
	maxID       = 40
	maxDepth    = 8
	maxTokens   = 5000
)

// Refused is an error of what was handed in: one sentence, and what is allowed.
type Refused struct{ Reason string }

func (r *Refused) Error() string { return r.Reason }

func refuse(format string, args ...any) error { return &Refused{fmt.Sprintf(format, args...)} }

// Read reads a diagnosis from JSON. known tells which entities there are, in the
// live inventory or earlier in this run.
func Read(data []byte, known []causal.Entity) (*Diagnosis, error) {
	if err := scan(data); err != nil {
		return nil, err
	}
	var d Diagnosis
	if err := decode(data, &d); err != nil {
		return nil, err
	}
	if err := d.check(known); err != nil {
		return nil, err
	}
	d.sort()
	return &d, nil
}

func (d *Diagnosis) check(known []causal.Entity) error {
	switch {
	case d.Healthy && len(d.Nodes)+len(d.Edges) > 0:
		return refuse("healthy says that nothing is wrong, so there can be no nodes and no edges beside it")
	case !d.Healthy && len(d.Nodes) == 0:
		return refuse("there are no nodes: want nodes, or healthy: true when nothing is wrong")
	case len(d.Nodes) > MaxNodes:
		return refuse("there are %d nodes; at most %d are allowed", len(d.Nodes), MaxNodes)
	case len(d.Edges) > MaxEdges:
		return refuse("there are %d edges; at most %d are allowed", len(d.Edges), MaxEdges)
	}
	there := map[causal.Entity]bool{}
	for _, e := range known {
		there[e] = true
	}
	ids := map[string]bool{}
	for i := range d.Nodes {
		n := &d.Nodes[i]
		if n.ID == "" || len(n.ID) > maxID {
			return refuse("node %d: want an id of 1 to %d characters", i+1, maxID)
		}
		if ids[n.ID] {
			return refuse("two nodes have the id %q", n.ID)
		}
		ids[n.ID] = true
		if err := n.check(there, known); err != nil {
			return refuse("node %q: %v", n.ID, err)
		}
	}
	seen := map[Edge]bool{}
	for i, e := range d.Edges {
		switch {
		case !ids[e.From] || !ids[e.To]:
			return refuse("edge %d leads from %.40q to %.40q, and one of them is no node", i+1, e.From, e.To)
		case e.From == e.To:
			return refuse("edge %d leads from %q to itself", i+1, e.From)
		case seen[e]:
			return refuse("the edge from %q to %q is there twice", e.From, e.To)
		}
		seen[e] = true
	}
	return nil
}

func (n *Node) check(there map[causal.Entity]bool, known []causal.Entity) error {
	if !slices.Contains(causal.Layers(), n.Layer) {
		return fmt.Errorf("layer %.40q: want effect, mechanism or root", n.Layer)
	}
	e, err := causal.ParseEntity(string(n.Entity))
	if err != nil {
		return err
	}
	n.Entity = e
	if !there[e] {
		if near := nearest(e, known); near != "" {
			return fmt.Errorf("there is no %s in this lab; did you mean %s?", e, near)
		}
		return fmt.Errorf("there is no %s in this lab; zdl incident status lists what there is", e)
	}
	if err := causal.CheckState(e, n.State); err != nil {
		return err
	}
	if len(n.Evidence) > MaxEvidence {
		return fmt.Errorf("it has %d pieces of evidence; at most %d are allowed", len(n.Evidence), MaxEvidence)
	}
	for i := range n.Evidence {
		if err := n.Evidence[i].Check(); err != nil {
			return fmt.Errorf("evidence %d: %w", i+1, err)
		}
	}
	return nil
}

// nearest is an entity of the same kind whose name begins or ends alike, or "".
func nearest(e causal.Entity, known []causal.Entity) causal.Entity {
	for _, k := range known {
		if k.Kind() == e.Kind() && (k.Name() == e.Name() || strings.HasPrefix(k.Name(), e.Name()) || strings.HasPrefix(e.Name(), k.Name())) {
			return k
		}
	}
	return ""
}

// sort puts nodes and edges into an order that does not depend on how they were
// handed in.
func (d *Diagnosis) sort() {
	slices.SortFunc(d.Nodes, func(a, b Node) int {
		return cmp.Or(strings.Compare(string(a.Entity), string(b.Entity)), strings.Compare(string(a.State), string(b.State)),
			strings.Compare(string(a.Layer), string(b.Layer)), strings.Compare(a.ID, b.ID))
	})
	for i := range d.Nodes {
		slices.SortFunc(d.Nodes[i].Evidence, func(a, b evidence.Reference) int { return strings.Compare(a.String(), b.String()) })
	}
	slices.SortFunc(d.Edges, func(a, b Edge) int { return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To)) })
}

// JSON is the diagnosis as it would be handed in.
func (d *Diagnosis) JSON() []byte {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // it holds nothing that JSON cannot
	}
	return text
}

package grade

import (
	"fmt"

	"zdl/internal/incident/causal"
	"zdl/internal/incident/diagnosis"
	"zdl/internal/incident/evidence"
)

// Reference is the true diagnosis of a run, with a piece of evidence for each node
// that the run bears out. known are the entities of its inventory.
func Reference(r *Run, known []causal.Entity) (*diagnosis.Diagnosis, error) {
	if r.Scenario.Healthy {
		return &diagnosis.Diagnosis{Healthy: true}, nil
	}
	v := Validate(r)
	if v.Void != "" {
		return nil, fmt.Errorf("the run does not count: %s", v.Void)
	}
	d := &diagnosis.Diagnosis{}
	for _, n := range r.Scenario.Graph.Nodes {
		one := diagnosis.Node{ID: n.ID, Layer: n.Layer, State: n.State}
		for _, e := range append(v.Nodes[n.ID].About, known...) {
			if n.Entity.Matches(e) {
				one.Entity = e
				break
			}
		}
		if one.Entity == "" {
			return nil, fmt.Errorf("node %s: the inventory holds no %s", n.ID, n.Entity)
		}
		witnesses := r.Scenario.Witnesses(n.ID)
		for _, w := range witnesses {
			for _, leaf := range w.Leaves() {
				ref, ok := reference(&leaf, r)
				if ok && len(one.Evidence) < diagnosis.MaxEvidence && evidence.Supports(&ref, witnesses, r.Observed, r.Before(), r.During()).Supports {
					one.Evidence = append(one.Evidence, ref)
				}
			}
		}
		if len(one.Evidence) == 0 {
			return nil, fmt.Errorf("node %s: no reference supports it", n.ID)
		}
		d.Nodes = append(d.Nodes, one)
	}
	for _, e := range r.Scenario.Graph.Edges {
		d.Edges = append(d.Edges, diagnosis.Edge{From: e.From, To: e.To})
	}
	return d, nil
}

// reference makes a reference to what a simple predicate saw in a run.
func reference(p *evidence.Predicate, r *Run) (evidence.Reference, bool) {
	t, err := p.CameTrue(r.Observed, r.During())
	if err != nil || !t.True {
		return evidence.Reference{}, false
	}
	var about causal.Entity
	if len(t.About) > 0 {
		about = t.About[0]
	}
	contains := ""
	switch {
	case p.Line != nil:
		lines, _ := r.Observed.Lines(p.Line.Of, r.During())
		for _, l := range lines {
			if found := p.Line.Text.FindString(l.Text); found != "" {
				contains, about = found, causal.Entity(l.Stream)
				break
			}
		}
	case p.Entry != nil:
		entries, _ := r.Observed.Entries(r.During())
		for i := range entries {
			if e := &entries[i]; p.Entry.Matches(e) {
				contains = e.Subject
				break
			}
		}
	}
	return p.Reference(about, contains), true
}

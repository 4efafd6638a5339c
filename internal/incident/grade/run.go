// Package grade compares a diagnosis with what really happened in a run: whether
// the run counts at all, which root, links and evidence are right, and where the
// diagnosis left the truth. No prose is graded, and nothing is left to taste.
package grade

import (
	"fmt"
	"time"

	"zdl/internal/incident"
	"zdl/internal/incident/evidence"
)

// Run is one playing of a scenario.
type Run struct {
	Scenario *incident.Scenario
	Began    time.Time // of the quiet stage before
	Injected time.Time
	Until    time.Time // how far it is observed
	Observed evidence.Observations
}

// Before is the quiet time, which ends as the injection begins.
func (r *Run) Before() evidence.Window {
	return evidence.Window{From: r.Began, To: r.Injected.Add(-time.Millisecond)}
}

// During is the time in which it was broken.
func (r *Run) During() evidence.Window { return evidence.Window{From: r.Injected, To: r.Until} }

// Validation says whether a run proves anything: every node of the graph came true
// in it, in causal order.
type Validation struct {
	// Void says in a sentence why the run does not count; "" when it does.
	Void string `json:"void,omitempty"`
	// Nodes says when each came true, by id.
	Nodes map[string]evidence.Truth `json:"nodes"`
}

// Validate checks a run. It is void, and nobody has failed, if something that the
// scenario says did not happen, was there before, or came in another order.
func Validate(r *Run) Validation {
	v := Validation{Nodes: map[string]evidence.Truth{}}
	s := r.Scenario
	for _, id := range s.Graph.Order() {
		symptom := s.Nodes[id]
		end := r.Injected.Add(symptom.Window)
		if end.After(r.Until) {
			end = r.Until
		}
		if t, err := symptom.Predicate.CameTrue(r.Observed, r.Before()); err != nil {
			v.Void = fmt.Sprintf("%s: it is not known how it was before: %v", id, err)
			return v
		} else if t.True {
			v.Void = fmt.Sprintf("%s was true before anything was broken: %s", id, t.Fact)
			return v
		}
		t, err := symptom.Predicate.CameTrue(r.Observed, evidence.Window{From: r.Injected, To: end})
		if err != nil {
			v.Void = fmt.Sprintf("%s could not be observed: %v", id, err)
			return v
		}
		if !t.True {
			v.Void = fmt.Sprintf("%s did not come true within %v: %s", id, symptom.Window, t.Fact)
			return v
		}
		v.Nodes[id] = t
	}
	for _, e := range s.Graph.Edges {
		cause, effect := v.Nodes[e.From], v.Nodes[e.To]
		if cause.Earliest().After(effect.At) {
			v.Void = fmt.Sprintf("%s came true %v before %s, which is to have caused it", e.To, cause.Earliest().Sub(effect.At).Round(time.Millisecond), e.From)
			return v
		}
		if lag := effect.Earliest().Sub(cause.At); e.MaxLag > 0 && lag > e.MaxLag {
			v.Void = fmt.Sprintf("%s came true %v after %s, and at most %v were expected", e.To, lag.Round(time.Millisecond), e.From, e.MaxLag)
			return v
		}
	}
	return v
}

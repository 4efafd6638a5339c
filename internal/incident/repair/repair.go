// Package repair decides whether an incident was mended: users get what they are
// to get, for long enough; the root is gone and not only its symptom; nothing that
// protected or served anybody was sacrificed for it. It reads observations and two
// inventories, and touches nothing.
package repair

import (
	"fmt"
	"slices"
	"time"

	"zdl/internal/incident"
	"zdl/internal/incident/causal"
	"zdl/internal/incident/evidence"
)

// Code is a reason for which a fix is not accepted.
type Code string

// The closed list of reasons. A short cut's is "shortcut".
const (
	UsersNotServed Code = "users-not-served"
	TooSlow        Code = "too-slow"
	NotMeasured    Code = "not-measured" // it is not known, so it is not accepted
	RootRemains    Code = "root-remains"
	Destroyed      Code = "destroyed"
	ShortCut       Code = "shortcut"
	TooLate        Code = "too-late" // it did not hold long enough in the time there was
)

// Reason is one thing that is in the way.
type Reason struct {
	Code   Code            `json:"code"`
	Action incident.Action `json:"action,omitempty"` // of a short cut
	On     causal.Entity   `json:"on,omitempty"`
	Text   string          `json:"text"`
}

// Phase is how far a verification has come.
type Phase string

const (
	Watching Phase = "watching" // something is in the way
	Holding  Phase = "holding"  // all is well, and must stay so
	Verified Phase = "verified"
	Refused  Phase = "refused"
)

// Over tells whether it will not change any more.
func (p Phase) Over() bool { return p == Verified || p == Refused }

// Verdict is the state of a verification.
type Verdict struct {
	Phase   Phase    `json:"phase"`
	Reasons []Reason `json:"reasons"`
	// Served is since when users have been served as they are to be, without a
	// break; zero while they are not. It is when the incident was mitigated.
	Served time.Time `json:"served,omitzero"`
	// Since is since when nothing has been in the way.
	Since time.Time `json:"since,omitzero"`
	// Left is how much longer it must hold.
	Left time.Duration `json:"left"` // nanoseconds
	// Fix names the accepted fix that was recognised; "" where it was mended in
	// another way, which is as good.
	Fix string    `json:"fix,omitempty"`
	At  time.Time `json:"at"`
}

// Verification watches a lab until a fix is proven or the time is over. It is a
// state machine: Look gives it what is there now.
type Verification struct {
	scenario *incident.Scenario
	before   incident.Objects
	observed evidence.Observations
	began    time.Time
	last     Verdict
}

// trailing is the time over which users' answers are summed up at each look.
const trailing = 5 * time.Second

// Begin starts a verification. before are the objects as they were when the trainee
// was paged.
func Begin(s *incident.Scenario, before incident.Objects, o evidence.Observations, at time.Time) *Verification {
	return &Verification{scenario: s, before: before, observed: o, began: at, last: Verdict{Phase: Watching, At: at, Left: s.Recovery.For}}
}

// Look judges what is there at a moment, which is not before that of the last call.
func (v *Verification) Look(now incident.Objects, at time.Time) Verdict {
	if v.last.Phase.Over() {
		return v.last
	}
	out := Verdict{Phase: Watching, At: at, Left: v.scenario.Recovery.For, Reasons: []Reason{}}
	users := v.users(at)
	out.Reasons = append(out.Reasons, users...)
	if len(users) == 0 {
		if out.Served = v.last.Served; out.Served.IsZero() {
			out.Served = at
		}
	}
	roots, settled := v.roots(at)
	out.Reasons = append(out.Reasons, roots...)
	out.Reasons = append(out.Reasons, Sacrificed(v.scenario, v.before, now)...)
	if len(out.Reasons) == 0 {
		out.Phase = Holding
		if out.Since = v.last.Since; out.Since.IsZero() {
			out.Since = at
		}
		held := at.Sub(out.Since)
		out.Left = max(v.scenario.Recovery.For-held, 0)
		if held >= v.scenario.Recovery.For {
			out.Phase = Verified
			if out.Fix = settled; out.Fix == "" {
				out.Fix = recognise(v.scenario, now)
			}
		}
	}
	// What holds when the time is over may go on until it has held for long enough.
	if out.Phase == Watching && at.Sub(v.began) >= v.scenario.Recovery.Within {
		out.Phase = Refused
		if !v.last.Since.IsZero() {
			out.Reasons = append(out.Reasons, Reason{Code: TooLate, Text: "It was well for a while, and did not stay so for " + v.scenario.Recovery.For.String() + "."})
		}
	}
	v.last = out
	return out
}

// users says for each goal what is not reached.
func (v *Verification) users(at time.Time) []Reason {
	var out []Reason
	from := at.Add(-trailing)
	if v.last.At.Before(from) { // nobody looked for a while, and what was then counts, too
		from = v.last.At
	}
	for _, g := range v.scenario.Recovery.Goals {
		looks, err := v.observed.Looks(g.Subject, evidence.Window{From: from.Add(time.Millisecond), To: at})
		if err != nil {
			out = append(out, Reason{Code: NotMeasured, Text: fmt.Sprintf("%s are not measured: %v.", g.Subject, err)})
			continue
		}
		sent, failed, slowest := 0, 0, 0.0
		for _, l := range looks {
			sent, failed, slowest = sent+l.Sent, failed+l.Failed, max(slowest, l.P99)
		}
		switch {
		case sent == 0:
			out = append(out, Reason{Code: NotMeasured, Text: fmt.Sprintf("No request of %s was made in the last %v.", g.Subject, trailing)})
		case float64(sent-failed) < g.Served*float64(sent):
			out = append(out, Reason{Code: UsersNotServed, Text: fmt.Sprintf("%d of the last %d requests of %s failed; at least %.4g %% are to be answered.", failed, sent, g.Subject, 100*g.Served)})
		case g.P99 > 0 && slowest > float64(g.P99.Milliseconds()):
			out = append(out, Reason{Code: TooSlow, Text: fmt.Sprintf("99 %% of the answers to %s come within %.0f ms; %v are allowed.", g.Subject, slowest, g.P99)})
		}
	}
	return out
}

// roots says which roots are still there. settled is the fix by which one that is
// there does no harm any more.
func (v *Verification) roots(at time.Time) (out []Reason, settled string) {
	for i := range v.scenario.Fixes {
		f := &v.scenario.Fixes[i]
		if f.Settled == nil {
			continue
		}
		if t, err := f.Settled.Holds(v.observed, at); err == nil && t.True {
			return nil, f.ID
		}
	}
	for _, n := range v.scenario.Graph.Of(causal.Root) {
		p := v.scenario.Nodes[n.ID].Predicate
		t, err := p.Holds(v.observed, at)
		if err != nil {
			out = append(out, Reason{Code: NotMeasured, On: n.Entity, Text: fmt.Sprintf("Whether the root is gone is not known: %v.", err)})
		} else if t.True {
			// The trainee may not have found it yet: what it is, is not said.
			out = append(out, Reason{Code: RootRemains, On: n.Entity, Text: "The root cause is still there, whatever became of its symptoms."})
		}
	}
	return out, ""
}

// Public gives a verdict without what would give the root away.
func (v Verdict) Public() Verdict {
	v.Reasons = slices.Clone(v.Reasons)
	for i := range v.Reasons {
		if r := &v.Reasons[i]; r.Code == RootRemains || r.Code == NotMeasured {
			r.On = ""
		}
	}
	return v
}

// Gone tells whether all effects are gone at a moment, for the proof that it was
// this root: it alone is undone, and the symptoms go. remaining lists those that
// are there.
func Gone(s *incident.Scenario, o evidence.Observations, at time.Time) (remaining []string, err error) {
	for _, n := range s.Graph.Of(causal.Effect) {
		p := s.Nodes[n.ID].Predicate
		t, err := p.Holds(o, at)
		if err != nil {
			return nil, fmt.Errorf("effect %s: %w", n.ID, err)
		}
		if t.True {
			remaining = append(remaining, n.ID+": "+t.Fact)
		}
	}
	return remaining, nil
}

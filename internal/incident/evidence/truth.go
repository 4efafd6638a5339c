package evidence

import (
	"fmt"
	"slices"
	"time"

	"zdl/internal/incident/causal"
)

// Truth is what became of a predicate.
type Truth struct {
	True bool
	// At is when it came true; it may have been up to Early sooner.
	At    time.Time
	Early time.Duration
	// Fact says in words what was observed, also where it is not true.
	Fact string
	// About lists what was observed, where that is a thing.
	About []causal.Entity
}

// Earliest is the first moment at which it may have come true.
func (t *Truth) Earliest() time.Time { return t.At.Add(-t.Early) }

// step is a span in which a predicate was seen to hold, or not to.
type step struct {
	at    time.Time
	early time.Duration
	holds bool
	fact  string
	about causal.Entity
}

// CameTrue says when a predicate first came true in a window. What holds at the
// window's beginning already came true there. An error means that it could not be
// observed.
func (p *Predicate) CameTrue(o Observations, w Window) (Truth, error) {
	switch {
	case p.All != nil, p.Any != nil:
		return p.join(func(part *Predicate) (Truth, error) { return part.CameTrue(o, w) })
	case p.Event != nil, p.Entry != nil, p.Line != nil:
		return p.happened(o, w)
	}
	tracks, err := p.tracks(o, w)
	if err != nil {
		return Truth{}, err
	}
	out := Truth{Fact: "nothing of it was observed"}
	for _, steps := range tracks {
		if t := first(steps, p.lasting(), w.To); t.True && (!out.True || t.At.Before(out.At)) {
			out = t
		} else if !out.True && t.Fact != "" {
			out.Fact = t.Fact
		}
	}
	return out, nil
}

// first finds when the steps of one thing first held for long enough.
func first(steps []step, long time.Duration, until time.Time) Truth {
	out := Truth{}
	begun := -1
	for i := 0; i <= len(steps); i++ {
		at := until
		if i < len(steps) {
			at = steps[i].at
		}
		if begun >= 0 && at.Sub(steps[begun].at) >= long {
			s := steps[begun]
			out = Truth{True: true, At: s.at, Early: s.early, Fact: s.fact}
			if s.about != "" {
				out.About = []causal.Entity{s.about}
			}
			return out
		}
		if i == len(steps) {
			break
		}
		out.Fact = steps[i].fact
		if !steps[i].holds {
			begun = -1
		} else if begun < 0 {
			begun = i
		}
	}
	return out
}

// Holds says whether a predicate is true at a moment. What only happens, such as
// an event, holds for a minute. An error means that it could not be observed, or
// not lately.
func (p *Predicate) Holds(o Observations, at time.Time) (Truth, error) {
	switch {
	case p.All != nil, p.Any != nil:
		return p.join(func(part *Predicate) (Truth, error) { return part.Holds(o, at) })
	case p.Event != nil, p.Entry != nil, p.Line != nil:
		return p.happened(o, Window{at.Add(-recent), at})
	}
	tracks, err := p.tracks(o, Window{at.Add(-freshest - p.lasting()), at})
	if err != nil {
		return Truth{}, err
	}
	out := Truth{Fact: "nothing of it was observed"}
	for _, steps := range tracks {
		if len(steps) == 0 {
			continue
		}
		// It holds if the last step does, and those for as long before as it must last.
		last := len(steps) - 1
		since := last
		for since >= 0 && steps[since].holds {
			since--
		}
		s := steps[last]
		if since < last && (at.Sub(steps[since+1].at) >= p.lasting()) {
			return Truth{True: true, At: steps[since+1].at, Early: steps[since+1].early, Fact: s.fact, About: aboutOf(s)}, nil
		}
		out.Fact = s.fact
	}
	return out, nil
}

func aboutOf(s step) []causal.Entity {
	if s.about == "" {
		return nil
	}
	return []causal.Entity{s.about}
}

// join combines the parts of all and any. All came true with the last of them,
// any with the first.
func (p *Predicate) join(one func(*Predicate) (Truth, error)) (Truth, error) {
	var out Truth
	parts := slices.Concat(p.All, p.Any)
	var failed error
	for i := range parts {
		t, err := one(&parts[i])
		if err != nil {
			failed = err
			continue
		}
		about := slices.Concat(out.About, t.About)
		switch {
		case p.All != nil && !t.True:
			return t, nil
		case p.All != nil && (!out.True || t.At.After(out.At)):
			out = t
		case p.Any != nil && t.True && (!out.True || t.At.Before(out.At)):
			out = t
		case p.Any != nil && !out.True:
			out.Fact = t.Fact
		}
		out.About = about
	}
	if failed != nil && (p.All != nil || !out.True) {
		return Truth{}, failed
	}
	return out, nil
}

// lasting is how long it must hold.
func (p *Predicate) lasting() time.Duration {
	switch {
	case p.Query != nil:
		return p.Query.For
	case p.Metric != nil:
		return p.Metric.For
	case p.Probe != nil:
		return p.Probe.For
	}
	return 0
}

// happened looks for the last of so many events, entries or lines.
func (p *Predicate) happened(o Observations, w Window) (Truth, error) {
	found, err := p.occurrences(o, w)
	if err != nil {
		return Truth{}, err
	}
	want := p.count()
	if len(found) < want {
		fact := "there was none"
		if len(found) > 0 {
			fact = fmt.Sprintf("there were %d, want %d: %s", len(found), want, found[0].fact)
		}
		return Truth{Fact: fact}, nil
	}
	s := found[want-1]
	t := Truth{True: true, At: s.at, Early: s.early, Fact: s.fact}
	for _, f := range found[:want] {
		if f.about != "" && !slices.Contains(t.About, f.about) {
			t.About = append(t.About, f.about)
		}
	}
	return t, nil
}

func (p *Predicate) count() int {
	switch {
	case p.Event != nil:
		return max(p.Event.Count, 1)
	case p.Entry != nil:
		return max(p.Entry.Count, 1)
	}
	return max(p.Line.Count, 1)
}

package evidence

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"zdl/internal/incident/causal"
)

// Check is what became of a piece of evidence.
type Check struct {
	Reference Reference `json:"reference"`
	Supports  bool      `json:"supports"`
	// Why says in a sentence what was found, or why that does not support.
	Why string    `json:"why"`
	At  time.Time `json:"at,omitzero"`
}

// Supports re-runs a reference and says whether it supports one of the witnesses:
// predicates each of which proves what is claimed. Before is the quiet time that
// the incident followed: what was as true then shows nothing.
func Supports(r *Reference, witnesses []Predicate, o Observations, before, during Window) Check {
	c := Check{Reference: *r}
	if err := r.Check(); err != nil {
		c.Why = err.Error()
		return c
	}
	c.Why = "it is about something else"
	for i := range witnesses {
		for _, leaf := range witnesses[i].Leaves() {
			supports, why, at := r.supports(&leaf, o, before, during)
			if supports {
				c.Supports, c.Why, c.At = true, why, at
				return c
			}
			if why != "" {
				c.Why = why
			}
		}
	}
	return c
}

// supports decides for one simple predicate. Without a reason it is about
// something else.
func (r *Reference) supports(p *Predicate, o Observations, before, during Window) (bool, string, time.Time) {
	switch {
	case r.Query != "" && p.Query != nil:
		return r.query(p.Query, o, before, during)
	case r.Object != "" && p.Field != nil:
		object, _ := causal.ParseEntity(r.Object)
		if !p.Field.Object.Matches(object) || !covers(r.Field, p.Field.Pointer) {
			return false, "", time.Time{}
		}
		one := Predicate{Field: &Field{Object: object, Pointer: p.Field.Pointer, Bound: p.Field.Bound}}
		return came(&one, o, before, during)
	case r.Object != "" && p.Certificate != nil:
		if object, _ := causal.ParseEntity(r.Object); object != p.Certificate.Secret || r.Field != certificateField {
			return false, "", time.Time{}
		}
		return came(p, o, before, during)
	case r.Event != nil && p.Event != nil:
		about, _ := causal.ParseEntity(r.Event.About)
		events, err := o.Events(during)
		if err != nil {
			return false, "it could not be looked up: " + err.Error(), time.Time{}
		}
		found := false
		for i := range events {
			e := &events[i]
			if e.Reason != r.Event.Reason || e.About != about || !strings.Contains(e.Text, r.Event.Contains) {
				continue
			}
			found = true
			if p.Event.matches(e) {
				return true, fmt.Sprintf("%s %s: %s", e.Reason, e.About, e.Text), e.At
			}
		}
		if !found {
			return false, "no such event was found in this run", time.Time{}
		}
		return false, "", time.Time{}
	case r.Log != nil && p.Line != nil:
		if !streams(p.Line.Of, r.Log.Of) {
			return false, "", time.Time{}
		}
		lines, err := o.Lines(r.Log.Of, during)
		if err != nil {
			return false, "it could not be looked up: " + err.Error(), time.Time{}
		}
		found := false
		for i := range lines {
			if !strings.Contains(lines[i].Text, r.Log.Contains) {
				continue
			}
			found = true
			if fits(p.Line.Text, lines[i].Text) {
				return true, lines[i].Stream + ": " + lines[i].Text, lines[i].At
			}
		}
		if !found {
			return false, "no such line was found in this run", time.Time{}
		}
		return false, "the line does not show it", time.Time{}
	case r.Entry != nil && p.Entry != nil:
		return r.entry(p.Entry, o, during)
	case r.Etcd != nil && p.Metric != nil:
		if r.Etcd.Member != p.Metric.Member || r.Etcd.Metric != p.Metric.Name {
			return false, "", time.Time{}
		}
		return came(p, o, before, during)
	case r.Probe != nil && p.Probe != nil:
		if r.Probe.Subject != p.Probe.Subject || r.Probe.Of != p.Probe.Of {
			return false, "", time.Time{}
		}
		return came(p, o, before, during)
	}
	return false, "", time.Time{}
}

// came wants that a predicate came true, and had not been so before.
func came(p *Predicate, o Observations, before, during Window) (bool, string, time.Time) {
	t, err := p.CameTrue(o, before)
	if err == nil && t.True {
		return false, "it was as true before the incident: " + t.Fact, time.Time{}
	}
	if err == nil {
		t, err = p.CameTrue(o, during)
	}
	if err != nil {
		return false, "it could not be looked up: " + err.Error(), time.Time{}
	}
	if !t.True {
		return false, "it does not show that: " + t.Fact, time.Time{}
	}
	return true, t.Fact, t.At
}

// covers tells whether a field shows another one: it is that, or the object that
// holds it, but no more of the document than that.
func covers(given, wanted string) bool {
	if given == wanted {
		return true
	}
	parent := wanted[:max(strings.LastIndexByte(wanted, '/'), 0)]
	return given == parent && strings.Count(parent, "/") >= 2
}

// streams tells whether a pattern of streams stands for a stream.
func streams(pattern, stream string) bool {
	return causal.Entity(pattern).Matches(causal.Entity(stream))
}

func (r *Reference) entry(p *EntryLike, o Observations, during Window) (bool, string, time.Time) {
	entries, err := o.Entries(during)
	if err != nil {
		return false, "it could not be looked up: " + err.Error(), time.Time{}
	}
	found := false
	for i := range entries {
		e := &entries[i]
		if r.Entry.Seq != 0 && e.Seq != r.Entry.Seq || r.Entry.Seq == 0 && (e.Kind != r.Entry.Kind || e.Subject != r.Entry.Subject) {
			continue
		}
		found = true
		if p.Matches(e) {
			return true, e.Text, e.Happened()
		}
	}
	if !found {
		return false, "the timeline of this run has no such entry", time.Time{}
	}
	return false, "", time.Time{}
}

// query wants a query that asks for the same metric and the same thing as the
// witness, has a result during the incident and had none before.
func (r *Reference) query(p *Query, o Observations, before, during Window) (bool, string, time.Time) {
	given, err := parseQuery(r.Query)
	if err != nil {
		return false, err.Error(), time.Time{}
	}
	wanted, err := parseQuery(p.Text)
	if err != nil {
		return false, err.Error(), time.Time{}
	}
	if !slices.ContainsFunc(wanted.metrics, func(m string) bool { return slices.Contains(given.metrics, m) }) {
		return false, "", time.Time{}
	}
	quiet, err := o.Samples(r.Query, before)
	if err != nil {
		return false, "it could not be run: " + err.Error(), time.Time{}
	}
	now, err := o.Samples(r.Query, during)
	if err != nil {
		return false, "it could not be run: " + err.Error(), time.Time{}
	}
	var at time.Time
	var shown *Series
	about := false
	for i := range now {
		// A series that had a value before the incident as well tells nothing new.
		if len(now[i].Samples) == 0 || slices.ContainsFunc(quiet, func(q Series) bool { return len(q.Samples) > 0 && same(q.Labels, now[i].Labels) }) {
			continue
		}
		if !pins(wanted, given, now[i].Labels) {
			continue
		}
		about = true
		if first := now[i].Samples[0].At; shown == nil || first.Before(at) {
			shown, at = &now[i], first
		}
	}
	switch {
	case shown != nil:
		return true, fmt.Sprintf("%s had no result before the incident, and %.4g at %s", r.Query, shown.Samples[0].Value, at.UTC().Format("15:04:05")), at
	case len(now) == 0:
		return false, "the query had no result during the incident", time.Time{}
	case len(quiet) > 0 && !about:
		return false, "the query had a result before the incident as well, or is about something else: compare with a bound, and name what it is about", time.Time{}
	}
	return false, "", time.Time{}
}

// pins tells whether a result is about what the witness's query is about: each
// label whose value that fixes is fixed by the given query too, or is in the result,
// and each label by which that chooses is chosen by, or is in the result.
func pins(wanted, given *selectors, labels map[string]string) bool {
	for name, values := range wanted.labels {
		for _, v := range values {
			if !slices.Contains(given.labels[name], v) && labels[name] != v {
				return false
			}
		}
	}
	for _, name := range wanted.narrowed {
		if _, there := labels[name]; !there && !slices.Contains(given.narrowed, name) {
			return false
		}
	}
	return true
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

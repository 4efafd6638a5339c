package evidence

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"zdl/internal/incident/causal"
	"zdl/internal/jsonpointer"
	"zdl/internal/timeline"
)

// occurrences lists what matches a predicate about something that happens.
func (p *Predicate) occurrences(o Observations, w Window) ([]step, error) {
	var out []step
	switch {
	case p.Event != nil:
		events, err := o.Events(w)
		if err != nil {
			return nil, err
		}
		for i := range events {
			if e := &events[i]; p.Event.matches(e) {
				out = append(out, step{at: e.At, early: eventExact, fact: fmt.Sprintf("%s %s: %s", e.Reason, e.About, e.Text), about: e.About})
			}
		}
	case p.Entry != nil:
		entries, err := o.Entries(w)
		if err != nil {
			return nil, err
		}
		for i := range entries {
			e := &entries[i]
			if p.Entry.Matches(e) {
				out = append(out, step{at: e.Happened(), early: time.Second, fact: e.Text})
			}
		}
	case p.Line != nil:
		lines, err := o.Lines(p.Line.Of, w)
		if err != nil {
			return nil, err
		}
		for i := range lines {
			if l := &lines[i]; fits(p.Line.Text, l.Text) {
				about, _ := causal.ParseEntity(l.Stream)
				out = append(out, step{at: l.At, fact: l.Stream + ": " + l.Text, about: about})
			}
		}
	}
	return out, nil
}

func (l *EventLike) matches(e *Event) bool {
	return e.Reason == l.Reason && l.About.Matches(e.About) && fits(l.Text, e.Text)
}

// Matches tells whether an entry of the timeline is such a one.
func (l *EntryLike) Matches(e *timeline.Entry) bool {
	return e.Kind == l.Kind && fits(l.Subject, e.Subject) && fits(l.Text, e.Text)
}

func fits(re *regexp.Regexp, text string) bool { return re == nil || re.MatchString(text) }

// tracks lists, for each thing that a predicate about a state is about, how it was
// over a window.
func (p *Predicate) tracks(o Observations, w Window) ([][]step, error) {
	switch {
	case p.Query != nil:
		series, err := o.Samples(p.Query.Text, w)
		return track(series, &p.Query.Bound, p.Query.Text), err
	case p.Metric != nil:
		series, err := o.Metric(p.Metric.Member, p.Metric.Name, w)
		return track(series, &p.Metric.Bound, p.Metric.Name+" of etcd on "+p.Metric.Member), err
	case p.Probe != nil:
		return p.Probe.tracks(o, w)
	case p.Certificate != nil:
		return p.Certificate.tracks(o, w)
	}
	return p.Field.tracks(o, w)
}

func track(series []Series, b *Bound, what string) [][]step {
	var out [][]step
	for _, s := range series {
		var steps []step
		for i, sample := range s.Samples {
			st := step{at: sample.At, holds: b.number(sample.Value), fact: fmt.Sprintf("%s is %.4g", what, sample.Value)}
			if i > 0 {
				st.early = sample.At.Sub(s.Samples[i-1].At)
			}
			steps = append(steps, st)
		}
		out = append(out, steps)
	}
	return out
}

func (b *Bound) number(v float64) bool {
	return b.Above != nil && v > *b.Above || b.Below != nil && v < *b.Below // NaN is neither
}

func (p *Probe) tracks(o Observations, w Window) ([][]step, error) {
	looks, err := o.Looks(p.Subject, w)
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, l := range looks {
		if l.Sent == 0 {
			continue
		}
		st := step{at: l.At, early: lookExact}
		if p.Of == ProbeFailed {
			share := float64(l.Failed) / float64(l.Sent)
			st.holds, st.fact = p.number(share), fmt.Sprintf("%d of %d requests of %s failed in a second", l.Failed, l.Sent, p.Subject)
		} else {
			// Where nothing is answered, everything takes too long.
			st.holds, st.fact = p.number(l.P99), fmt.Sprintf("99 %% of the answers to %s came within %.0f ms", p.Subject, l.P99)
			if l.Failed == l.Sent {
				st.holds, st.fact = p.Above != nil, "no request of "+p.Subject+" was answered"
			}
		}
		steps = append(steps, st)
	}
	return [][]step{steps}, nil
}

func (f *Field) tracks(o Observations, w Window) ([][]step, error) {
	versions, err := o.Versions(f.Object, w)
	if err != nil {
		return nil, err
	}
	by := map[causal.Entity]int{}
	var out [][]step
	for _, v := range versions {
		i, known := by[v.Of]
		if !known {
			i = len(out)
			by[v.Of] = i
			out = append(out, nil)
		}
		holds, fact := f.look(&v)
		out[i] = append(out[i], step{at: v.At, holds: holds, fact: fact, about: v.Of})
	}
	// An object that never was has no version, but its absence is a state.
	if len(out) == 0 && f.gone() {
		out = [][]step{{{at: w.From, holds: true, fact: string(f.Object) + " does not exist"}}}
	}
	return out, nil
}

// gone tells whether the bound is met by an object that is not there.
func (f *Field) gone() bool { return f.Pointer == "" && f.Absent }

func (f *Field) look(v *Version) (holds bool, fact string) {
	if v.Object == nil {
		return f.gone(), fmt.Sprintf("%s does not exist", v.Of)
	}
	value := v.Object
	if f.Pointer != "" {
		value = find(v.Object, f.Pointer)
	}
	text, single := scalar(value)
	fact = fmt.Sprintf("%s %s is %s", v.Of, f.Pointer, text)
	switch {
	case f.Absent:
		return value == nil, fact
	case f.Present:
		return value != nil, fact
	case f.Equals != nil:
		return single && text == *f.Equals, fact
	case f.Differs != nil:
		return text != *f.Differs, fact
	case f.Matches != nil:
		return single && f.Matches.MatchString(text), fact
	}
	n, ok := Quantity(text)
	if value == nil { // a count that Kubernetes leaves out is 0
		n, ok = 0, true
	}
	return ok && f.number(n), fact
}

// find follows a JSON pointer. In a list a word such as type=Ready takes the item
// whose field has that value: Kubernetes promises no order of conditions.
func find(doc any, pointer string) any {
	words := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for _, w := range words {
		list, isList := doc.([]any)
		key, value, named := strings.Cut(w, "=")
		if !isList || !named {
			doc = jsonpointer.Find(doc, "/"+w)
			continue
		}
		doc = nil
		for _, item := range list {
			if jsonpointer.Find(item, "/"+key) == jsonpointer.Unescape(value) {
				doc = item
			}
		}
	}
	return doc
}

// scalar is a value as it is written; single tells that it is one.
func scalar(v any) (text string, single bool) {
	switch v := v.(type) {
	case nil:
		return "not set", false
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case []any:
		return fmt.Sprintf("a list of %d", len(v)), false
	case map[string]any:
		return fmt.Sprintf("an object of %d fields", len(v)), false
	}
	return fmt.Sprint(v), false
}

package incidents

import (
	"strconv"
	"strings"
	"time"

	"zdl/internal/incident"
	"zdl/internal/incident/causal"
	"zdl/internal/incident/evidence"
	"zdl/internal/timeline"
)

// come makes a simple predicate come true at a time.
func (m *synthetic) come(p *evidence.Predicate, now incident.Objects, at time.Time) incident.Objects {
	m.t.Helper()
	switch {
	case p.Query != nil:
		m.o.Queries[p.Query.Text] = m.series(&p.Query.Bound, at)
	case p.Metric != nil:
		m.o.Metrics[p.Metric.Member+"/"+p.Metric.Name] = m.series(&p.Metric.Bound, at)
	case p.Event != nil:
		for range max(p.Event.Count, 1) {
			m.o.Happened = append(m.o.Happened, evidence.Event{At: at, Reason: p.Event.Reason, About: m.one(p.Event.About), Text: m.text(p.Event.Text)})
		}
	case p.Line != nil:
		of := p.Line.Of
		if e, err := causal.ParsePattern(of); err == nil {
			of = string(m.one(e))
		}
		m.o.Logs = append(m.o.Logs, evidence.Line{At: at, Stream: strings.ReplaceAll(of, "*", "1"), Text: m.text(p.Line.Text)})
	case p.Entry != nil:
		m.o.Timeline = append(m.o.Timeline, timeline.Entry{Seq: int64(len(m.o.Timeline) + 1), Wall: at, Kind: p.Entry.Kind, Subject: m.text(p.Entry.Subject), Text: m.text(p.Entry.Text)})
	case p.Probe != nil:
		m.probe(p.Probe.Subject, func(l *evidence.Look) {
			if l.At.Before(at) {
				return
			}
			if p.Probe.Of == evidence.ProbeP99 {
				l.P99 = *p.Probe.Above + 500
			} else {
				l.Failed = int(float64(l.Sent)**p.Probe.Above) + 5
			}
		})
	case p.Field != nil:
		// What the injection itself did needs no help.
		if t, err := p.CameTrue(m.o, evidence.Window{From: m.injected, To: m.until}); err == nil && t.True {
			return now
		}
		return m.change(p.Field, now, at)
	}
	return now
}

// change gives an object the field that a predicate wants.
func (m *synthetic) change(f *evidence.Field, now incident.Objects, at time.Time) incident.Objects {
	e := m.one(f.Object)
	next := incident.Objects{}
	for k, v := range now {
		next[k] = v
	}
	next[e] = place(now[e], strings.Split(f.Pointer, "/")[1:], m.value(&f.Bound))
	m.record(next, now, at)
	return next
}

// one is an entity that a pattern stands for.
func (m *synthetic) one(e causal.Entity) causal.Entity {
	for _, k := range m.known {
		if e.Matches(k) {
			return k
		}
	}
	if e.IsPattern() {
		m.t.Fatalf("%s: nothing is %s", m.s.Name, e)
	}
	return e
}

func (m *synthetic) value(b *evidence.Bound) any {
	switch {
	case b.Above != nil:
		return *b.Above + 1
	case b.Below != nil:
		return *b.Below - 1
	case b.Equals != nil:
		if n, err := strconv.ParseFloat(*b.Equals, 64); err == nil {
			return n
		}
		return *b.Equals
	case b.Matches != nil:
		first, _, _ := strings.Cut(b.Matches.String(), "|")
		return first
	}
	m.t.Fatalf("%s: no value is made for %+v", m.s.Name, b)
	return nil
}

// series keeps to a bound from a time until the fix.
func (m *synthetic) series(b *evidence.Bound, from time.Time) []evidence.Series {
	bad, good := 0.0, 0.0
	if b.Above != nil {
		bad, good = 2**b.Above+1, *b.Above/4
	} else {
		bad, good = *b.Below-1, *b.Below+1
	}
	s := evidence.Series{}
	for t := m.began; !t.After(m.until); t = t.Add(time.Second) {
		v := good
		if !t.Before(from) {
			v = bad
		}
		s.Samples = append(s.Samples, evidence.Sample{At: t, Value: v})
	}
	return []evidence.Series{s}
}

func (m *synthetic) probe(subject string, change func(*evidence.Look)) {
	if m.o.Probes[subject] == nil {
		for t := m.began; !t.After(m.until); t = t.Add(time.Second) {
			m.o.Probes[subject] = append(m.o.Probes[subject], evidence.Look{At: t, Sent: 100, P99: 40})
		}
	}
	for i := range m.o.Probes[subject] {
		if change != nil {
			change(&m.o.Probes[subject][i])
		}
	}
}

// place puts a value into a document; a word such as type=Ready is an item of a list.
func place(doc any, words []string, value any) any {
	if len(words) == 0 {
		return value
	}
	word := words[0]
	if key, name, named := strings.Cut(word, "="); named {
		list, _ := doc.([]any)
		var out []any
		found := false
		for _, item := range list {
			if o, is := item.(map[string]any); is && o[key] == name {
				item, found = place(item, words[1:], value), true
			}
			out = append(out, item)
		}
		if !found {
			out = append(out, place(map[string]any{key: name}, words[1:], value))
		}
		return out
	}
	if i, err := strconv.Atoi(word); err == nil {
		list, _ := doc.([]any)
		out := append([]any{}, list...)
		for len(out) <= i {
			out = append(out, map[string]any{})
		}
		out[i] = place(out[i], words[1:], value)
		return out
	}
	old, _ := doc.(map[string]any)
	out := map[string]any{}
	for k, v := range old {
		out[k] = v
	}
	word = strings.NewReplacer("~1", "/", "~0", "~").Replace(word)
	out[word] = place(out[word], words[1:], value)
	return out
}

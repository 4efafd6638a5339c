package incidents

import (
	"encoding/base64"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"zdl/internal/cluster/local/edge"
	"zdl/internal/incident"
	"zdl/internal/incident/causal"
	"zdl/internal/incident/evidence"
	"zdl/internal/incident/grade"
	"zdl/internal/timeline"
)

// A synthetic run is made up: the objects are a made-up inventory in which the
// scenario's own changes were made; all else is made so that each node of the graph
// comes true at a time that its edges allow. It tests the scenario and the verdicts,
// not the cluster.
type synthetic struct {
	t        *testing.T
	s        *incident.Scenario
	r        *rand.Rand
	texts    []string
	before   incident.Objects // anything was broken
	broken   incident.Objects
	known    []causal.Entity
	began    time.Time
	injected time.Time
	paged    time.Time // all nodes have come true
	fixed    time.Time
	until    time.Time
	when     map[string]time.Time
	o        *evidence.Recording
}

func newSynthetic(t *testing.T, s *incident.Scenario, seed uint64) *synthetic {
	t.Helper()
	began := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	m := &synthetic{t: t, s: s, r: rand.New(rand.NewPCG(seed, 7)), texts: texts(t, s), began: began, injected: began.Add(s.Stage.History), when: map[string]time.Time{},
		o: &evidence.Recording{Queries: map[string][]evidence.Series{}, Metrics: map[string][]evidence.Series{}, Probes: map[string][]evidence.Look{}}}
	m.before = m.do(syntheticInventory(t), nil, s.Stage.Setup...)
	m.certificates()
	m.broken = m.before
	for _, x := range s.Inject {
		if x.Change != nil {
			m.broken = m.do(m.broken, nil, *x.Change)
		}
	}
	m.claims()
	m.known = known(m.broken)
	m.paged = m.injected
	for _, id := range s.Graph.Order() {
		at := m.injected.Add(time.Duration(m.r.IntN(2000)) * time.Millisecond)
		for _, e := range s.Graph.Causes(id) {
			lag := 20 * time.Second
			if e.MaxLag > 0 {
				lag = min(lag, e.MaxLag/2)
			}
			if next := m.when[e.From].Add(time.Second + time.Duration(m.r.Int64N(int64(lag)))); next.After(at) {
				at = next
			}
		}
		m.when[id] = at.Truncate(time.Second).Add(time.Second)
		m.paged = later(m.paged, m.when[id].Add(30*time.Second))
	}
	m.fixed = m.paged.Add(20 * time.Second)
	m.until = m.fixed.Add(s.Recovery.Within + s.Recovery.For + time.Minute)
	m.objects()
	return m
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (m *synthetic) do(to, before incident.Objects, list ...incident.Change) incident.Objects {
	m.t.Helper()
	for i := range list {
		var err error
		if to, err = list[i].Do(to, before); err != nil {
			m.t.Fatalf("%s: %v", m.s.Name, err)
		}
	}
	return to
}

func texts(t *testing.T, s *incident.Scenario) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/texts.synthetic.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range s.Variant {
		data = []byte(strings.ReplaceAll(string(data), "${"+name+"}", value))
	}
	var all map[string][]string
	if err := yaml.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	list, known := all[s.Name]
	if !known {
		t.Fatalf("there are no texts for %s", s.Name)
	}
	return list
}

// text finds a text that an expression matches.
func (m *synthetic) text(re *regexp.Regexp) string {
	m.t.Helper()
	if re == nil {
		return "it happened"
	}
	for _, text := range m.texts {
		if re.MatchString(text) {
			return text
		}
	}
	m.t.Fatalf("%s: no text is matched by %s", m.s.Name, re)
	return ""
}

// certificates puts a right one into the Secret of web.
func (m *synthetic) certificates() {
	authority, err := edge.NewAuthority("users of the lab")
	if err != nil {
		m.t.Fatal(err)
	}
	m.before = m.certificate(m.before, authority, "web.zdl.test", m.began.AddDate(1, 0, 0))
}

func (m *synthetic) certificate(to incident.Objects, authority *edge.Authority, host string, until time.Time) incident.Objects {
	cert, _, err := authority.Issue(host, m.began.AddDate(0, 0, -30), until)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.do(to, nil, incident.Change{Verb: incident.Set, Object: "secret/web/web-tls", Field: "/data/tls.crt", Value: base64.StdEncoding.EncodeToString([]byte(cert))})
}

// claims makes what a controller makes of a StatefulSet.
func (m *synthetic) claims() {
	for e := range m.broken {
		if _, old := m.before[e]; old || e.Kind() != "statefulset" {
			continue
		}
		m.broken["pod/shop/"+causal.Entity(e.Name()+"-0")] = map[string]any{}
		m.broken["persistentvolumeclaim/shop/data-"+causal.Entity(e.Name()+"-0")] = map[string]any{"spec": map[string]any{"storageClassName": "fast"}}
	}
}

// objects writes down the objects and what the nodes of the graph make of them.
func (m *synthetic) objects() {
	for _, x := range m.s.Inject {
		if x.Attack != nil && x.Attack.Kind == "ingress-certificate-expired" {
			m.spoil(x.Attack.Params["mode"])
		}
	}
	m.record(m.before, nil, m.began.Add(-time.Minute))
	m.record(m.broken, m.before, m.injected)
	for _, subject := range append([]string{"users"}, m.s.Stage.Probes...) {
		m.probe(subject, nil)
	}
	now := m.broken
	for _, id := range m.s.Graph.Order() {
		for _, p := range m.s.Witnesses(id) {
			leaves := p.Leaves()
			if len(p.Any) > 0 {
				leaves = leaves[:1]
			}
			for i := range leaves {
				now = m.come(&leaves[i], now, m.when[id])
			}
		}
	}
	m.broken = now
}

func (m *synthetic) spoil(mode string) {
	name, host, until := "users of the lab", "web.zdl.test", m.began.AddDate(1, 0, 0)
	switch mode {
	case evidence.CertificateExpired:
		until = m.injected.Add(-time.Minute)
	case evidence.CertificateHost:
		host = "other.web.zdl.test"
	case evidence.CertificateIssuer:
		name = "somebody"
	default:
		m.t.Fatalf("no certificate is wrong by %q", mode)
	}
	authority, err := edge.NewAuthority(name)
	if err != nil {
		m.t.Fatal(err)
	}
	m.broken = m.certificate(m.broken, authority, host, until)
}

// record writes down what of the objects differs from older ones.
func (m *synthetic) record(now, old incident.Objects, at time.Time) {
	for e, o := range now {
		was, there := old[e]
		if there && reflect.ValueOf(was).Pointer() == reflect.ValueOf(o).Pointer() { // nobody touched it
			continue
		}
		if !there || !reflect.DeepEqual(was, o) {
			m.o.Objects = append(m.o.Objects, evidence.Version{Of: e, At: at, Object: o})
		}
	}
	for e := range old {
		if _, there := now[e]; !there {
			m.o.Objects = append(m.o.Objects, evidence.Version{Of: e, At: at})
		}
	}
}

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
		e := m.one(p.Field.Object)
		next := incident.Objects{}
		for k, v := range now {
			next[k] = v
		}
		next[e] = place(now[e], strings.Split(p.Field.Pointer, "/")[1:], m.value(&p.Field.Bound))
		m.record(next, now, at)
		return next
	}
	return now
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

// run is the run as it is graded: just before anybody mends anything.
func (m *synthetic) run() *grade.Run {
	return &grade.Run{Scenario: m.s, Began: m.began, Injected: m.injected, Until: m.fixed.Add(-time.Second), Observed: m.o}
}

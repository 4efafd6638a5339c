package incidents

import (
	"encoding/base64"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"zdl/internal/cluster/local/edge"
	"zdl/internal/incident"
	"zdl/internal/incident/causal"
	"zdl/internal/incident/evidence"
	"zdl/internal/incident/grade"
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
	s.Recovery.Within = s.Recovery.For + 20*time.Second // nothing changes later in a run that is made up
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

// run is the run as it is graded: just before anybody mends anything.
func (m *synthetic) run() *grade.Run {
	return &grade.Run{Scenario: m.s, Began: m.began, Injected: m.injected, Until: m.fixed.Add(-time.Second), Observed: m.o}
}

package incidents

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"zdl/internal/incident"
	"zdl/internal/incident/causal"
	"zdl/internal/incident/diagnosis"
	"zdl/internal/incident/evidence"
	"zdl/internal/incident/grade"
	"zdl/internal/incident/repair"
)

// seeds of each scenario that are played.
const seeds = 2

// plays calls a test for each scenario and several seeds; with ZDL_TEST_LONG for
// every variant that 100 seeds choose.
func plays(t *testing.T, each func(t *testing.T, name string, seed uint64)) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			done := map[string]bool{}
			for seed := range uint64(100) {
				variant := fmt.Sprint(read(t, name, seed).Variant)
				if done[variant] {
					continue
				}
				if len(done) == seeds && os.Getenv("ZDL_TEST_LONG") == "" {
					break
				}
				done[variant] = true
				each(t, name, seed)
			}
		})
	}
}

func read(t *testing.T, name string, seed uint64) *incident.Scenario {
	t.Helper()
	data, err := File(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := incident.Read(data, name+".yaml", base, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reference is the true diagnosis, as it would be handed in.
func reference(t *testing.T, m *synthetic) *diagnosis.Diagnosis {
	t.Helper()
	d, err := grade.Reference(m.run(), m.known)
	if err != nil {
		t.Fatalf("%s %v: %v", m.s.Name, m.s.Variant, err)
	}
	return hand(t, m, d)
}

func hand(t *testing.T, m *synthetic, d *diagnosis.Diagnosis) *diagnosis.Diagnosis {
	t.Helper()
	d, err := diagnosis.Read(d.JSON(), m.known)
	if err != nil {
		t.Fatalf("%s %v: %v", m.s.Name, m.s.Variant, err)
	}
	return d
}

func TestTheReferenceDiagnosisPasses(t *testing.T) {
	plays(t, func(t *testing.T, name string, seed uint64) {
		m := newSynthetic(t, read(t, name, seed), seed)
		g := grade.Diagnose(m.run(), reference(t, m))
		if g.Outcome != grade.Pass || g.Score != 1 {
			t.Errorf("seed %d: %s %s", seed, g.Outcome, g.Why)
		}
		if len(g.Breakdown) != len(m.s.Graph.Edges) {
			t.Errorf("seed %d: the breakdown has %d links", seed, len(g.Breakdown))
		}
	})
}

func TestEachAcceptedFixIsVerified(t *testing.T) {
	plays(t, func(t *testing.T, name string, seed uint64) {
		s := read(t, name, seed)
		for i := range s.Fixes {
			f := &s.Fixes[i]
			m := newSynthetic(t, read(t, name, seed), seed)
			got := m.mend(f.Play, f.Heals, true, f.Settled)
			if got.Phase != repair.Verified || len(got.Reasons) > 0 {
				t.Errorf("seed %d, fix %s: %s %+v", seed, f.ID, got.Phase, got.Reasons)
			}
		}
		if s.Healthy { // it is right to leave it alone
			if got := newSynthetic(t, s, seed).mend(nil, nil, true, nil); got.Phase != repair.Verified {
				t.Errorf("seed %d: %+v", seed, got)
			}
		}
	})
}

// mend does something at m.fixed and watches until the verdict. Attacks that end take
// what was observed of them with them; users are served if all else is right, or
// where the play says so.
func (m *synthetic) mend(do []incident.Change, heals []int, served bool, settled *evidence.Predicate) repair.Verdict {
	now := m.do(m.broken, m.before, do...)
	m.record(now, m.broken, m.fixed)
	calm := func(samples []evidence.Series, good func(v evidence.Sample) float64) {
		for i := range samples {
			for k, v := range samples[i].Samples {
				if v.At.After(m.fixed) {
					samples[i].Samples[k].Value = good(v)
				}
			}
		}
	}
	if len(heals) > 0 {
		for _, all := range []map[string][]evidence.Series{m.o.Queries, m.o.Metrics} {
			for _, series := range all {
				if len(series) > 0 {
					first := series[0].Samples[0].Value
					calm(series, func(evidence.Sample) float64 { return first })
				}
			}
		}
	}
	if settled != nil {
		for _, leaf := range settled.Leaves() {
			if leaf.Query != nil {
				m.o.Queries[leaf.Query.Text] = m.series(&leaf.Query.Bound, m.fixed)
			}
			if t, err := leaf.Holds(m.o, m.fixed); leaf.Field != nil && err == nil && !t.True {
				now = m.change(leaf.Field, now, m.fixed)
			}
		}
	}
	if served {
		for subject := range m.o.Probes {
			m.probe(subject, func(l *evidence.Look) {
				if l.At.After(m.fixed.Add(3 * time.Second)) {
					l.Failed, l.P99 = 0, 40
				}
			})
		}
	}
	v := repair.Begin(m.s, m.broken, m.o, m.fixed)
	var out repair.Verdict
	for at := m.fixed; !at.After(m.until); at = at.Add(5 * time.Second) {
		if out = v.Look(now, at); out.Phase.Over() {
			break
		}
	}
	return out
}

func TestEachCheatIsRefusedForItsReason(t *testing.T) {
	plays(t, func(t *testing.T, name string, seed uint64) {
		s := read(t, name, seed)
		if len(s.Cheats) < incident.MinCheats {
			t.Errorf("%d cheats, want at least %d", len(s.Cheats), incident.MinCheats)
		}
		for i := range s.Cheats {
			c := &s.Cheats[i]
			m := newSynthetic(t, read(t, name, seed), seed)
			if c.Diagnoses() {
				g := grade.Diagnose(m.run(), m.cheat(t, c))
				if g.Outcome != grade.Fail || string(g.Reason) != c.Because || g.Score >= 1 {
					t.Errorf("seed %d, %s: %s %s %.2f: %s; want %s", seed, c.Name, g.Outcome, g.Reason, g.Score, g.Why, c.Because)
				}
				continue
			}
			got := m.mend(c.Do, c.Heals, c.Served, nil)
			because := func(r repair.Reason) bool { return string(r.Code) == c.Because || string(r.Action) == c.Because }
			if got.Phase != repair.Refused || !slices.ContainsFunc(got.Reasons, because) {
				t.Errorf("seed %d, %s: %s %+v; want %s", seed, c.Name, got.Phase, got.Reasons, c.Because)
			}
		}
	})
}

// cheat makes the diagnosis of a cheat from the true one.
func (m *synthetic) cheat(t *testing.T, c *incident.Cheat) *diagnosis.Diagnosis {
	t.Helper()
	d := &diagnosis.Diagnosis{}
	if m.s.Healthy {
		for _, id := range slices.Sorted(maps.Keys(c.Claim)) {
			d.Nodes = append(d.Nodes, diagnosis.Node{ID: id, Layer: causal.Root, Entity: c.Claim[id].Entity, State: c.Claim[id].State})
		}
		return hand(t, m, d)
	}
	d = reference(t, m)
	for i := range d.Nodes {
		if claim, is := c.Claim[d.Nodes[i].ID]; is {
			d.Nodes[i].Entity, d.Nodes[i].State = claim.Entity, claim.State
		}
	}
	for _, id := range c.Without {
		d.Nodes = slices.DeleteFunc(d.Nodes, func(n diagnosis.Node) bool { return n.ID == id })
		d.Edges = slices.DeleteFunc(d.Edges, func(e diagnosis.Edge) bool { return e.From == id || e.To == id })
	}
	if c.Turned {
		for i := range d.Edges {
			d.Edges[i].From, d.Edges[i].To = d.Edges[i].To, d.Edges[i].From
		}
	}
	return hand(t, m, d)
}

// What holds for every scenario, whatever its file says.
func TestEveryScenarioRefusesTheSameWrongDiagnoses(t *testing.T) {
	plays(t, func(t *testing.T, name string, seed uint64) {
		s := read(t, name, seed)
		if s.Healthy {
			return
		}
		m := newSynthetic(t, s, seed)
		want := func(what string, d *diagnosis.Diagnosis, reason grade.Reason) {
			if g := grade.Diagnose(m.run(), hand(t, m, d)); g.Outcome != grade.Fail || g.Reason != reason {
				t.Errorf("seed %d, %s: %s %s: %s; want %s", seed, what, g.Outcome, g.Reason, g.Why, reason)
			}
		}
		want("healthy", &diagnosis.Diagnosis{Healthy: true}, grade.Missed)
		bare := reference(t, m)
		for i := range bare.Nodes {
			bare.Nodes[i].Evidence = nil
		}
		want("no evidence", bare, grade.NoEvidence)
		for i := range s.Decoys {
			d := reference(t, m)
			at := slices.IndexFunc(d.Nodes, func(n diagnosis.Node) bool { return n.Layer == causal.Root })
			entity := m.any(s.Decoys[i].Entity)
			if entity == "" {
				continue // there is none in the inventory, so that nobody can name it
			}
			d.Nodes[at].Entity, d.Nodes[at].State = entity, s.Decoys[i].State
			want("decoy "+s.Decoys[i].ID, d, grade.DecoyTaken)
		}
	})
}

func (m *synthetic) any(e causal.Entity) causal.Entity {
	for _, k := range m.known {
		if e.Matches(k) {
			return k
		}
	}
	return ""
}

// A run in which the root never came true is void, not failed.
func TestARunWithoutItsRootIsVoid(t *testing.T) {
	plays(t, func(t *testing.T, name string, seed uint64) {
		s := read(t, name, seed)
		if s.Healthy {
			return
		}
		m := newSynthetic(t, s, seed)
		d := reference(t, m)
		m.o.Queries, m.o.Metrics = map[string][]evidence.Series{}, map[string][]evidence.Series{}
		for _, x := range s.Graph.Nodes {
			for _, p := range s.Witnesses(x.ID) {
				for _, leaf := range p.Leaves() {
					if leaf.Query != nil {
						m.o.Queries[leaf.Query.Text] = nil
					}
					if leaf.Metric != nil {
						m.o.Metrics[leaf.Metric.Member+"/"+leaf.Metric.Name] = nil
					}
				}
			}
		}
		m.o.Objects = slices.DeleteFunc(m.o.Objects, func(v evidence.Version) bool { return !v.At.Before(m.injected) })
		if g := grade.Diagnose(m.run(), d); g.Outcome != grade.Void || !strings.Contains(g.Why, "does not count") {
			t.Errorf("seed %d: %s: %s", seed, g.Outcome, g.Why)
		}
	})
}

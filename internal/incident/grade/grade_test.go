package grade

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"zdl/internal/incident"
	"zdl/internal/incident/causal"
	"zdl/internal/incident/diagnosis"
	"zdl/internal/incident/evidence"
)

const scenario = `apiVersion: zdl/v1
kind: Incident
title: Pages fail
summary: Something is slow, then fails.
stage: {workload: shop}
inject:
- attack: {kind: node-disk-latency, target: worker-1}
page: {alert: A, text: t, complaint: c}
graph:
  nodes:
  - {id: errors, layer: effect, entity: users/shop, state: errors, predicate: {probe: users, of: failed, above: 5%}, window: 2m, says: e}
  - {id: pull, layer: mechanism, entity: "pod/shop/cart-*", state: image-pull-failing, predicate: {event: {reason: Failed, about: "pod/shop/cart-*"}}, window: 2m, says: p}
  - {id: kubelet, layer: mechanism, optional: true, entity: node/worker-1, state: kubelet-io-timeouts, predicate: {log: {of: kubelet/worker-1, line: "DeadlineExceeded"}}, window: 2m, says: k}
  - {id: disk, layer: root, entity: disk/worker-1, state: slow-disk, predicate: {query: 'disk_wait{node="worker-1"}', above: 0.2, for: 5s}, window: 1m, says: d}
  edges:
  - {from: disk, to: kubelet, maxLag: 1m}
  - {from: kubelet, to: pull, maxLag: 1m}
  - {from: pull, to: errors, maxLag: 1m}
aliases:
- {node: pull, entity: deployment/shop/cart}
decoys:
- {id: memory, entity: node/worker-1, state: memory-pressure, why: It has memory left.}
- {id: worker, entity: disk/worker-2, state: slow-disk, why: Nothing of cart is there.}
fixes:
- {id: drain, title: Move away, heals: [1]}
recovery: {goals: [{subject: users, served: 99%}]}
`

var (
	began    = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	injected = began.Add(time.Minute)
	known    = []causal.Entity{"users/shop", "pod/shop/cart-1", "deployment/shop/cart", "deployment/shop/user", "node/worker-1", "node/worker-2", "disk/worker-1", "disk/worker-2", "etcd/cp-1"}
)

func after(s int) time.Time { return injected.Add(time.Duration(s) * time.Second) }

// synthetic is a run that was made up: the disk at 5 s, the kubelet at 20 s, the
// pull at 30 s, the users at 40 s.
func synthetic(t testing.TB) *Run {
	t.Helper()
	s, err := incident.Read([]byte(scenario), "test.yaml", "http://h", 1)
	if err != nil {
		t.Fatal(err)
	}
	o := &evidence.Recording{
		Queries:  map[string][]evidence.Series{`disk_wait{node="worker-1"}`: {{Labels: map[string]string{"node": "worker-1"}}}},
		Happened: []evidence.Event{{At: after(30), Reason: "Failed", About: "pod/shop/cart-1", Text: "Failed to pull image"}},
		Logs:     []evidence.Line{{At: after(20), Stream: "kubelet/worker-1", Text: "rpc error: code = DeadlineExceeded"}},
		Probes:   map[string][]evidence.Look{},
	}
	series := &o.Queries[`disk_wait{node="worker-1"}`][0]
	for i := -60; i <= 120; i++ {
		v, look := 0.01, evidence.Look{At: after(i), Sent: 100, P99: 20}
		if i >= 5 {
			v = 0.6
		}
		if i >= 40 {
			look.Failed = 30
		}
		series.Samples = append(series.Samples, evidence.Sample{At: after(i), Value: v})
		o.Probes["users"] = append(o.Probes["users"], look)
	}
	return &Run{Scenario: s, Began: began, Injected: injected, Until: after(120), Observed: o}
}

func reference1(t testing.TB, r *Run) *diagnosis.Diagnosis {
	t.Helper()
	d, err := Reference(r, known)
	if err != nil {
		t.Fatal(err)
	}
	again, err := diagnosis.Read(d.JSON(), known) // as if it had been handed in
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestTheReferenceIsRight(t *testing.T) {
	r := synthetic(t)
	g := Diagnose(r, reference1(t, r))
	if g.Outcome != Pass || g.Score != 1 || g.Reason != Right || len(g.Breakdown) != 3 || g.Chain.Left != nil {
		t.Errorf("%+v", g)
	}
	first := g.Breakdown[0]
	if first.Effect.ID != "errors" || first.Cause.ID != "pull" || first.LagMS != 10_000 || !first.Yours || first.Cause.Fact == "" {
		t.Errorf("%+v", first)
	}
}

// change spoils a diagnosis.
func TestWhatIsWrongIsSaid(t *testing.T) {
	node := func(d *diagnosis.Diagnosis, id string) *diagnosis.Node {
		for i := range d.Nodes {
			if d.Nodes[i].ID == id {
				return &d.Nodes[i]
			}
		}
		t.Fatal(id)
		return nil
	}
	drop := func(d *diagnosis.Diagnosis, ids ...string) {
		d.Nodes = slices.DeleteFunc(d.Nodes, func(n diagnosis.Node) bool { return slices.Contains(ids, n.ID) })
		d.Edges = slices.DeleteFunc(d.Edges, func(e diagnosis.Edge) bool { return slices.Contains(ids, e.From) || slices.Contains(ids, e.To) })
	}
	for name, c := range map[string]struct {
		spoil  func(*diagnosis.Diagnosis)
		reason Reason
		says   string
	}{
		"an alias": {func(d *diagnosis.Diagnosis) { node(d, "pull").Entity = "deployment/shop/cart" }, Right, ""},
		"without what is optional": {func(d *diagnosis.Diagnosis) {
			drop(d, "kubelet")
			d.Edges = append(d.Edges, diagnosis.Edge{From: "disk", To: "pull"})
		}, Right, ""},
		"healthy": {func(d *diagnosis.Diagnosis) { *d = diagnosis.Diagnosis{Healthy: true} }, Missed, "users are hurt"},
		"a decoy as the root": {func(d *diagnosis.Diagnosis) {
			n := node(d, "disk")
			n.Entity, n.State = "node/worker-1", "memory-pressure"
		}, DecoyTaken, "memory left"},
		"another disk as well": {func(d *diagnosis.Diagnosis) {
			d.Nodes = append(d.Nodes, diagnosis.Node{ID: "x", Layer: causal.Root, Entity: "node/worker-2", State: "not-ready"})
		}, ExtraRoot, "node/worker-2 not-ready"},
		"symptom as the root": {func(d *diagnosis.Diagnosis) {
			drop(d, "disk", "kubelet")
			node(d, "pull").Layer = causal.Root
		}, WrongRoot, "not, or not wholly"},
		"a link that is none": {func(d *diagnosis.Diagnosis) {
			d.Nodes = append(d.Nodes, diagnosis.Node{ID: "x", Layer: causal.Mechanism, Entity: "etcd/cp-1", State: "slow-requests"})
			d.Edges = append(d.Edges, diagnosis.Edge{From: "disk", To: "x"}, diagnosis.Edge{From: "x", To: "errors"})
		}, WrongChain, "etcd/cp-1 slow-requests"},
		"turned round": {func(d *diagnosis.Diagnosis) {
			for i, e := range d.Edges {
				if e.To == "errors" {
					d.Edges[i] = diagnosis.Edge{From: e.To, To: e.From}
				}
			}
		}, WrongChain, "is no link"},
		"a link left out": {func(d *diagnosis.Diagnosis) { d.Edges = d.Edges[:2] }, MissingLink, "1 of 3 links"},
		"a node skipped": {func(d *diagnosis.Diagnosis) {
			drop(d, "pull", "kubelet")
			d.Edges = append(d.Edges, diagnosis.Edge{From: "disk", To: "errors"})
		}, MissingLink, "2 of 2 links"},
		"no evidence":                {func(d *diagnosis.Diagnosis) { node(d, "pull").Evidence = nil }, NoEvidence, "supports pull"},
		"evidence of something else": {func(d *diagnosis.Diagnosis) { node(d, "pull").Evidence = node(d, "disk").Evidence }, NoEvidence, "supports pull"},
	} {
		r := synthetic(t)
		d := reference1(t, r)
		c.spoil(d)
		if _, err := diagnosis.Read(d.JSON(), known); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		g := Diagnose(r, d)
		if g.Reason != c.reason || !strings.Contains(g.Why, c.says) || (g.Outcome == Pass) != (c.reason == Right) || (g.Score == 1) != (c.reason == Right) {
			t.Errorf("%s: %s %s %.2f: %s", name, g.Outcome, g.Reason, g.Score, g.Why)
		}
	}
}

// Who finds one of two roots has the incident again tomorrow: it is worth nothing.
func TestHalfOfTheRootIsNoRoot(t *testing.T) {
	r := synthetic(t)
	s := r.Scenario
	second := causal.Node{ID: "pressure", Layer: causal.Root, Entity: "node/worker-2", State: "disk-pressure"}
	s.Graph.Nodes = append(s.Graph.Nodes, second)
	s.Graph.Edges = append(s.Graph.Edges, causal.Edge{From: "pressure", To: "kubelet"})
	s.Nodes["pressure"] = s.Nodes["disk"]
	d := reference1(t, r)
	if g := Diagnose(r, d); g.Outcome != Pass || g.Root.Score != 1 {
		t.Fatalf("%s: %s", g.Outcome, g.Why)
	}
	for i := range d.Nodes {
		if d.Nodes[i].ID == "pressure" {
			d.Nodes[i].Layer = causal.Mechanism
		}
	}
	g := Diagnose(r, d)
	if g.Reason != WrongRoot || g.Root.Recall != 0.5 || g.Root.Precision != 1 || g.Root.Score != 0 || !slices.Equal(g.Root.Missing, []string{"pressure"}) {
		t.Errorf("%s %+v", g.Reason, g.Root)
	}
}

func TestTheBreakdownSaysWhereTheTruthWasLeft(t *testing.T) {
	r := synthetic(t)
	d := reference1(t, r)
	for i := range d.Nodes {
		if d.Nodes[i].ID == "kubelet" {
			d.Nodes[i].State = "memory-pressure"
		}
	}
	g := Diagnose(r, d)
	if g.Chain.Left == nil || g.Chain.Left.Link != (Edge{"disk", "pull"}) || !strings.Contains(g.Chain.Left.Text, "comes from node/worker-1 memory-pressure") {
		t.Errorf("%+v", g.Chain.Left)
	}
	told := ""
	for _, l := range g.Breakdown {
		told += strings.Join(l.Decoys, "")
	}
	if !strings.Contains(told, "memory left") {
		t.Errorf("why the decoy cannot be it is not told where it was taken: %+v", g.Breakdown)
	}
}

func TestARunThatDidNotHappenAsItShouldIsVoid(t *testing.T) {
	for says, spoil := range map[string]func(*evidence.Recording){
		"pull did not come true":   func(o *evidence.Recording) { o.Happened = nil },
		"before anything was":      func(o *evidence.Recording) { o.Logs[0].At = after(-20) },
		"to have caused it":        func(o *evidence.Recording) { o.Happened[0].At = after(10) },
		"at most 1m0s were":        func(o *evidence.Recording) { o.Happened[0].At = after(100); o.Logs[0].At = after(30) },
		"could not be observed":    func(o *evidence.Recording) { delete(o.Probes, "users") },
		"kubelet did not come":     func(o *evidence.Recording) { o.Logs[0].Stream = "kubelet/worker-2" },
		"disk did not come true w": func(o *evidence.Recording) { o.Queries[`disk_wait{node="worker-1"}`][0].Samples = nil },
	} {
		r := synthetic(t)
		d := reference1(t, r)
		spoil(r.Observed.(*evidence.Recording))
		g := Diagnose(r, d)
		if says == "could not be observed" && strings.Contains(g.Why, "not known how it was") {
			continue
		}
		if g.Outcome != Void || !strings.Contains(g.Why, says) || g.Score != 0 {
			t.Errorf("%s: %+v", g.Outcome, g.Why)
		}
	}
}

func TestInAHealthyClusterEveryReportIsWrong(t *testing.T) {
	r := synthetic(t)
	d := reference1(t, r)
	r.Scenario.Healthy = true
	if g := Diagnose(r, d); g.Outcome != Fail || g.Reason != FalseAlarm || g.Score != 0 {
		t.Errorf("%+v", g)
	}
	if g := Diagnose(r, &diagnosis.Diagnosis{Healthy: true}); g.Outcome != Pass || g.Score != 1 {
		t.Errorf("%+v", g)
	}
}

// FuzzDiagnose makes diagnoses of the true nodes and of others, and checks what
// must hold for every grade.
func FuzzDiagnose(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, uint8(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size uint8) {
		run := synthetic(t)
		d := random(rand.New(rand.NewPCG(seed, 1)), reference1(t, run), int(size%16))
		g := Diagnose(run, d)
		for _, part := range []float64{g.Score, g.Root.Score, g.Root.Recall, g.Root.Precision, g.Chain.Score, g.Evidence.Score} {
			if !(part >= 0 && part <= 1) {
				t.Fatalf("a grade of %v: %+v", part, g)
			}
		}
		if (g.Outcome == Pass) != (g.Reason == Right) || g.Outcome == Pass && g.Score != 1 || g.Why == "" {
			t.Errorf("%+v", g)
		}
		turned := *d
		turned.Nodes, turned.Edges = slices.Clone(d.Nodes), slices.Clone(d.Edges)
		slices.Reverse(turned.Nodes)
		slices.Reverse(turned.Edges)
		if h := Diagnose(run, &turned); h.Score != g.Score || h.Reason != g.Reason || h.Outcome != g.Outcome {
			t.Errorf("the order matters: %s %v, turned %s %v", g.Reason, g.Score, h.Reason, h.Score)
		}
		for i := range d.Edges {
			less := *d
			less.Edges = slices.Delete(slices.Clone(d.Edges), i, i+1)
			h := Diagnose(run, &less)
			// A link that is no link costs, so that naming all of them does not pay:
			// without it the grade may be higher. Without any other it never is.
			if wrong := len(h.Chain.Wrong) < len(g.Chain.Wrong); !wrong && h.Score > g.Score {
				t.Errorf("without edge %v the grade rises from %v to %v", d.Edges[i], g.Score, h.Score)
			}
			if h.Outcome == Pass && g.Reason != WrongChain && g.Outcome != Pass {
				t.Errorf("without edge %v it passes, with it %s", d.Edges[i], g.Reason)
			}
		}
	})
}

// random takes some of the true nodes and edges away and adds others.
func random(r *rand.Rand, d *diagnosis.Diagnosis, more int) *diagnosis.Diagnosis {
	out := &diagnosis.Diagnosis{}
	for _, n := range d.Nodes {
		if r.IntN(6) > 0 {
			out.Nodes = append(out.Nodes, n)
		}
	}
	for i := range more / 3 {
		e := known[r.IntN(len(known))]
		states := causal.StatesOf(e.Kind())
		n := diagnosis.Node{ID: string(rune('A' + i)), Layer: causal.Layers()[r.IntN(3)], Entity: e, State: states[r.IntN(len(states))]}
		n.Evidence = d.Nodes[r.IntN(len(d.Nodes))].Evidence
		out.Nodes = append(out.Nodes, n)
	}
	has := func(id string) bool {
		return slices.ContainsFunc(out.Nodes, func(n diagnosis.Node) bool { return n.ID == id })
	}
	for _, e := range d.Edges {
		if r.IntN(6) > 0 && has(e.From) && has(e.To) {
			out.Edges = append(out.Edges, e)
		}
	}
	for range more / 2 {
		if len(out.Nodes) < 2 {
			break
		}
		e := diagnosis.Edge{From: out.Nodes[r.IntN(len(out.Nodes))].ID, To: out.Nodes[r.IntN(len(out.Nodes))].ID}
		if e.From != e.To && !slices.Contains(out.Edges, e) {
			out.Edges = append(out.Edges, e)
		}
	}
	return out
}

package experiment

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zdl/internal/cause"
	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/load"
	"zdl/internal/probe"
	"zdl/internal/timeline"
)

// fake is a lab whose only fault takes all pods away; that is an outage.
type fake struct {
	mu       sync.Mutex
	attacks  []fault.Attack
	outages  []probe.Outage
	entries  []timeline.Entry
	down     time.Time
	refuse   error // of every attack
	kubectl  [][]string
	stdin    []string
	object   string // what kubectl get prints
	sent     int64
	residue  []string
	neverUp  bool
	didHeal  bool
	attackOK func()
	targets  []string // of the attacks to come
}

func (f *fake) Faults(context.Context) ([]fault.Kind, error) {
	return []fault.Kind{{Name: "all-gone"}, {Name: "blink", Instant: true}}, nil
}

func (f *fake) Attacks(context.Context) ([]fault.Attack, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.attacks), nil
}

func (f *fake) Attack(_ context.Context, r fault.Request) (fault.Attack, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return fault.Attack{}, f.refuse
	}
	a := fault.Attack{ID: "f1", Kind: r.Kind, By: r.By, Asked: time.Now(), State: fault.Active, For: r.For, Targets: []fault.Target{{Name: "web"}}}
	if r.Kind == "blink" {
		a.State = fault.Happened
		if r.For != 0 {
			return a, errors.New("an instant fault cannot last")
		}
	} else {
		if r.For == 0 {
			return a, errors.New("it would last for ever")
		}
		f.down = time.Now()
		f.outages = append(f.outages, probe.Outage{ID: len(f.outages) + 1, Open: true, Began: f.down, Failed: 1})
	}
	f.attacks = append(f.attacks, a)
	f.add("pod-gone", "web/web-1")
	if f.attackOK != nil {
		f.attackOK()
	}
	if len(f.targets) > 0 {
		a.Targets = []fault.Target{{Name: f.targets[0]}}
		f.targets = f.targets[1:]
	}
	return a, nil
}

func (f *fake) add(kind, subject string) {
	f.entries = append(f.entries, timeline.Entry{Seq: int64(len(f.entries) + 1), Wall: time.Now(), Kind: kind, Subject: subject})
}

func (f *fake) Heal(ctx context.Context, _ string) (fault.Attack, error) {
	all, err := f.HealAll(ctx)
	return all[0], err
}

func (f *fake) HealAll(context.Context) ([]fault.Attack, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []fault.Attack
	for i := range f.attacks {
		if a := &f.attacks[i]; !a.State.Over() {
			a.State, a.Residue = fault.Undone, f.residue
			out = append(out, *a)
		}
	}
	if !f.down.IsZero() {
		o := &f.outages[len(f.outages)-1]
		ms := float64(time.Since(f.down).Microseconds()) / 1000
		o.Open, o.LowerMS, o.UpperMS, o.Failed = false, ms-1, ms+1, int(ms/10)
		f.down = time.Time{}
		f.add("pod-ready", "web/web-2")
	}
	f.didHeal = true
	return out, nil
}

func (f *fake) Snapshot(context.Context) (cluster.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := cluster.Snapshot{Synced: true, Target: cluster.Target{Desired: 3, Ready: 3}, Zones: []cluster.Zone{{Nodes: []cluster.Node{{Name: "n", Ready: true}}}}}
	if !f.down.IsZero() {
		s.Target.Ready = 0
	}
	return s, nil
}

func (f *fake) Probe(context.Context) (probe.Summary, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent += 10
	s := probe.Summary{Up: f.down.IsZero() && !f.neverUp, Known: true, Sent: f.sent}
	if !f.down.IsZero() {
		o := f.outages[len(f.outages)-1]
		s.Outage, s.OutageMS = &o, float64(time.Since(f.down).Milliseconds())
	}
	return s, nil
}

func (f *fake) Outages(_ context.Context, after int) ([]probe.Outage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.outages[min(after, len(f.outages)):]), nil
}

func (f *fake) Timeline(_ context.Context, since int64) ([]timeline.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.entries[min(int(since), len(f.entries)):]), nil
}

func (f *fake) Kubectl(_ context.Context, args []string, stdin string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kubectl = append(f.kubectl, args)
	f.stdin = append(f.stdin, stdin)
	if args[0] == "get" {
		return f.object, nil
	}
	if args[0] == "fail" {
		return "", errors.New("it would violate the pod's disruption budget")
	}
	return "done\n", nil
}

func (f *fake) Measure(ctx context.Context, r probe.Request, each func(probe.Report) error) error {
	_ = each(probe.Report{Subject: r.Subject, Lanes: []probe.Summary{{Lane: "reused+write", Sent: 100}}})
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) Cause(_ context.Context, outage int) (cause.Breakdown, error) {
	return cause.Breakdown{Outage: cause.Outage{ID: outage}, EndedBy: "it was healed"}, nil
}

func (f *fake) Load(ctx context.Context, p *load.Plan) (*load.Result, error) {
	<-ctx.Done()
	return &load.Result{Aborted: "ended", All: load.StepResult{Requests: 1}, Samples: []load.Sample{{OK: true}}}, nil
}

func share(v float64) *float64 { return &v }

// held is a rope that is only watched.
type held struct {
	undo    []Undo
	dropped int
}

func (h *held) Note(u Undo) error { h.undo = append(h.undo, u); return nil }
func (h *held) Undone()           { h.dropped++ }

// quick is an experiment of half a second.
func quick(method ...Action) *Experiment {
	e := &Experiment{
		Name: "x", Title: "x", Hypothesis: "x", Before: time.Millisecond, After: 300 * time.Millisecond, Recover: 3 * time.Second,
		Steady: []Condition{{PodsReady: -1}, {ServiceUp: time.Millisecond}}, Method: method,
		Expect: []Expectation{{Outage: &Length{AtMost: duration(0)}}},
	}
	return e
}

func carry(t *testing.T, f *fake, e *Experiment) *Run {
	t.Helper()
	if err := e.Check(); err != nil {
		t.Fatal(err)
	}
	r, err := Carry(t.Context(), f, e, Options{Repetition: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !f.didHeal {
		t.Error("nothing was healed")
	}
	return r
}

func attack(kind string) Action { return Action{Name: "it", Attack: &fault.Request{Kind: kind}} }

func TestARunThatKeepsItsHypothesisPasses(t *testing.T) {
	t.Parallel()
	r := carry(t, &fake{}, quick(attack("blink")))
	if r.Outcome != Pass || r.Seen.Void != "" || len(r.Seen.Attacks) != 1 || r.Seen.Sent == 0 {
		t.Errorf("%+v", r)
	}
}

func TestARunWithAnOutageFails(t *testing.T) {
	t.Parallel()
	e := quick(attack("all-gone"))
	e.Expect = append(e.Expect, Expectation{Recovery: &Within{2 * time.Second, "heal"}}, Expectation{Event: &Seen{Event: Event{Kind: "pod-gone"}}})
	r := carry(t, &fake{}, e)
	if r.Outcome != Fail || r.Verdicts[0].Outcome != Fail || r.Verdicts[1].Outcome != Pass || r.Verdicts[2].Outcome != Pass {
		t.Errorf("%s: %+v", r.Outcome, r.Verdicts)
	}
	if r.Verdicts[0].Value < 200 {
		t.Errorf("the outage lasted %g ms, want about 300", r.Verdicts[0].Value)
	}
	var what []string
	for _, v := range r.Seen.Views {
		what = append(what, v.What)
		if v.What == "worst" && v.Snapshot.Target.Ready != 0 {
			t.Error("the worst moment had pods")
		}
	}
	if strings.Join(what, " ") != "before worst after" {
		t.Errorf("views %v", what)
	}
}

func TestAFaultThatIsNotProvenVoidsTheRun(t *testing.T) {
	t.Parallel()
	r := carry(t, &fake{refuse: errors.New("it could not be proven")}, quick(attack("all-gone")))
	if r.Outcome != Void || !strings.Contains(r.Seen.Void, "could not be proven") {
		t.Errorf("%s: %q", r.Outcome, r.Seen.Void)
	}
}

func TestResidueFailsTheRun(t *testing.T) {
	t.Parallel()
	e := quick(attack("all-gone"))
	e.Expect = []Expectation{{Failed: &Share{AtMost: share(1)}}}
	r := carry(t, &fake{residue: []string{"a table is left"}}, e)
	if r.Outcome != Fail || len(r.Seen.Left) != 1 {
		t.Errorf("%s: %v", r.Outcome, r.Seen.Left)
	}
}

func TestAnOutageBeyondTheLimitAborts(t *testing.T) {
	t.Parallel()
	e := quick(attack("all-gone"))
	e.Abort.Outage, e.After = 300*time.Millisecond, time.Minute
	begin := time.Now()
	r := carry(t, &fake{}, e)
	if r.Outcome != Fail || !strings.Contains(r.Seen.Aborted, "abort: {outage: 300ms}") || time.Since(begin) > 20*time.Second {
		t.Errorf("%s after %v: %q", r.Outcome, time.Since(begin), r.Seen.Aborted)
	}
}

func TestAnInterruptedRunHealsAndUndoes(t *testing.T) {
	t.Parallel()
	f := &fake{}
	ctx, cancel := context.WithCancel(t.Context())
	f.attackOK = func() { time.AfterFunc(50*time.Millisecond, cancel) }
	e := quick(Action{Kubectl: []string{"a"}, Undo: [][]string{{"b"}}}, attack("all-gone"))
	e.After = time.Minute
	if err := e.Check(); err != nil {
		t.Fatal(err)
	}
	r, err := Carry(ctx, f, e, Options{Repetition: 1})
	if err != nil || r.Outcome == Pass || r.Seen.Aborted == "" || !f.didHeal || len(f.kubectl) != 2 || f.kubectl[1][0] != "b" {
		t.Errorf("%v %+v, kubectl %v", err, r, f.kubectl)
	}
}

func TestWhenWaitsForItsEvent(t *testing.T) {
	t.Parallel()
	e := quick(attack("blink"), Action{When: &Condition{Event: &Event{Kind: "pod-gone"}}, Within: time.Second, Kubectl: []string{"x"}})
	f := &fake{}
	if r := carry(t, f, e); r.Outcome != Pass || len(f.kubectl) != 1 {
		t.Errorf("%+v, kubectl %v", r, f.kubectl)
	}
	e = quick(attack("blink"), Action{When: &Condition{Event: &Event{Kind: "never"}}, Within: 300 * time.Millisecond, Heal: "it"})
	if r := carry(t, &fake{}, e); r.Outcome != Void {
		t.Errorf("%s, want void: what it waits for does not come", r.Outcome)
	}
}

func TestAnActiveAttackIsNotTheExperimentsOwn(t *testing.T) {
	t.Parallel()
	f := &fake{attacks: []fault.Attack{{ID: "f7", Kind: "all-gone", State: fault.Active}}}
	if _, err := Carry(t.Context(), f, quick(attack("blink")), Options{Repetition: 1}); err == nil || !strings.Contains(err.Error(), "f7") {
		t.Errorf("%v, want an error that names f7", err)
	}
}

func TestTheSetupIsUndoneAfterTheVerdictAndKeptObjectsArePutBack(t *testing.T) {
	t.Parallel()
	f := &fake{object: `{"kind":"Service","metadata":{"name":"web","uid":"u","resourceVersion":"7"},"spec":{"a":1},"status":{}}`}
	e := quick(attack("blink"))
	e.Setup = []Action{{Keep: []string{"service", "web"}, Kubectl: []string{"patch"}, Undo: [][]string{{"rollout", "status"}}}, {Apply: "manifest"}}
	if err := e.Check(); err != nil {
		t.Fatal(err)
	}
	h := &held{}
	r, err := Carry(t.Context(), f, e, Options{Repetition: 1, Rope: h})
	if err != nil || r.Outcome != Pass {
		t.Fatalf("%v %+v", err, r)
	}
	var verbs []string
	for i, args := range f.kubectl {
		verbs = append(verbs, args[0])
		if args[0] == "replace" && f.stdin[i] != `{"kind":"Service","metadata":{"name":"web"},"spec":{"a":1}}` {
			t.Errorf("put back as %s", f.stdin[i])
		}
	}
	if got := strings.Join(verbs, " "); got != "get patch apply delete replace rollout" {
		t.Errorf("kubectl %s", got)
	}
	if len(h.undo) != 3 || h.dropped != 3 || h.undo[2].Args[0] != "delete" {
		t.Errorf("on the rope: %+v, %d dropped", h.undo, h.dropped)
	}
	if !r.Seen.Injected.IsZero() && r.Seen.Injected.Before(r.Seen.Began) {
		t.Error("the setup counts as the method")
	}
}

func TestACommandThatIsToFailMustFailForItsReason(t *testing.T) {
	t.Parallel()
	budget := regexp.MustCompile("disruption budget")
	if r := carry(t, &fake{}, quick(Action{Kubectl: []string{"fail"}, Fails: budget})); r.Outcome != Pass {
		t.Errorf("%s %+v", r.Outcome, r.Seen)
	}
	if r := carry(t, &fake{}, quick(Action{Kubectl: []string{"drain"}, Fails: budget})); r.Outcome != Fail || !strings.Contains(r.Seen.Aborted, "expected to fail") {
		t.Errorf("%s %q", r.Outcome, r.Seen.Aborted)
	}
	if r := carry(t, &fake{}, quick(Action{Kubectl: []string{"fail"}, Fails: regexp.MustCompile("quota")})); r.Outcome != Fail {
		t.Errorf("%s, want fail: it failed for another reason", r.Outcome)
	}
}

func TestTheGuardEndsARunThatStrikesTooMuch(t *testing.T) {
	t.Parallel()
	e := quick(attack("blink"), Action{Attack: &fault.Request{Kind: "blink"}})
	e.Guard.Targets = 1
	f := &fake{}
	f.targets = []string{"a", "b"}
	if r := carry(t, f, e); r.Outcome != Fail || !strings.Contains(r.Seen.Aborted, "guard allows 1") {
		t.Errorf("%s %q", r.Outcome, r.Seen.Aborted)
	}
}

func TestWhatIsNotInTheCatalogueIsRefusedBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	f := &fake{}
	e := quick(attack("blink"), Action{Attack: &fault.Request{Kind: "meteor"}})
	if err := e.Check(); err != nil {
		t.Fatal(err)
	}
	_, err := Carry(t.Context(), f, e, Options{Repetition: 1})
	if err == nil || !strings.Contains(err.Error(), `no fault "meteor"`) || !strings.Contains(err.Error(), "nothing was done") || len(f.attacks) > 0 {
		t.Errorf("%v, %d attacks", err, len(f.attacks))
	}
	e = quick(attack("blink"))
	e.Load = &load.Plan{Journeys: []load.Journey{{Steps: []load.Step{{URL: "http://no-such-host.invalid/"}}}}, Open: load.Constant(1, time.Second)}
	if _, err := Carry(t.Context(), f, e, Options{Repetition: 1}); err == nil || !strings.Contains(err.Error(), "does not resolve") || len(f.attacks) > 0 {
		t.Errorf("%v, %d attacks", err, len(f.attacks))
	}
}

func TestARescueHealsAndUndoesTheLatestFirst(t *testing.T) {
	t.Parallel()
	f := &fake{attacks: []fault.Attack{{ID: "f1", By: "experiment x", State: fault.Active}}}
	if err := Rescue(t.Context(), f, "experiment x", []Undo{{Args: []string{"first"}}, {Args: []string{"second"}, Stdin: "in"}}); err != nil {
		t.Fatal(err)
	}
	if !f.didHeal || len(f.kubectl) != 2 || f.kubectl[0][0] != "second" || f.stdin[0] != "in" {
		t.Errorf("healed %v, kubectl %v", f.didHeal, f.kubectl)
	}
}

func TestARunKeepsSamplesCausesAndLooks(t *testing.T) {
	t.Parallel()
	e := quick(attack("all-gone"))
	e.Probe, e.Before = []string{"api"}, 300*time.Millisecond
	e.Expect = []Expectation{{Lost: &Lost{Of: "api"}}, {Outage: &Length{Of: "api", AtMost: duration(0)}}}
	r := carry(t, &fake{}, e)
	if r.Outcome != Pass || r.Seen.Sampled() == nil || len(r.Seen.Sampled().Samples) != 1 || len(r.Seen.Causes) != 1 || len(r.Seen.Looks) == 0 {
		t.Errorf("%s: %+v", r.Outcome, r.Seen)
	}
	phases := r.Seen.Phases()
	if len(phases) != 3 || phases[1].Pods != 0 || phases[0].Pods != 3 {
		t.Errorf("%+v", phases)
	}
}

func TestTheShortFormOnlyCutsPauses(t *testing.T) {
	e := quick(attack("blink"), Action{After: time.Minute, Heal: "all"})
	e.Before, e.After = time.Minute, time.Minute
	if err := e.Check(); err != nil {
		t.Fatal(err)
	}
	e.Shorten()
	if e.Before != time.Second || e.After != 3*time.Second || e.Method[1].After != 6*time.Second || len(e.Method) != 2 {
		t.Errorf("%+v", e)
	}
}

func TestProgressCountsNewReplicasThatAreReady(t *testing.T) {
	for _, c := range []struct {
		object string
		want   float64
	}{
		{`{"metadata":{"generation":2},"spec":{"replicas":4},"status":{"observedGeneration":1,"updatedReplicas":4,"replicas":4,"readyReplicas":4}}`, 0},
		{`{"metadata":{"generation":2},"spec":{"replicas":4},"status":{"observedGeneration":2,"updatedReplicas":2,"replicas":5,"readyReplicas":4}}`, 0.25},
		{`{"metadata":{"generation":2},"spec":{"replicas":4},"status":{"observedGeneration":2,"updatedReplicas":4,"replicas":4,"readyReplicas":4}}`, 1},
		{`{"status":{}}`, 0},
	} {
		if got, err := progress([]byte(c.object)); err != nil || got != c.want {
			t.Errorf("%s: %g %v, want %g", c.object, got, err, c.want)
		}
	}
}

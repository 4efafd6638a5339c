package fault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// world is what fake steps change: names with values, and what goes wrong.
type world struct {
	mu     sync.Mutex
	values map[string]string
	log    []string // what was called, "inject a"

	failInject map[string]error
	failVerify map[string]error // until patience ends
	failUndo   map[string]int   // how often
	refuse     map[string]error // of State
	keep       map[string]bool  // Undo does not restore: residue
	block      map[string]chan struct{}
	began      chan string // names of injections that block
	panics     map[string]bool
}

func newWorld() *world {
	return &world{
		values: map[string]string{}, failInject: map[string]error{}, failVerify: map[string]error{}, failUndo: map[string]int{},
		refuse: map[string]error{}, keep: map[string]bool{}, block: map[string]chan struct{}{}, began: make(chan string, 16), panics: map[string]bool{},
	}
}

func (w *world) get(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.values[name]
}

func (w *world) calls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

// set changes a value and notes who did; "" removes it.
func (w *world) set(name, value, call string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, call+" "+name)
	if value == "" {
		delete(w.values, name)
	} else {
		w.values[name] = value
	}
}

// fake is a step that sets a value of the world.
type fake struct {
	w        *world
	Name     string `json:"name"`
	Original string `json:"original"`
	Holds    string `json:"holds"`
}

func (f *fake) Mechanism() string { return "fake" }
func (f *fake) Touches() []string { return []string{"value/" + f.Holds} }

func (f *fake) Inject(ctx context.Context) error {
	f.w.mu.Lock()
	err, block, panics := f.w.failInject[f.Name], f.w.block[f.Name], f.w.panics[f.Name]
	f.w.mu.Unlock()
	f.w.set(f.Name, "broken", "inject")
	if panics {
		panic("a mistake")
	}
	if block != nil {
		f.w.began <- f.Name
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (f *fake) Verify(context.Context) (string, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.log = append(f.w.log, "verify "+f.Name)
	if err := f.w.failVerify[f.Name]; err != nil {
		return "", err
	}
	if f.w.values[f.Name] != "broken" {
		return "", fmt.Errorf("%s is %q", f.Name, f.w.values[f.Name])
	}
	return f.Name + " is broken", nil
}

func (f *fake) Undo(context.Context) error {
	f.w.mu.Lock()
	fails, keep := f.w.failUndo[f.Name], f.w.keep[f.Name]
	if fails > 0 {
		f.w.failUndo[f.Name]--
	}
	f.w.mu.Unlock()
	switch {
	case fails > 0:
		f.w.set(f.Name, f.w.get(f.Name), "fail-undo")
		return errors.New("stuck")
	case keep:
		return nil
	}
	f.w.set(f.Name, f.Original, "undo")
	return nil
}

func (f *fake) State(context.Context) (map[string]string, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	value := f.w.values[f.Name]
	if value == "" {
		value = "whole"
	}
	return map[string]string{"value of " + f.Name: value}, f.w.refuse[f.Name]
}

func (w *world) mechanics(name string) Step {
	if name == "fake" {
		return &fake{w: w}
	}
	return nil
}

func (w *world) step(name string) *fake {
	return &fake{w: w, Name: name, Original: w.get(name), Holds: name}
}

// kinds is a small catalogue: break any of four things, two at once, or one for
// good.
func (w *world) kinds() []Kind {
	find := func(_ context.Context, selector string) ([]Target, error) {
		var out []Target
		for _, name := range []string{"a", "b", "c", "d"} {
			if selector == "any" || selector == name {
				out = append(out, Target{Type: "thing", Name: name})
			}
		}
		return out, nil
	}
	plan := func(_ context.Context, in Input) (Plan, error) {
		var steps []Step
		for _, t := range in.Targets {
			steps = append(steps, w.step(t.Name))
		}
		return Together(steps...), nil
	}
	order := func(_ context.Context, in Input) (Plan, error) {
		return inOrder(w.step(in.Targets[0].Name+"-first"), w.step(in.Targets[0].Name+"-second")), nil
	}
	return []Kind{
		{Name: "thing-break", Layer: LayerPod, Targets: "thing", TargetHelp: "a to d, any", Find: find, Plan: plan,
			Params: []Param{{Name: "delay", Type: Duration, Min: "1ms", Max: "10s", Default: "50ms", Help: "how long"}}},
		{Name: "thing-end", Layer: LayerPod, Targets: "thing", TargetHelp: "a to d", Find: find, Plan: plan, Instant: true},
		{Name: "thing-order", Layer: LayerNode, Targets: "thing", TargetHelp: "a to d", Find: find, Plan: order},
		{Name: "thing-far", Layer: LayerNode, Targets: "thing", TargetHelp: "a", Find: find, Plan: plan, Unavailable: "the kernel has no such thing"},
		{Name: "self-chosen", Layer: LayerEtcd, Plan: func(context.Context, Input) (Plan, error) { return Together(w.step("leader")), nil }},
		Compound(),
	}
}

// rig is an engine that can die.
type rig struct {
	t    *testing.T
	w    *world
	dir  string
	boot string
	*Engine
	end context.CancelFunc
	ran chan struct{}

	mu      sync.Mutex
	entries []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, w: newWorld(), dir: t.TempDir(), boot: "boot-1"}
	r.start()
	return r
}

// start begins a new engine on the journal.
func (r *rig) start() {
	r.t.Helper()
	r.open()
	r.run()
}

func (r *rig) open() {
	r.t.Helper()
	j, err := OpenJournal(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Engine, err = New(Config{Journal: j, Kinds: r.w.kinds(), Mechanics: r.w.mechanics, Guard: DefaultGuard(), Epoch: r.boot,
		Record: func(kind, subject, _ string, _ map[string]string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.entries = append(r.entries, kind+" "+subject)
		}})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	ran := make(chan struct{})
	e := r.Engine
	go func() { defer close(ran); e.Run(ctx) }()
	r.end, r.ran = cancel, ran
	r.t.Cleanup(r.stop)
}

// stop ends the engine as a daemon that is asked to end does.
func (r *rig) stop() { r.end(); <-r.ran }

// attack expects success.
func (r *rig) attack(q Request) Attack {
	r.t.Helper()
	a, err := r.Attack(r.t.Context(), q)
	if err != nil {
		r.t.Fatalf("%+v: %v", q, err)
	}
	return a
}

// state waits until an attack is in a state.
func (r *rig) state(id string, want State) Attack {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		changed := r.Changed()
		a, ok := r.Get(id)
		if ok && a.State == want {
			return a
		}
		select {
		case <-changed:
		case <-time.After(time.Until(deadline)):
			r.t.Fatalf("%s is %q (%+v), want %q", id, a.State, a, want)
		}
	}
}

func (r *rig) timeline() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.entries)
}

// whole fails the test unless nothing is broken.
func (r *rig) whole() {
	r.t.Helper()
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if len(r.w.values) > 0 {
		r.t.Errorf("left behind: %v", maps.Clone(r.w.values))
	}
}

// inOrder is a plan whose steps follow each other.
func inOrder(steps ...Step) Plan {
	var p Plan
	for _, s := range steps {
		p.Stages = append(p.Stages, Stage{Steps: []Step{s}})
	}
	return p
}

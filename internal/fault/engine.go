package fault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"zdl/internal/cluster"
)

// Kinds of entries that the engine adds to the timeline.
const (
	EntryIntent   = "fault-intent"
	EntryInjected = "fault-injected"
	EntryVerified = "fault-verified"
	EntryUndone   = "fault-undone"
	EntryFailed   = "fault-failed"
	EntryResidue  = "fault-residue"
	EntryResumed  = "fault-resumed"
)

// Config is what an engine is made of.
type Config struct {
	Journal   *Journal
	Kinds     []Kind
	Mechanics Mechanics
	Guard     Guard
	// Record adds an entry to the timeline; nil: none is kept.
	Record func(kind, subject, text string, fields map[string]string)
	// HostBoot identifies this boot of the host. After another one nothing that
	// was done to its kernel is left, so attacks are undone and not resumed.
	HostBoot string
	Log      *slog.Logger // default: discarded
}

// Engine injects, verifies and undoes. It may die at any moment: a new one with
// the same journal goes on where it was.
type Engine struct {
	Config
	mu      sync.Mutex
	attacks []*live // in the order of their numbers
	number  int
	wake    chan struct{}
	work    sync.WaitGroup
}

// live is an attack in this process. Its lock is held through every change, so
// that healing waits for an injection under way. shown is what others see.
type live struct {
	busy  sync.Mutex
	a     *Attack // owned by who holds busy
	retry time.Time
	wait  time.Duration

	shown Attack // guarded by Engine.mu
}

// undoPatience bounds one try of an undo, and the comparison after it.
const (
	undoPatience   = 60 * time.Second
	settlePatience = 10 * time.Second
	verifyPatience = 10 * time.Second
	retryLongest   = 5 * time.Second
)

// New reads the journal. Nothing is undone or resumed before Run.
func New(c Config) (*Engine, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Record == nil {
		c.Record = func(string, string, string, map[string]string) {}
	}
	e := &Engine{Config: c, wake: make(chan struct{})}
	attacks, err := c.Journal.Read()
	if err != nil {
		// One damaged file must not keep the others from being undone.
		c.Log.Error("the journal of faults is damaged", "error", err)
		c.Record(EntryFailed, "journal", "The journal of faults is damaged: "+err.Error(), nil)
	}
	for _, a := range attacks {
		e.number = max(e.number, a.Number)
		e.attacks = append(e.attacks, &live{a: a, shown: a.public()})
	}
	return e, nil
}

// Run takes over what the journal says is not over, ends attacks when their
// time has come, and tries undos again until they succeed, until ctx ends. Attacks
// outlive it.
func (e *Engine) Run(ctx context.Context) {
	defer e.work.Wait()
	for _, l := range e.unfinished() {
		e.work.Go(func() { e.resume(ctx, l) })
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, l := range e.due(now) {
				e.work.Go(func() {
					if _, err := e.undo(ctx, l, true); err != nil {
						e.Log.Warn("undo of a fault will be tried again", "attack", l.a.ID, "error", err)
					}
				})
			}
		}
	}
}

func (e *Engine) unfinished() []*live {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*live
	for _, l := range e.attacks {
		if !l.shown.State.Over() {
			out = append(out, l)
		}
	}
	return out
}

// due lists attacks whose time is over or whose undo is to be tried again.
// Those that somebody works on are left out.
func (e *Engine) due(now time.Time) []*live {
	var out []*live
	for _, l := range e.unfinished() {
		e.mu.Lock()
		_, lasts := l.shown.remaining(now)
		due := l.shown.State == Active && !lasts || l.shown.State == Undoing && !l.retry.IsZero() && now.After(l.retry)
		if due {
			l.retry = time.Time{} // undo sets it again when it fails
		}
		e.mu.Unlock()
		if due && l.busy.TryLock() {
			l.busy.Unlock()
			out = append(out, l)
		}
	}
	return out
}

// Catalogue lists all kinds.
func (e *Engine) Catalogue() []Kind { return e.Kinds }

// Kind returns a kind of the catalogue, or nil.
func (e *Engine) Kind(name string) *Kind {
	for i := range e.Kinds {
		if e.Kinds[i].Name == name {
			return &e.Kinds[i]
		}
	}
	return nil
}

// Find is Kind with an error that names what was perhaps meant.
func (e *Engine) Find(name string) (*Kind, error) {
	if k := e.Kind(name); k != nil {
		return k, nil
	}
	return nil, refuse("There is no fault %q.", name).hint("%s", e.nearest(name))
}

// Attacks lists what the journal holds, oldest first: active ones and the latest
// that are over.
func (e *Engine) Attacks() []Attack {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]Attack, len(e.attacks))
	for i, l := range e.attacks {
		out[i] = l.shown
	}
	return out
}

// Get returns one attack by ID.
func (e *Engine) Get(id string) (Attack, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.attacks {
		if l.shown.ID == id {
			return l.shown, true
		}
	}
	return Attack{}, false
}

// Changed gives a channel that is closed at the next change of any attack.
func (e *Engine) Changed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.wake
}

// show publishes the attack that the caller holds.
func (e *Engine) show(l *live) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.shown = l.a.public()
	close(e.wake)
	e.wake = make(chan struct{})
}

// Attack plans, writes down, injects and proves a fault. It returns when the
// fault is proven, or an error after everything was taken back. Errors of type
// *Error mean that nothing was touched.
func (e *Engine) Attack(ctx context.Context, r Request) (Attack, error) {
	begin := time.Now()
	if r.Seed == 0 {
		r.Seed = rand.Uint64()>>11 | 1 // exact in JavaScript
	}
	if r.For < 0 {
		return Attack{}, refuse("A fault cannot last %v.", r.For).hint("--for 30s, or 0 until it is healed")
	}
	if r.By == "" {
		r.By = "somebody"
	}
	l, err := e.reserve(ctx, r)
	if err != nil {
		return Attack{}, err
	}
	defer l.busy.Unlock()
	e.work.Add(1)
	defer e.work.Done()
	// From here on the fault is completed or taken back, whoever hangs up.
	ctx = context.WithoutCancel(ctx)
	if err := e.inject(ctx, l, begin); err != nil {
		l.a.Error = err.Error()
		e.Record(EntryFailed, subject(l.a), fmt.Sprintf("%s failed: %v", l.a.Kind, err), fields(l.a))
		undoErr := e.takeBack(ctx, l, Failed)
		return l.a.public(), errors.Join(fmt.Errorf("%s on %s: %w", l.a.Kind, subject(l.a), err), undoErr)
	}
	return l.a.public(), nil
}

// reserve plans an attack, checks it against guard and active attacks, and
// writes the intent down. The result is locked.
func (e *Engine) reserve(ctx context.Context, r Request) (*live, error) {
	e.mu.Lock()
	e.number++
	n := e.number
	e.mu.Unlock()
	a := &Attack{ID: "f" + strconv.Itoa(n), Number: n, Kind: r.Kind, By: r.By, For: r.For, Seed: r.Seed, State: Intended,
		Asked: time.Now().Round(0).UTC(), HostBoot: e.HostBoot}
	plan, err := e.plan(ctx, &r, a)
	if err != nil {
		return nil, err
	}
	a.Touches, a.Patience = plan.touches(), plan.Patience
	for _, s := range plan.Stages {
		w := stage{After: s.After}
		for _, step := range s.Steps {
			rec, err := recordOf(step)
			if err != nil {
				return nil, err
			}
			if rec.Before, err = step.State(ctx); err != nil {
				return nil, refuse("What %s is to change could not be looked at: %v.", r.Kind, err).hint("nothing was touched; zdl status shows what answers")
			}
			w.Steps = append(w.Steps, rec)
		}
		a.Stages = append(a.Stages, w)
	}
	l := &live{a: a}
	l.busy.Lock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := clash(plan, e.activeLocked()); err != nil {
		return nil, err
	}
	if err := e.Journal.Write(a, true); err != nil {
		return nil, fmt.Errorf("nothing was touched: %w", err)
	}
	l.shown = a.public()
	e.attacks = append(e.attacks, l)
	e.forgetLocked()
	e.Record(EntryIntent, subject(a), fmt.Sprintf("%s: %s on %s%s", a.By, a.Kind, subject(a), lasting(a)), fields(a))
	return l, nil
}

func (e *Engine) activeLocked() []*Attack {
	var out []*Attack
	for _, l := range e.attacks {
		if !l.shown.State.Over() {
			out = append(out, &l.shown)
		}
	}
	return out
}

func (e *Engine) forgetLocked() {
	for i := 0; len(e.attacks) > keepOver && i < len(e.attacks); {
		if l := e.attacks[i]; l.shown.State.Over() {
			_ = e.Journal.Forget(l.shown.ID) // it stays in the list of the next daemon at worst
			e.attacks = slices.Delete(e.attacks, i, i+1)
			continue
		}
		i++
	}
}

// plan resolves a request, and its parts, into steps.
func (e *Engine) plan(ctx context.Context, r *Request, a *Attack) (*Plan, error) {
	if len(r.Parts) > 0 || r.Kind == compound {
		return e.planParts(ctx, r, a)
	}
	kind := e.Kind(r.Kind)
	if kind == nil {
		return nil, refuse("There is no fault %q.", r.Kind).hint("%s", e.nearest(r.Kind))
	}
	if kind.Unavailable != "" {
		return nil, refuse("%s is not available here: %s.", kind.Name, kind.Unavailable).hint("zdl faults shows which are")
	}
	if kind.Instant && r.For > 0 {
		return nil, refuse("%s is over once it happened, so it cannot last %v.", kind.Name, r.For).hint("leave --for out")
	}
	values, err := resolve(kind.Name, kind.Params, r.Params)
	if err != nil {
		return nil, err
	}
	candidates, err := find(ctx, kind, r.Target)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(candidates, r.Mode, r.Value, r.Seed)
	if err != nil {
		return nil, err
	}
	if !r.Force {
		e.mu.Lock()
		active := len(e.activeLocked())
		e.mu.Unlock()
		if err := e.Guard.check(kind, candidates, chosen, active); err != nil {
			return nil, err
		}
	}
	plan, err := kind.Plan(ctx, Input{Targets: chosen, Values: values, For: r.For, Seed: r.Seed, Force: r.Force, ID: a.ID})
	if err != nil {
		return nil, err
	}
	a.Targets, a.Values, a.Layer, a.Instant = append(a.Targets, chosen...), values, kind.Layer, kind.Instant
	return &plan, plan.check()
}

func find(ctx context.Context, kind *Kind, selector string) ([]Target, error) {
	if kind.Find == nil {
		if selector != "" {
			return nil, refuse("%s chooses its target itself.", kind.Name).hint("leave %q out", selector)
		}
		return []Target{{Type: string(kind.Layer), Name: string(kind.Layer)}}, nil
	}
	if selector == "" {
		selector = kind.DefaultTarget
	}
	if selector == "" {
		return nil, refuse("%s needs a target.", kind.Name).hint("a target is %s", kind.TargetHelp)
	}
	candidates, err := kind.Find(ctx, selector)
	if err != nil {
		return nil, err
	}
	if len(candidates) == 0 {
		return nil, refuse("Nothing matches %q.", selector).hint("a target is %s", kind.TargetHelp)
	}
	return candidates, nil
}

// inject makes every step and proves it.
func (e *Engine) inject(ctx context.Context, l *live, begin time.Time) error {
	a := l.a
	if err := e.apply(ctx, a); err != nil {
		return err
	}
	a.State, a.Injected, a.InjectMS = Injected, time.Now().Round(0).UTC(), since(begin)
	e.show(l)
	e.Record(EntryInjected, subject(a), fmt.Sprintf("%s: injected on %s after %.1f ms", a.Kind, subject(a), a.InjectMS), fields(a))
	if err := e.prove(ctx, a); err != nil {
		return err
	}
	now := time.Now()
	a.State, a.Verified, a.VerifyMS = Active, now.Round(0).UTC(), since(begin)
	if a.For > 0 {
		a.Until = now.Add(a.For).Round(0).UTC()
	}
	if a.Instant {
		a.State, a.Ended = Happened, a.Verified
	}
	e.Record(EntryVerified, subject(a), fmt.Sprintf("%s took effect on %s: %s", a.Kind, subject(a), evidence(a)), fields(a))
	e.show(l)
	if err := e.Journal.Write(a, false); err != nil {
		return err
	}
	return nil
}

func (e *Engine) apply(ctx context.Context, a *Attack) error {
	for _, s := range a.Stages {
		if s.After > 0 {
			time.Sleep(s.After)
		}
		if err := each(s.Steps, func(r *record) error { return r.step.Inject(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// prove verifies every step, again and again until patience ends.
func (e *Engine) prove(ctx context.Context, a *Attack) error {
	patience := max(a.Patience, verifyPatience)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mu sync.Mutex
	a.Evidence = nil
	for _, s := range a.Stages {
		err := each(s.Steps, func(r *record) error {
			pause := time.Millisecond
			for {
				text, err := r.step.Verify(ctx)
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					if text != "" {
						a.Evidence = append(a.Evidence, text)
					}
					return nil
				}
				select {
				case <-ctx.Done():
					return fmt.Errorf("it could not be proven within %v: %w", patience, err)
				case <-time.After(pause):
					pause = min(2*pause, 100*time.Millisecond)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	slices.Sort(a.Evidence)
	return nil
}

// each calls do for all records at the same time and joins the errors.
func each(records []*record, do func(*record) error) error {
	if len(records) == 1 {
		return do(records[0])
	}
	errs := make([]error, len(records))
	var wg sync.WaitGroup
	for i, r := range records {
		wg.Go(func() { errs[i] = do(r) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func since(t time.Time) float64 { return float64(time.Since(t).Microseconds()) / 1000 }

// Able tells whether a kind's needs are met, with the reason when not.
func Able(needs, have []cluster.Capability) string {
	for _, n := range needs {
		if !slices.Contains(have, n) {
			return fmt.Sprintf("this cluster's provider cannot do %q", n)
		}
	}
	return ""
}

package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"
)

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
	if !e.enter() {
		return Attack{}, refuse("No fault is begun: %v.", errStopping).hint("zdl up starts it again")
	}
	defer e.work.Done()
	// From its intent on the fault is completed or taken back, whoever hangs up.
	working, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	l, err := e.reserve(ctx, &r, stop)
	if err != nil {
		return Attack{}, refusal(r.Kind, err)
	}
	defer l.busy.Unlock()
	err = e.inject(working, l, begin)
	e.mu.Lock()
	l.stop = nil
	e.mu.Unlock()
	if err == nil {
		return l.a.public(), nil
	}
	end := Failed
	if cause := context.Cause(working); cause != nil {
		err = cause
		if errors.Is(cause, errHealed) {
			end = Undone
		}
	}
	l.a.Error = err.Error()
	e.Record(EntryFailed, subject(l.a), fmt.Sprintf("%s on %s failed and is taken back: %v", l.a.Kind, subject(l.a), err), fields(l.a))
	undoErr := e.takeBack(l, end)
	return l.a.public(), errors.Join(fmt.Errorf("%s on %s: %w", l.a.Kind, subject(l.a), err), undoErr)
}

// refusal makes sure that an error from before anything was touched says so.
func refusal(kind string, err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	if kind == "" {
		kind = compound
	}
	e := refuse("%s was not begun: %v.", kind, err).hint("nothing was touched; zdl status shows what answers")
	e.cause = err
	return e
}

// replans bounds how often an attack is planned anew because another one that
// touched the same ended meanwhile.
const replans = 5

// reserve plans an attack, checks it against guard and active attacks, and
// writes the intent down. The result is locked.
func (e *Engine) reserve(ctx context.Context, r *Request, stop context.CancelCauseFunc) (*live, error) {
	e.mu.Lock()
	e.number++
	n := e.number
	e.mu.Unlock()
	l, err := e.reserveAs(ctx, n, r, stop)
	if err != nil {
		e.mu.Lock()
		if e.number == n { // nothing was written under it
			e.number--
		}
		e.mu.Unlock()
	}
	return l, err
}

func (e *Engine) reserveAs(ctx context.Context, n int, r *Request, stop context.CancelCauseFunc) (*live, error) {
	for range replans {
		e.mu.Lock()
		ends := e.ends
		e.mu.Unlock()
		a := &Attack{ID: "f" + strconv.Itoa(n), Number: n, Kind: r.Kind, By: r.By, For: r.For, Seed: r.Seed, State: Intended,
			Asked: time.Now().Round(0).UTC(), Epoch: e.Epoch}
		plan, err := e.prepare(ctx, r, a)
		if err != nil {
			return nil, err
		}
		l := &live{id: a.ID, a: a, stop: stop}
		l.busy.Lock()
		clear, err := e.claim(l, plan, ends, r.Force)
		if err != nil {
			return nil, err
		}
		if !clear {
			continue
		}
		if err := e.Journal.Intend(a); err != nil {
			e.disclaim(l)
			return nil, err
		}
		e.Record(EntryIntent, subject(a), fmt.Sprintf("%s: %s on %s%s", a.By, a.Kind, subject(a), lasting(a)), fields(a))
		return l, nil
	}
	return nil, refuse("Other attacks on the same target end again and again.").hint("try again in a moment")
}

// prepare plans an attack and looks at what it is to change.
func (e *Engine) prepare(ctx context.Context, r *Request, a *Attack) (*Plan, error) {
	plan, err := e.plan(ctx, r, a)
	if err != nil {
		return nil, err
	}
	a.Touches, a.Patience = plan.touches(), plan.Patience
	for _, s := range plan.Stages {
		w := stage{After: s.After, Prove: s.Prove}
		for _, step := range s.Steps {
			rec, err := recordOf(step)
			if err != nil {
				return nil, err
			}
			if rec.Before, err = step.State(ctx); err != nil {
				return nil, fmt.Errorf("what it is to change could not be looked at: %w", err)
			}
			w.Steps = append(w.Steps, rec)
		}
		a.Stages = append(a.Stages, w)
	}
	return plan, nil
}

// claim enters an attack among the others, unless it contradicts an active one.
// It is false when an attack that touched the same ended since the plan was
// begun: then the plan may have taken that one's fault for the state to restore.
func (e *Engine) claim(l *live, plan *Plan, ends uint64, force bool) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	active := e.activeLocked()
	if err := clash(plan, active); err != nil {
		return false, err
	}
	if n := e.Guard.Concurrent; n > 0 && len(active) >= n && !force {
		return false, refuse("%d attacks are active already.", len(active)).hint("heal some: zdl heal --all; --force if you mean it")
	}
	if e.closed {
		return false, refuse("No fault is begun: %v.", errStopping).hint("zdl up starts it again")
	}
	for _, other := range e.attacks {
		if other.ended > ends && slices.ContainsFunc(other.shown.Touches, func(t string) bool { return slices.Contains(l.a.Touches, t) }) {
			return false, nil
		}
	}
	l.shown = l.a.public()
	e.attacks = append(e.attacks, l)
	e.forgetLocked()
	e.wakeLocked()
	return true, nil
}

// disclaim takes out an attack of which nothing was begun.
func (e *Engine) disclaim(l *live) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.attacks = slices.DeleteFunc(e.attacks, func(o *live) bool { return o == l })
	_ = e.Journal.Forget(l.id) // it may have been half written
	e.wakeLocked()
}

// plan resolves a request, and its parts, into steps.
func (e *Engine) plan(ctx context.Context, r *Request, a *Attack) (*Plan, error) {
	if len(r.Parts) > 0 || r.Kind == compound {
		return e.planParts(ctx, r, a)
	}
	kind, err := e.Find(r.Kind)
	if err != nil {
		return nil, err
	}
	switch {
	case kind.Unavailable != "":
		return nil, refuse("%s is not available here: %s.", kind.Name, kind.Unavailable).hint("zdl faults shows which are")
	case kind.Instant && r.For > 0:
		return nil, refuse("%s is over once it happened, so it cannot last %v.", kind.Name, r.For).hint("leave --for out")
	case r.Sequence || r.Pause != 0:
		return nil, refuse("Only an attack of several parts has an order and a pause.").hint("give it parts")
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
		if err := e.Guard.check(kind, candidates, chosen); err != nil {
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
	proven := 0
	for i := range a.Stages {
		if err := pause(ctx, a.Stages[i].After); err != nil {
			return err
		}
		if err := makeSteps(ctx, a.Stages[i].Steps); err != nil {
			return err
		}
		if a.Stages[i].Prove {
			if err := prove(ctx, a, proven, i+1); err != nil {
				return err
			}
			proven = i + 1
		}
	}
	a.State, a.Injected, a.InjectMS = Injected, time.Now().Round(0).UTC(), since(begin)
	e.show(l)
	e.Record(EntryInjected, subject(a), fmt.Sprintf("%s: injected on %s after %.1f ms", a.Kind, subject(a), a.InjectMS), fields(a))
	if err := prove(ctx, a, proven, len(a.Stages)); err != nil {
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
	// Of one that happened there is no later word, by which its intent's file
	// would be free again.
	if err := e.Journal.Write(a, a.Instant); err != nil {
		return err
	}
	e.expire(l, now)
	e.show(l)
	e.Record(EntryVerified, subject(a), fmt.Sprintf("%s took effect on %s: %s", a.Kind, subject(a), evidence(a)), fields(a))
	return nil
}

// expire sets when an attack that is active from now on is to be undone.
func (e *Engine) expire(l *live, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if left, lasts := l.a.remaining(now); l.a.For > 0 && lasts {
		l.until = now.Add(left)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func makeSteps(ctx context.Context, steps []*record) error {
	return each(steps, func(r *record) error { return r.step.Inject(ctx) })
}

// prove verifies every step of some stages, again and again until patience ends.
func prove(ctx context.Context, a *Attack, from, to int) error {
	patience := a.Patience
	if patience == 0 {
		patience = verifyPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, s := range a.Stages[from:to] {
		var mu sync.Mutex
		var found []string
		err := each(s.Steps, func(r *record) error {
			text, err := proof(ctx, r, patience)
			mu.Lock()
			defer mu.Unlock()
			if text != "" {
				found = append(found, text)
			}
			return err
		})
		if err != nil {
			return err
		}
		slices.Sort(found)
		a.Evidence = append(a.Evidence, found...)
	}
	return nil
}

func proof(ctx context.Context, r *record, patience time.Duration) (string, error) {
	wait := time.Millisecond
	for {
		text, err := r.step.Verify(ctx)
		if err == nil {
			return text, nil
		}
		if pause(ctx, wait) != nil {
			return "", fmt.Errorf("it could not be proven within %v: %w", patience, err)
		}
		wait = min(2*wait, 100*time.Millisecond)
	}
}

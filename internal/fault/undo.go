package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Heal takes an attack back and returns when it is undone and compared. One that
// is over stays as it is. An error means that the undo goes on being tried.
func (e *Engine) Heal(ctx context.Context, id string) (Attack, error) {
	for _, l := range e.all() {
		if l.id() == id {
			return e.undo(ctx, l, false)
		}
	}
	return Attack{}, refuse("There is no attack %q.", id).hint("zdl attacks lists them")
}

func (e *Engine) all() []*live {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*live{}, e.attacks...)
}

func (l *live) id() string { return l.shown.ID } // never changes

// HealAll takes every attack back, the latest first, so that what one was built
// on is still there when it is undone. It returns those that it healed.
func (e *Engine) HealAll(ctx context.Context) ([]Attack, error) {
	healed := []Attack{}
	var errs error
	todo := e.unfinished()
	for i := len(todo) - 1; i >= 0; i-- {
		a, err := e.undo(ctx, todo[i], false)
		errs = errors.Join(errs, err)
		healed = append(healed, a)
	}
	// What failed may have needed what was healed after it.
	if errs != nil {
		errs = nil
		for _, l := range e.unfinished() {
			a, err := e.undo(ctx, l, false)
			errs = errors.Join(errs, err)
			for i := range healed {
				if healed[i].ID == a.ID {
					healed[i] = a
				}
			}
		}
	}
	return healed, errs
}

// undo takes an attack back. With expired only when its time is over or an
// earlier undo failed.
func (e *Engine) undo(ctx context.Context, l *live, expired bool) (Attack, error) {
	l.busy.Lock()
	defer l.busy.Unlock()
	if l.a.State.Over() {
		return l.a.public(), nil
	}
	if expired {
		if _, lasts := l.a.remaining(time.Now()); lasts && l.a.State == Active {
			return l.a.public(), nil
		}
	}
	err := e.takeBack(context.WithoutCancel(ctx), l, Undone)
	return l.a.public(), err
}

// takeBack undoes all steps, compares, and ends the attack in the given state.
// The caller holds l.
func (e *Engine) takeBack(ctx context.Context, l *live, end State) error {
	begin := time.Now()
	a := l.a
	if a.Error != "" && a.State != Undoing {
		end = Failed
	}
	a.State = Undoing
	e.show(l)
	if err := e.Journal.Write(a, false); err != nil {
		e.Log.Error("write the journal of faults", "error", err)
	}
	err := e.undoSteps(ctx, a)
	if err != nil {
		l.wait = min(max(2*l.wait, 200*time.Millisecond), retryLongest)
		e.mu.Lock()
		l.retry = time.Now().Add(l.wait)
		e.mu.Unlock()
		err = fmt.Errorf("undo %s (%s) is not complete and will be tried again: %w", a.ID, a.Kind, err)
		a.Error = err.Error()
		e.show(l)
		return errors.Join(err, e.Journal.Write(a, true))
	}
	a.UndoMS = since(begin)
	a.Residue = e.residue(ctx, a)
	a.State, a.Ended = end, time.Now().Round(0).UTC()
	if end == Undone {
		a.Error = ""
	}
	e.show(l)
	e.Record(EntryUndone, subject(a), fmt.Sprintf("%s on %s was undone in %.1f ms", a.Kind, subject(a), a.UndoMS), fields(a))
	if len(a.Residue) > 0 {
		e.Record(EntryResidue, subject(a), fmt.Sprintf("%s left something behind: %s", a.Kind, strings.Join(a.Residue, "; ")), fields(a))
	}
	return e.Journal.Write(a, true)
}

// undoSteps goes through the stages backwards. A step that fails does not keep
// the others from being undone.
func (e *Engine) undoSteps(ctx context.Context, a *Attack) error {
	ctx, cancel := context.WithTimeout(ctx, undoPatience)
	defer cancel()
	var errs error
	for i := len(a.Stages) - 1; i >= 0; i-- {
		errs = errors.Join(errs, each(a.Stages[i].Steps, func(r *record) error {
			if r.Undone {
				return nil
			}
			if err := r.step.Undo(ctx); err != nil {
				return fmt.Errorf("%s: %w", r.Mechanism, err)
			}
			r.Undone = true
			return nil
		}))
	}
	return errs
}

// residue compares the state of everything that the attack may have touched with
// what it was, giving it a moment to settle.
func (e *Engine) residue(ctx context.Context, a *Attack) []string {
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	for {
		left := compare(ctx, a)
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return left
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func compare(ctx context.Context, a *Attack) []string {
	var left []string
	for _, s := range a.Stages {
		for _, r := range s.Steps {
			after, err := r.step.State(ctx)
			if err != nil {
				left = append(left, fmt.Sprintf("%s could not be compared: %v", r.Mechanism, err))
				continue
			}
			left = append(left, difference(r.Before, after)...)
		}
	}
	return left
}

// difference lists what is not the same, in the order of the names.
func difference(before, after map[string]string) []string {
	var out []string
	for _, name := range sortedKeys(before) {
		if now, ok := after[name]; !ok {
			out = append(out, fmt.Sprintf("%s is missing; it was %s", name, before[name]))
		} else if now != before[name] {
			out = append(out, fmt.Sprintf("%s is %s; it was %s", name, now, before[name]))
		}
	}
	for _, name := range sortedKeys(after) {
		if _, ok := before[name]; !ok {
			out = append(out, fmt.Sprintf("%s is %s; it was not there", name, after[name]))
		}
	}
	return out
}

// resume takes over an attack that another daemon left unfinished.
func (e *Engine) resume(ctx context.Context, l *live) {
	l.busy.Lock()
	defer l.busy.Unlock()
	a := l.a
	if a.State.Over() {
		return
	}
	a.Resumed++
	if err := a.revive(e.Mechanics); err != nil {
		a.State, a.Error = Undoing, err.Error()
		e.show(l)
		e.Log.Error("a fault cannot be undone", "attack", a.ID, "error", err)
		return
	}
	ctx = context.WithoutCancel(ctx)
	_, lasts := a.remaining(time.Now())
	if a.State == Active && lasts && a.HostBoot == e.HostBoot {
		err := e.apply(ctx, a)
		if err == nil {
			err = e.prove(ctx, a)
		}
		if err == nil {
			e.show(l)
			e.Record(EntryResumed, subject(a), fmt.Sprintf("%s on %s goes on: %s", a.Kind, subject(a), evidence(a)), fields(a))
			if err := e.Journal.Write(a, true); err != nil {
				e.Log.Error("write the journal of faults", "error", err)
			}
			return
		}
		a.Error = fmt.Sprintf("it could not be resumed: %v", err)
	} else if a.State == Intended || a.State == Injected {
		a.Error = "the lab was stopped before it was proven"
	}
	if err := e.takeBack(ctx, l, Undone); err != nil {
		e.Log.Warn("undo of a fault will be tried again", "attack", a.ID, "error", err)
	}
}

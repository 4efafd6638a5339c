package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Heal takes an attack back and returns when it is undone and compared. One that
// is being injected is stopped first; one that is over stays as it is. An error
// means that the undo goes on being tried.
func (e *Engine) Heal(_ context.Context, id string) (Attack, error) {
	e.mu.Lock()
	var found *live
	for _, l := range e.attacks {
		if l.id == id {
			found = l
		}
	}
	e.mu.Unlock()
	if found == nil {
		return Attack{}, refuse("There is no attack %q.", id).hint("zdl attacks lists those that are active, zdl attacks --all every one")
	}
	return e.undo(found, false)
}

// healPace is how long HealAll waits for one attack before it begins with the
// next beside it.
const healPace = 2 * time.Second

// HealAll takes every attack back, the latest first, so that what one was built
// on is still there when it is undone. One that takes long does not keep the
// others waiting: perhaps it needs what they took away. It returns those that
// it healed.
func (e *Engine) HealAll(context.Context) ([]Attack, error) {
	todo := e.unfinished()
	healed, errs := make([]Attack, len(todo)), make([]error, len(todo))
	done := make([]chan struct{}, len(todo))
	for i := range todo {
		l := todo[len(todo)-1-i]
		done[i] = make(chan struct{})
		go func() {
			defer close(done[i])
			healed[i], errs[i] = e.undo(l, false)
		}()
		select {
		case <-done[i]:
		case <-time.After(healPace):
		}
	}
	var failed error
	for i := range todo {
		<-done[i]
		if errs[i] != nil { // what it lacked may be there by now
			healed[i], errs[i] = e.undo(todo[len(todo)-1-i], false)
		}
		failed = errors.Join(failed, errs[i])
	}
	return healed, failed
}

// undo takes an attack back. With expired only when its time is over or an
// earlier undo is to be tried again.
func (e *Engine) undo(l *live, expired bool) (Attack, error) {
	asked := time.Now()
	if !expired {
		e.mu.Lock()
		if l.stop != nil {
			l.stop(errHealed)
		}
		e.mu.Unlock()
	}
	l.busy.Lock()
	defer l.busy.Unlock()
	if l.a.State.Over() {
		return l.a.public(), nil
	}
	if expired {
		e.mu.Lock()
		early := l.a.State == Active && asked.Before(l.until) || l.a.State == Undoing && asked.Before(l.retry)
		e.mu.Unlock()
		if early { // somebody was faster
			return l.a.public(), nil
		}
	}
	if l.asked.IsZero() {
		l.asked = asked
	}
	err := e.takeBack(l, Undone)
	return l.a.public(), err
}

// takeBack undoes all steps, compares, and ends the attack in the given state,
// or in that which an earlier try was to end in. The caller holds l.
func (e *Engine) takeBack(l *live, end State) error {
	a := l.a
	first := a.State != Undoing
	if first {
		a.State, a.End = Undoing, end
	}
	if l.asked.IsZero() {
		l.asked = time.Now()
	}
	// Beside the undo: a daemon that is killed before it is written finds the fault
	// active, and resumes or undoes it according to its time.
	id := a.ID
	written := e.Journal.Begin(a)
	e.show(l)
	err := undoSteps(a)
	if err := written(); err != nil {
		e.Log.Error("write the journal of faults", "attack", id, "error", err) // undo all the same
	}
	if err != nil {
		return e.tryLater(l, err)
	}
	a.UndoMS, a.Trouble = since(l.asked), ""
	e.Record(EntryUndone, subject(a), fmt.Sprintf("%s on %s was undone in %.1f ms", a.Kind, subject(a), a.UndoMS), fields(a))
	a.Residue = residue(a, e.settle)
	a.State, a.Ended = a.End, time.Now().Round(0).UTC()
	if a.State == "" { // of a journal from before there was an End
		a.State = Undone
	}
	// On disk first: as soon as it is shown to be over, another attack may touch
	// the same, and a daemon that comes later must not undo this one again.
	err = e.Journal.Write(a, true)
	e.show(l)
	if len(a.Residue) > 0 {
		e.Record(EntryResidue, subject(a), fmt.Sprintf("%s left something behind: %s", a.Kind, strings.Join(a.Residue, "; ")), fields(a))
	}
	return err
}

// tryLater notes that an undo failed and when it is tried again.
func (e *Engine) tryLater(l *live, err error) error {
	a := l.a
	l.wait = min(max(2*l.wait, 200*time.Millisecond), retryLongest)
	e.mu.Lock()
	l.retry = time.Now().Add(l.wait)
	e.mu.Unlock()
	err = fmt.Errorf("undo of %s (%s on %s) is not complete and goes on being tried: %w", a.ID, a.Kind, subject(a), err)
	if a.Trouble == "" {
		e.Record(EntryFailed, subject(a), err.Error(), fields(a))
	}
	a.Trouble = err.Error()
	writeErr := e.Journal.Write(a, false)
	e.show(l)
	return errors.Join(err, writeErr)
}

// undoSteps goes through the stages backwards. A step that fails does not keep
// the others from being undone.
func undoSteps(a *Attack) error {
	ctx, cancel := context.WithTimeout(context.Background(), undoPatience)
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
func residue(a *Attack, patience time.Duration) []string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		left := compare(ctx, a)
		if len(left) == 0 || pause(ctx, wait) != nil {
			return left
		}
	}
}

func compare(ctx context.Context, a *Attack) []string {
	var left []string
	for _, s := range a.Stages {
		for _, r := range s.Steps {
			var after map[string]string
			err := safely(r, func(r *record) (err error) {
				after, err = r.step.State(ctx)
				return err
			})
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

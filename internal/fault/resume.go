package fault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// resume takes over an attack that another daemon left unfinished: what was
// proven and has time left is made and proven again, everything else undone.
func (e *Engine) resume(l *live) {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	l.busy.Lock()
	defer l.busy.Unlock()
	a := l.a
	if a.State.Over() {
		return
	}
	a.Resumed++
	_, lasts := a.remaining(time.Now())
	if a.State == Active && lasts && a.Epoch == e.Epoch {
		e.mu.Lock()
		l.stop = stop
		if e.closed {
			stop(errStopping)
		}
		e.mu.Unlock()
		err := e.again(ctx, l)
		e.mu.Lock()
		l.stop = nil
		e.mu.Unlock()
		switch cause := context.Cause(ctx); {
		case err == nil, errors.Is(cause, errStopping): // the next daemon resumes it
			return
		case cause == nil:
			a.Error = fmt.Sprintf("it could not be resumed: %v", err)
			e.Record(EntryFailed, subject(a), fmt.Sprintf("%s on %s could not be resumed and is taken back: %v", a.Kind, subject(a), err), fields(a))
		}
	}
	end := Undone
	if a.State == Intended || a.State == Injected {
		a.Error = "the lab was stopped before it was proven"
	}
	if a.Error != "" {
		end = Failed
	}
	if err := e.takeBack(l, end); err != nil {
		e.Log.Warn("undo of a fault will be tried again", "attack", a.ID, "error", err)
	}
}

// again makes and proves an active attack anew: what is still there stays, what
// ended with the daemon before is begun again.
func (e *Engine) again(ctx context.Context, l *live) error {
	a := l.a
	for i := range a.Stages { // without the pauses, which are over
		if err := makeSteps(ctx, a.Stages[i].Steps); err != nil {
			return err
		}
	}
	a.Evidence = nil
	if err := prove(ctx, a, 0, len(a.Stages)); err != nil {
		return err
	}
	if err := e.Journal.Write(a, false); err != nil {
		return err
	}
	e.expire(l, time.Now())
	e.show(l)
	e.Record(EntryResumed, subject(a), fmt.Sprintf("%s on %s goes on: %s", a.Kind, subject(a), evidence(a)), fields(a))
	return nil
}

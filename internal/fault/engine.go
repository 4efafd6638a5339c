package fault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	// Epoch identifies this life of the machines. In another one nothing that
	// was done to its kernel is left, so attacks are undone and not resumed.
	Epoch string
	Log   *slog.Logger // default: discarded
}

// Engine injects, verifies and undoes. It may die at any moment: a new one with
// the same journal goes on where it was.
type Engine struct {
	Config
	work   sync.WaitGroup
	settle time.Duration // how long a comparison may take to find nothing

	mu      sync.Mutex
	attacks []*live // in the order in which they were reserved
	number  int
	ends    uint64 // how many attacks ended in this process
	closed  bool   // no attack is begun any more
	wake    chan struct{}
}

// live is an attack in this process. busy is held through every change, so that
// healing waits for an injection under way. The second part is guarded by
// Engine.mu, which may be taken while busy is held, and not the other way round.
type live struct {
	busy  sync.Mutex
	a     *Attack
	wait  time.Duration // before the next try of an undo
	asked time.Time     // when the undo was first asked for

	id    string // never changes
	left  bool   // by another daemon; never changes
	shown Attack // what others see
	retry time.Time
	until time.Time               // as Attack.Until, on the monotonic clock
	stop  context.CancelCauseFunc // ends an injection under way
	ended uint64                  // Engine.ends when it ended; 0: before this process, or not at all
}

const (
	undoPatience   = 60 * time.Second // of one try of an undo
	settlePatience = 10 * time.Second // of the comparison after it
	verifyPatience = 10 * time.Second // unless the plan says otherwise
	retryLongest   = 5 * time.Second
	tickEvery      = 10 * time.Millisecond
)

// Reasons for which an injection is ended.
var (
	errHealed   = errors.New("it was healed before it was proven")
	errStopping = errors.New("the lab is being stopped")
)

// New reads the journal. Nothing is undone or resumed before Run.
func New(c Config) (*Engine, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Record == nil {
		c.Record = func(string, string, string, map[string]string) {}
	}
	e := &Engine{Config: c, settle: settlePatience, wake: make(chan struct{})}
	attacks, highest, err := c.Journal.Read()
	var damaged *DamagedError
	if err != nil && !errors.As(err, &damaged) {
		return nil, err
	}
	if err != nil {
		// What cannot be read must not keep the others from being undone.
		c.Log.Error("the journal of faults is damaged", "error", err)
		c.Record(EntryFailed, "journal", "The journal of faults is damaged, what it held must be undone by hand: "+err.Error(), nil)
	}
	e.number = highest
	for _, a := range attacks {
		if !a.State.Over() {
			if err := a.revive(c.Mechanics); err != nil {
				// What is known is undone; the rest is an error of each undo.
				c.Log.Error("a fault cannot be undone by this zdl", "attack", a.ID, "error", err)
			}
		}
		e.attacks = append(e.attacks, &live{id: a.ID, left: true, a: a, shown: a.public()})
	}
	return e, nil
}

// Run takes over what the journal says is not over, ends attacks when their
// time has come, and tries undos again until they succeed. When ctx ends,
// injections under way are taken back; attacks that are active outlive it.
func (e *Engine) Run(ctx context.Context) {
	defer e.close()
	for _, l := range e.unfinished() {
		if l.left {
			e.work.Go(func() { e.resume(l) })
		}
	}
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, l := range e.due(now) {
				e.work.Go(func() {
					if _, err := e.undo(l, true); err != nil {
						e.Log.Warn("undo of a fault will be tried again", "attack", l.id, "error", err)
					}
				})
			}
		}
	}
}

// close lets no more attacks in and waits for those who work.
func (e *Engine) close() {
	e.mu.Lock()
	e.closed = true
	for _, l := range e.attacks {
		if l.stop != nil {
			l.stop(errStopping)
		}
	}
	e.mu.Unlock()
	e.work.Wait()
}

// enter counts somebody who works; false when the engine is closed.
func (e *Engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.work.Add(1)
	}
	return !e.closed
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
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*live
	for _, l := range e.attacks {
		due := false
		switch l.shown.State {
		case Active:
			due = !l.until.IsZero() && !now.Before(l.until)
		case Undoing:
			due = !l.retry.IsZero() && now.After(l.retry)
		}
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
		if l.id == id {
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
	was := l.shown.State
	l.shown = l.a.public()
	if l.shown.State.Over() && !was.Over() {
		e.ends++
		l.ended = e.ends
	}
	e.wakeLocked()
}

func (e *Engine) wakeLocked() {
	close(e.wake)
	e.wake = make(chan struct{})
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

// forgetLocked drops the oldest attacks that are over when there are too many.
func (e *Engine) forgetLocked() {
	for i := 0; len(e.attacks) > keepOver && i < len(e.attacks); {
		if l := e.attacks[i]; l.shown.State.Over() && l.busy.TryLock() {
			_ = e.Journal.Forget(l.id) // at worst the next daemon lists it, too
			l.busy.Unlock()
			e.attacks = slices.Delete(e.attacks, i, i+1)
			continue
		}
		i++
	}
}

// each calls do for all records at the same time and joins the errors.
func each(records []*record, do func(*record) error) error {
	if len(records) == 1 {
		return safely(records[0], do)
	}
	errs := make([]error, len(records))
	var wg sync.WaitGroup
	for i, r := range records {
		wg.Go(func() { errs[i] = safely(r, do) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// safely makes an error of a panic: a mistake in one step must not keep others
// from being undone.
func safely(r *record, do func(*record) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("step %s: panic: %v", r.Mechanism, p)
		}
	}()
	if r.step == nil {
		return fmt.Errorf("this zdl knows no mechanism %q", r.Mechanism)
	}
	return do(r)
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

package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"zdl/internal/cause"
	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/load"
	"zdl/internal/probe"
	"zdl/internal/timeline"
)

// Lab is what an experiment needs of a running lab. Reading must work while the
// cluster's API server does not answer.
type Lab interface {
	Faults(ctx context.Context) ([]fault.Kind, error)
	Attacks(ctx context.Context) ([]fault.Attack, error)
	Attack(ctx context.Context, r fault.Request) (fault.Attack, error)
	Heal(ctx context.Context, id string) (fault.Attack, error)
	HealAll(ctx context.Context) ([]fault.Attack, error)
	Snapshot(ctx context.Context) (cluster.Snapshot, error)
	Probe(ctx context.Context) (probe.Summary, error)
	// Measure probes a further subject until ctx ends, and calls each with what is
	// known so far.
	Measure(ctx context.Context, r probe.Request, each func(probe.Report) error) error
	Outages(ctx context.Context, after int) ([]probe.Outage, error)
	Cause(ctx context.Context, outage int) (cause.Breakdown, error)
	Timeline(ctx context.Context, since int64) ([]timeline.Entry, error)
	Kubectl(ctx context.Context, args []string, stdin string) (string, error)
	Load(ctx context.Context, p *load.Plan) (*load.Result, error)
}

// Undo is a kubectl command that takes something back.
type Undo struct {
	Args  []string `json:"args"`
	Stdin string   `json:"stdin,omitempty"`
}

// Rope is held by somebody who lives on when this process is killed, and then
// puts the lab right: see Rescue.
type Rope interface {
	// Note is told before something is done how it is to be taken back, Undone
	// that the latest of these was.
	Note(u Undo) error
	Undone()
}

// Run is one repetition, with its verdicts.
type Run struct {
	Repetition int         `json:"repetition"` // from 1
	Seed       uint64      `json:"seed"`
	Seen       Observation `json:"seen"`
	Outcome    Outcome     `json:"outcome"`
	Verdicts   []Verdict   `json:"verdicts"`
}

const (
	// steadyPatience is how long the steady state is waited for before a run is
	// void.
	steadyPatience = 90 * time.Second
	lookEvery      = 200 * time.Millisecond
	// lastAnswers is how long requests under way may still take: the probe's
	// timeout and a little more.
	lastAnswers = 1500 * time.Millisecond
	healLimit   = 2 * time.Minute
	// kubectlLimit is how long a command may take as far as time limits of
	// faults are concerned.
	kubectlLimit = 2 * time.Minute
)

// Options of Carry.
type Options struct {
	Repetition int               // from 1
	Say        func(line string) // is told what happens; nil: nobody
	Rope       Rope              // nil: nobody holds one
}

// By is what the lab's journal says about who attacks.
func (e *Experiment) By() string { return "experiment " + e.Name }

// Carry carries out an experiment once. Whatever happens, everything is healed
// before it returns; if the process is killed, whoever holds the rope does that at
// once, and else the lab itself heals each fault when its time is over. An error
// means that nothing was done.
func Carry(ctx context.Context, lab Lab, e *Experiment, opt Options) (*Run, error) {
	if opt.Say == nil {
		opt.Say = func(string) {}
	}
	r := &carrier{Lab: lab, e: e, say: opt.Say, rope: opt.Rope, named: map[string]string{}, bounded: map[string]bool{}, struck: map[string]bool{},
		run: &Run{Repetition: opt.Repetition, Seed: e.Seed + uint64(opt.Repetition-1)*1000}}
	if err := r.preflight(ctx); err != nil {
		return nil, err
	}
	if err := r.carry(ctx); err != nil {
		return nil, err
	}
	r.run.Outcome, r.run.Verdicts = Judge(e, &r.run.Seen)
	return r.run, nil
}

// carrier is a run under way.
type carrier struct {
	Lab
	e       *Experiment
	run     *Run
	say     func(string)
	rope    Rope
	instant map[string]bool
	named   map[string]string // name of an action → ID of its attack
	bounded map[string]bool   // attacks that last for as long as was guessed here
	struck  map[string]bool   // targets
	undo    []Undo            // of the method
	cleanup []Undo            // of the setup
	began   time.Time         // of the method

	seq     int64 // of the timeline, when the run began
	outage  int   // last outage before
	first   probe.Summary
	sides   sync.WaitGroup     // load and further probes
	loaded  chan struct{}      // closed when the load is over
	endLoad context.CancelFunc // of load that lasts as long as the run
	endSide context.CancelFunc // of everything beside

	mu          sync.Mutex // guards what watch and the sides write
	steady      time.Time  // since when everything steady holds; zero while not
	upSince     time.Time
	othersSince time.Time // since when everything steady but the service holds
	latest      probe.Summary
	worst       *cluster.Snapshot
	worstAt     time.Time
	badness     int
}

// preflight refuses before anything is touched.
func (c *carrier) preflight(ctx context.Context) error {
	kinds, err := c.Faults(ctx)
	if err != nil {
		return err
	}
	c.instant = map[string]bool{}
	for _, k := range kinds {
		c.instant[k.Name] = k.Instant
	}
	for i := range c.e.Method {
		if r := c.e.Method[i].Attack; r != nil {
			if err := known(r, kinds); err != nil {
				return fmt.Errorf("%s: method %d: %w; nothing was done", c.e.Name, i+1, err)
			}
		}
	}
	if c.e.Load != nil {
		if err := c.e.Load.Resolve(ctx); err != nil {
			return fmt.Errorf("%s: load: %w; nothing was done", c.e.Name, err)
		}
	}
	attacks, err := c.Attacks(ctx)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(attacks, func(a fault.Attack) bool { return !a.State.Over() }); i >= 0 {
		return fmt.Errorf("the attack %s (%s) is active, so nothing here would be the experiment's own doing; heal it first: zdl heal --all", attacks[i].ID, attacks[i].Kind)
	}
	return nil
}

// known tells whether a lab can make an attack.
func known(r *fault.Request, kinds []fault.Kind) error {
	for i := range r.Parts {
		if err := known(&r.Parts[i], kinds); err != nil {
			return err
		}
	}
	if len(r.Parts) > 0 {
		return nil
	}
	i := slices.IndexFunc(kinds, func(k fault.Kind) bool { return k.Name == r.Kind })
	switch {
	case i < 0:
		return fmt.Errorf("there is no fault %q; zdl faults lists them", r.Kind)
	case kinds[i].Unavailable != "":
		return fmt.Errorf("the fault %s cannot be made here: %s", r.Kind, kinds[i].Unavailable)
	}
	return nil
}

func (c *carrier) carry(ctx context.Context) error {
	o := &c.run.Seen
	o.Began = time.Now().Round(0)
	watching, stopWatching := context.WithCancelCause(ctx)
	defer stopWatching(nil)
	if err := c.cursors(ctx); err != nil {
		return err
	}
	var watch sync.WaitGroup
	// It looks on after an abort, while the lab recovers.
	look, stopLooking := context.WithCancel(context.WithoutCancel(ctx))
	watch.Go(func() { c.watch(look, stopWatching) })
	defer watch.Wait()
	defer stopLooking()

	// From the first change on, nothing that happens to the caller may keep the
	// lab broken.
	after := context.WithoutCancel(ctx)
	err := c.prepare(watching)
	if err == nil && !c.waitSteady(watching, steadyPatience) {
		err = fmt.Errorf("the lab was not steady to begin with")
	}
	if err != nil {
		c.stopped(watching, err)
		o.Ended = time.Now().Round(0)
		c.tidy(after)
		return c.collect(after)
	}
	// Begin anew: what came before was not the experiment's.
	if err := c.cursors(ctx); err != nil {
		c.tidy(after)
		return err
	}
	c.begin()
	c.view(ctx, "before")
	c.beside(watching)
	err = c.method(watching)
	if err == nil {
		err = wait(watching, c.e.After)
	}
	c.stopped(watching, err)
	c.endBeside(err == nil)

	c.heal(after)
	c.recover(after)
	_ = wait(after, lastAnswers) // it cannot end early
	c.endSide()
	c.sides.Wait()
	c.view(after, "after")
	o.Ended = time.Now().Round(0)
	stopLooking()
	watch.Wait()
	err = c.collect(after)
	c.tidy(after)
	return err
}

// begin makes this moment the beginning of the run.
func (c *carrier) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run.Seen.Began = time.Now().Round(0)
	c.run.Seen.Looks = nil
	c.worst, c.badness = nil, 0
}

// stopped notes why the run did not come to its end, if it did not.
func (c *carrier) stopped(watching context.Context, err error) {
	var early *earlyError
	switch cause := context.Cause(watching); {
	case cause != nil:
		c.run.Seen.Aborted = cause.Error()
	case errors.As(err, &early):
		c.run.Seen.Aborted = err.Error()
	case err != nil:
		c.void(err.Error())
	}
}

// earlyError ends a run that failed, in contrast to one that proves nothing.
type earlyError struct{ why string }

func (e *earlyError) Error() string { return e.why }

func early(format string, args ...any) error { return &earlyError{fmt.Sprintf(format, args...)} }

func (c *carrier) void(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run.Seen.Void == "" {
		c.run.Seen.Void = why
	}
}

// cursors notes where outages, timeline and counters stand.
func (c *carrier) cursors(ctx context.Context) error {
	entries, err := c.Timeline(ctx, 0)
	if err != nil {
		return err
	}
	if n := len(entries); n > 0 {
		c.seq = entries[n-1].Seq
	}
	outages, err := c.Outages(ctx, 0)
	if err != nil {
		return err
	}
	for _, o := range outages {
		if !o.Open {
			c.outage = max(c.outage, o.ID)
		}
	}
	first, err := c.Lab.Probe(ctx)
	c.mu.Lock()
	c.first = first
	c.mu.Unlock()
	return err
}

// wait pauses; an error says that ctx ended before.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

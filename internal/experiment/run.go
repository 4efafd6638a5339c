package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

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
	Outages(ctx context.Context, after int) ([]probe.Outage, error)
	Timeline(ctx context.Context, since int64) ([]timeline.Entry, error)
	Kubectl(ctx context.Context, args []string) (string, error)
	Load(ctx context.Context, p *load.Plan) (*load.Result, error)
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
	steadyPatience = time.Minute
	lookEvery      = 200 * time.Millisecond
	// lastAnswers is how long requests under way may still take: the probe's
	// timeout and a little more.
	lastAnswers = 1500 * time.Millisecond
	healLimit   = 2 * time.Minute
)

// Carry carries out an experiment once. Say is told what happens, a line each.
// Whatever happens, everything is healed before it returns; if the process is
// killed, the lab itself heals each fault when its time is over.
func Carry(ctx context.Context, lab Lab, e *Experiment, repetition int, say func(string)) (*Run, error) {
	r := &carrier{Lab: lab, e: e, say: say, run: &Run{Repetition: repetition, Seed: e.Seed + uint64(repetition-1)*1000}, named: map[string]string{}}
	kinds, err := lab.Faults(ctx)
	if err != nil {
		return nil, err
	}
	r.instant = map[string]bool{}
	for _, k := range kinds {
		r.instant[k.Name] = k.Instant
	}
	attacks, err := lab.Attacks(ctx)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(attacks, func(a fault.Attack) bool { return !a.State.Over() }); i >= 0 {
		return nil, fmt.Errorf("the attack %s (%s) is active, so nothing here would be the experiment's own doing; heal it first: zdl heal --all", attacks[i].ID, attacks[i].Kind)
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
	instant map[string]bool
	named   map[string]string // name of an action → ID of its attack
	undo    [][]string

	seq         int64 // of the timeline, when the run began
	outage      int   // last outage before
	first       probe.Summary
	mu          sync.Mutex // guards what watch writes
	steady      time.Time  // since when everything steady holds; zero while not
	upSince     time.Time
	othersSince time.Time // since when everything steady but the service holds
	worst       *cluster.Snapshot
	worstAt     time.Time
	badness     int
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

	if !c.waitSteady(watching, steadyPatience) {
		o.Void = "the lab was not steady to begin with"
		o.Ended = time.Now().Round(0)
		return c.collect(context.WithoutCancel(ctx))
	}
	// Begin anew: what came before was not the experiment's.
	if err := c.cursors(ctx); err != nil {
		return err
	}
	o.Began = time.Now().Round(0)
	c.view(ctx, "before")
	var loading sync.WaitGroup
	loadCtx, stopLoad := context.WithCancel(watching)
	if c.e.Load != nil {
		loading.Go(func() {
			result, err := c.Lab.Load(loadCtx, c.e.Load)
			if err != nil {
				c.void("the load could not be made: " + err.Error())
			}
			o.Load = result
		})
	}
	err := c.method(watching)
	if err == nil {
		err = wait(watching, c.e.After)
	}
	if cause := context.Cause(watching); cause != nil {
		o.Aborted = cause.Error()
	} else if err != nil {
		c.void(err.Error())
	}
	if c.e.Load != nil && err == nil {
		loading.Wait() // to its own end
	}
	stopLoad()
	loading.Wait()

	// From here on nothing that happens to the caller may keep the lab broken.
	after := context.WithoutCancel(ctx)
	c.heal(after)
	recovering, cancel := context.WithTimeout(after, c.e.Recover+time.Second)
	defer cancel()
	if !c.waitSteady(recovering, c.e.Recover) {
		o.Left = append(o.Left, fmt.Sprintf("the lab is not steady %v after everything was healed", c.e.Recover))
	}
	c.mu.Lock()
	o.Steady = c.steady
	c.mu.Unlock()
	if !o.Injected.IsZero() && o.Steady.Before(o.Injected) && !o.Steady.IsZero() {
		o.Steady = o.Injected // it never ceased to be
	}
	_ = wait(after, lastAnswers) // it cannot end early
	c.view(after, "after")
	o.Ended = time.Now().Round(0)
	return c.collect(after)
}

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
	c.first, err = c.Lab.Probe(ctx)
	return err
}

// method does one action after the other.
func (c *carrier) method(ctx context.Context) error {
	if err := wait(ctx, c.e.Before); err != nil {
		return err
	}
	if outages, err := c.Outages(ctx, c.outage); err != nil {
		return err
	} else if len(outages) > 0 {
		return fmt.Errorf("users were not served before anything was broken: %d outages", len(outages))
	}
	for i := range c.e.Method {
		a := &c.e.Method[i]
		if err := wait(ctx, a.After); err != nil {
			return err
		}
		if a.When != nil {
			if err := c.when(ctx, a); err != nil {
				return err
			}
		}
		if err := c.do(ctx, a, i); err != nil {
			return fmt.Errorf("method %d: %w", i+1, err)
		}
	}
	return nil
}

func (c *carrier) do(ctx context.Context, a *Action, index int) error {
	switch {
	case a.Attack != nil:
		return c.attack(ctx, a, index)
	case a.Heal == "all":
		c.say("heal everything")
		_, err := c.HealAll(ctx)
		c.run.Seen.Healed = time.Now().Round(0)
		return err
	case a.Heal != "":
		c.say("heal " + a.Heal)
		_, err := c.Heal(ctx, c.named[a.Heal])
		c.run.Seen.Healed = time.Now().Round(0)
		return err
	case len(a.Kubectl) > 0:
		if len(a.Undo) > 0 {
			c.undo = append(c.undo, a.Undo)
		}
		return c.kubectl(ctx, a.Kubectl)
	}
	return nil
}

func (c *carrier) attack(ctx context.Context, a *Action, index int) error {
	r := *a.Attack
	r.By = "experiment " + c.e.Name
	if r.Seed == 0 {
		r.Seed = c.run.Seed + uint64(index)
	}
	if r.For == 0 && !c.momentary(&r) {
		// Until the method heals it; but not for ever, should this process die.
		r.For = c.e.length() + healLimit
	}
	c.injected()
	got, err := c.Attack(ctx, r)
	if err != nil {
		return fmt.Errorf("the fault %s was not proven, so the run proves nothing: %w", r.Kind, err)
	}
	if a.Name != "" {
		c.named[a.Name] = got.ID
	}
	names := ""
	for i, t := range got.Targets {
		if i > 0 {
			names += ", "
		}
		names += t.Name
	}
	c.say(fmt.Sprintf("%s on %s, proven after %.0f ms", got.Kind, names, got.VerifyMS))
	return nil
}

// momentary tells whether a fault, or every part of it, is over once it happened.
func (c *carrier) momentary(r *fault.Request) bool {
	if len(r.Parts) == 0 {
		return c.instant[r.Kind]
	}
	return !slices.ContainsFunc(r.Parts, func(p fault.Request) bool { return !c.instant[p.Kind] })
}

func (c *carrier) injected() {
	c.mu.Lock() // watch reads it
	defer c.mu.Unlock()
	if c.run.Seen.Injected.IsZero() {
		c.run.Seen.Injected = time.Now().Round(0)
	}
}

func (c *carrier) kubectl(ctx context.Context, args []string) error {
	c.injected()
	k := KubectlRun{At: time.Now().Round(0), Args: args}
	var err error
	k.Output, err = c.Kubectl(ctx, args)
	if err != nil {
		k.Error = err.Error()
	}
	c.run.Seen.Kubectl = append(c.run.Seen.Kubectl, k)
	c.say(fmt.Sprintf("kubectl %v: %s", args, firstLine(k.Output)))
	return err
}

// length is how long the method may take at most, as far as its file says.
func (e *Experiment) length() time.Duration {
	d := e.Before + e.After
	for _, a := range e.Method {
		d += a.After + a.Within
		if a.Attack != nil {
			d += a.Attack.Pause * time.Duration(len(a.Attack.Parts))
		}
	}
	return d + time.Minute
}

// heal takes everything back: faults first, then what kubectl did.
func (c *carrier) heal(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, healLimit)
	defer cancel()
	o := &c.run.Seen
	healed, err := c.HealAll(ctx)
	if err != nil {
		o.Left = append(o.Left, err.Error())
	}
	for i := len(c.undo) - 1; i >= 0; i-- {
		if err := c.kubectl(ctx, c.undo[i]); err != nil {
			o.Left = append(o.Left, fmt.Sprintf("kubectl %v: %v", c.undo[i], err))
		}
	}
	if len(healed) > 0 || len(c.undo) > 0 || o.Healed.IsZero() {
		o.Healed = time.Now().Round(0)
	}
}

// collect reads what happened.
func (c *carrier) collect(ctx context.Context) error {
	o := &c.run.Seen
	var errs error
	var err error
	o.Outages, err = c.Outages(ctx, c.outage)
	errs = errors.Join(errs, err)
	o.Entries, err = c.Timeline(ctx, c.seq)
	errs = errors.Join(errs, err)
	last, err := c.Lab.Probe(ctx)
	errs = errors.Join(errs, err)
	o.Sent, o.Failed, o.Missed = last.Sent-c.first.Sent, last.Failed-c.first.Failed, last.Missed-c.first.Missed
	attacks, err := c.Attacks(ctx)
	errs = errors.Join(errs, err)
	for _, a := range attacks {
		if a.Asked.Before(o.Began.Add(-time.Second)) || a.By != "experiment "+c.e.Name {
			continue
		}
		o.Attacks = append(o.Attacks, a)
		for _, line := range a.Residue {
			o.Left = append(o.Left, fmt.Sprintf("%s (%s): %s", a.ID, a.Kind, line))
		}
	}
	return errs
}

func firstLine(s string) string {
	for i, r := range s {
		if r == '\n' {
			return s[:i]
		}
	}
	return s
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

package arena

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"zdl/internal/arena/autopilot"
	"zdl/internal/arena/defence"
	"zdl/internal/arena/replay"
)

// Defending is what an arena needs so that the cluster can be defended, attacked
// once more, and attacked by an autopilot.
type Defending struct {
	// Keeper applies defences. The arena sets its Busy and runs it.
	Keeper *defence.Keeper
	// Recordings is a directory for the attack of the latest round of each level.
	Recordings string
	// Leader tells on which node a component of the control plane leads, "" if that
	// is not known. It must not wait.
	Leader func(component string) string
	// Autopilot's settings; it is off until Arena.Autopilot.
	Autopilot autopilot.Settings
}

// defender is the part of the arena that is about defence.
type defender struct {
	a *Arena
	Defending
	pilot *autopilot.Autopilot

	mu      sync.Mutex
	version int64
	attacks map[string]*replay.Recording // of the latest round, by level
	shown   *Replay                      // of the level of the recording it is about
	level   string
	stop    context.CancelFunc // of the replay that is played; nil: none

	shaken time.Time // when something was last not as it should be in the round; guarded by the arena's lock
}

// defend adds the part to an arena that is being made.
func (a *Arena) defend(c *Defending) {
	if c == nil {
		return
	}
	d := &defender{a: a, Defending: *c, attacks: map[string]*replay.Recording{}}
	if d.Autopilot.Seed == 0 {
		d.Autopilot.Seed = rand.Uint64()
	}
	d.Keeper.Busy = d.busy
	d.pilot = autopilot.Of(flight{a}, d.Autopilot)
	a.defender = d
	a.parts = append(a.parts, d)
}

func (d *defender) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { d.Keeper.Run(ctx) })
	work.Go(func() { d.pilot.Run(ctx) })
	for {
		changed := d.Keeper.Changed()
		d.block()
		d.bump()
		select {
		case <-ctx.Done():
			d.mu.Lock()
			if d.stop != nil {
				d.stop()
			}
			d.mu.Unlock()
			return
		case <-changed:
		}
	}
}

func (d *defender) bump() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.version++
}

// block keeps visitors from hitting while the cluster is being changed.
func (d *defender) block() {
	why := ""
	if name := d.Keeper.Changing(); name != "" {
		why = fmt.Sprintf("The defence %s is being put in place, or taken away.", name)
	}
	if d.replaying() {
		why = "The attack of a round is being played once more."
	}
	d.a.mu.Lock()
	defer d.a.mu.Unlock()
	if d.a.game.blocked != why {
		d.a.game.blocked = why
		d.a.version++
	}
}

// busy says why the cluster must not be changed now, "" when it may.
func (d *defender) busy() string {
	if d.replaying() {
		return "the attack of a round is being played once more"
	}
	d.a.mu.Lock()
	phase := d.a.game.phase
	d.a.mu.Unlock()
	if phase != PhaseReady && phase != PhaseEnded {
		return "a round is being played, or recovered from"
	}
	for _, attack := range d.a.Faults.Attacks() {
		if !attack.State.Over() {
			return fmt.Sprintf("the fault %s (%s) is active", attack.ID, attack.Kind)
		}
	}
	return ""
}

func (d *defender) show(s *State) {
	d.a.mu.Lock()
	all := d.a.game.level.Defences
	d.a.mu.Unlock()
	for _, v := range d.Keeper.States(all) {
		s.Defences = append(s.Defences, Defence(v))
	}
	s.Autopilot = d.pilot.On()
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Version += d.version
	if d.shown != nil && d.level == s.Level.Name {
		shown := *d.shown
		s.Replay = &shown
	} else if r := d.recordingLocked(s.Level.Name); r != nil {
		before := measured(s.Level.Subject, r.Before)
		s.Replay = &Replay{Round: r.Round, Before: &before}
	}
}

// Defend applies a defence of the level that is played, or takes it back. It
// returns when that was begun; the state tells what becomes of it.
func (a *Arena) Defend(ctx context.Context, who Visitor, name string, on bool) error {
	d := a.defender
	if d == nil {
		return ErrRefused.because("This cluster cannot be changed by the arena.")
	}
	a.mu.Lock()
	level := a.game.level
	a.mu.Unlock()
	at := slices.IndexFunc(level.Defences, func(d defence.Defence) bool { return d.Name == name })
	if at < 0 {
		return &Error{fmt.Sprintf("This level has no defence %q.", printable(name)), "GET /api/v1/arena lists the defences of the level.", ErrNoLevel}
	}
	by := visitorName(who.Name)
	var err error
	if on {
		err = d.Keeper.Apply(ctx, level.Name, &level.Defences[at], by)
	} else {
		err = d.Keeper.Off(name, by)
	}
	d.block()
	var refused *defence.Error
	if errors.As(err, &refused) {
		return &Error{refused.Message, refused.Hint, ErrRefused}
	}
	return err
}

// printable shortens what a visitor sent, for a message.
func printable(s string) string { return visitorName(s) }

// sample notes whether all is as it should be while a round is played. The caller
// holds the lock of the arena.
func (d *defender) sample(now time.Time) {
	if d == nil {
		return
	}
	g := d.a.game
	w := d.a.probers[g.level.Subject]
	switch {
	case len(g.strikes) == 0:
		d.shaken = time.Time{}
	case w == nil || w.Prober == nil, d.a.unsteady(g.level.Subject, w.Prober, d.a.baseline) != "":
		d.shaken = now
	}
}

// concluded keeps the attack of a round that was decided, and what users had of
// it. The caller holds the lock of the arena.
func (d *defender) concluded(g *game) {
	if d == nil {
		return
	}
	r := replay.Begin(g.level.Name, g.number, rand.Uint64()>>11|1)
	proven, failed := 0, 0
	for _, k := range g.strikes {
		if k.State == StrikeFailed || k.role.Kind == "" {
			failed++
			continue
		}
		proven++
		r.Struck(k.At, k.Weapon, k.role)
	}
	if r.Check() != nil {
		return
	}
	if slices.ContainsFunc(g.strikes, func(k *strike) bool { return !k.instant }) {
		r.Healed(g.ending) // else there was nothing to heal
	}
	var outages []probeOutage
	for _, o := range g.outages[g.level.Subject] {
		outages = append(outages, o)
	}
	slices.SortFunc(outages, func(a, b probeOutage) int { return a.ID - b.ID })
	r.Before = replay.Measure(outages, r.Began, time.Now())
	r.Before.Strikes, r.Before.Failed, r.Before.Defences = proven, failed, d.Keeper.Applied()
	if d.shaken.After(r.Began) {
		r.Before.SteadyMS = sinceMS(r.Began, d.shaken)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attacks[r.Level] = r
	if d.level == r.Level {
		d.shown = nil // it is about an earlier round
	}
	d.version++
	if err := r.Save(d.path(r.Level)); err != nil {
		d.a.Log.Warn("the attack of the round was not written down", "error", err)
	}
}

package arena

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"zdl/internal/arena/replay"
	"zdl/internal/cluster"
	"zdl/internal/probe"
)

// Kinds of timeline entries of a replay.
const (
	EntryReplay = "replay"
)

type probeOutage = probe.Outage

// roleOf is what a target is to the cluster at this moment; nothing, if that
// cannot be told.
func (a *Arena) roleOf(id string) replay.Role {
	if a.defender == nil {
		return replay.Role{}
	}
	s := a.Cluster.Snapshot()
	r, err := replay.RoleOf(id, &s, a.leader(&s))
	if err != nil {
		return replay.Role{}
	}
	return r
}

// leader finds who leads: by the leases that the cluster shows, else by what the
// lab knows.
func (a *Arena) leader(s *cluster.Snapshot) replay.Leaders {
	return func(component string) string {
		for _, l := range s.Leaders {
			if l.Component == component {
				return l.Holder
			}
		}
		if a.defender.Leader == nil {
			return ""
		}
		return a.defender.Leader(component)
	}
}

func (d *defender) path(level string) string {
	return filepath.Join(d.Recordings, level+".json")
}

// recordingLocked is the attack of a level's latest round, nil if there is none.
func (d *defender) recordingLocked(level string) *replay.Recording {
	r, known := d.attacks[level]
	if !known && d.Recordings != "" {
		var err error
		if r, err = replay.Load(d.path(level)); err != nil {
			d.a.Log.Warn("the attack of the latest round cannot be read", "level", level, "error", err)
			r = nil
		}
		d.attacks[level] = r
	}
	return r
}

func (d *defender) replaying() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stop != nil
}

// Replay plays the attack of the level's latest round once more, against the
// cluster as it is now. It returns when that was begun.
func (a *Arena) Replay(who Visitor) error {
	d := a.defender
	if d == nil {
		return ErrRefused.because("This arena keeps no attacks.")
	}
	if name := d.Keeper.Changing(); name != "" {
		return ErrRefused.because("The defence %s is being put in place, or taken away: wait until that is done.", name)
	}
	if why := d.busy(); why != "" {
		return ErrRefused.because("The attack cannot be played now: %s.", why)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	level, arms := a.game.level, a.arms[a.game.level.Name]
	if a.ctx == nil {
		return ErrClosed.because("The arena is not open yet.")
	}
	if a.game.phase != PhaseReady && a.game.phase != PhaseEnded {
		return ErrClosed.because("A round has just begun.")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.recordingLocked(level.Name)
	switch {
	case d.stop != nil:
		return ErrRefused.because("An attack is being played once more already.")
	case r == nil:
		return ErrRefused.because("There is nothing to play once more: no round of this level was played yet.")
	}
	ctx, stop := context.WithCancel(a.ctx)
	before := measured(level.Subject, r.Before)
	d.stop, d.level = stop, level.Name
	d.shown = &Replay{Running: true, Round: r.Round, Before: &before}
	d.version++
	a.game.blocked = "The attack of a round is being played once more."
	a.Timeline.Add(EntryReplay, level.Name, fmt.Sprintf("%s has the attack of round %d played once more: %s", visitorName(who.Name), r.Round, plural(len(r.Strikes), "strike", "strikes")), nil)
	a.work.Go(func() { defer stop(); d.replay(ctx, level, arms, r) })
	return nil
}

// replay plays a recording and shows what came of it.
func (d *defender) replay(ctx context.Context, level *Level, arms *arsenal, r *replay.Recording) {
	m, err := d.measure(ctx, level, arms, r)
	if err == nil || m.Strikes > 0 {
		m.Defences = d.Keeper.Applied()
	}
	d.mu.Lock()
	d.stop = nil
	d.shown.Running = false
	if err != nil {
		d.shown.Trouble = err.Error()
	} else {
		after := measured(level.Subject, m)
		d.shown.After, d.shown.Progress = &after, 1
	}
	d.version++
	d.mu.Unlock()
	d.block()
	switch {
	case err != nil && ctx.Err() == nil:
		d.a.Timeline.Add(EntryReplay, level.Name, "The attack was not played to its end: "+err.Error(), nil)
	case err == nil:
		d.a.Timeline.Add(EntryReplay, level.Name, fmt.Sprintf("The attack of round %d: %s was surely down for %s, then; now for %s (%s)", r.Round,
			subjectName(level.Subject), seconds(r.Before.DownMS), seconds(m.DownMS), plural(len(m.Outages), "outage", "outages")), nil)
	}
}

// measure plays a recording with a prober of the level's subject.
func (d *defender) measure(ctx context.Context, level *Level, arms *arsenal, r *replay.Recording) (replay.Measured, error) {
	p := d.a.Service
	if level.Subject != SubjectService {
		probing, stop := context.WithCancel(ctx)
		defer stop()
		var err error
		if p, err = d.a.Probe(probing, level.Subject); err != nil {
			return replay.Measured{}, fmt.Errorf("%s cannot be measured: %w", subjectName(level.Subject), err)
		}
	}
	s := &stand{a: d.a, level: level, arms: arms, prober: p}
	return replay.Play(ctx, s, r, func(share float64) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if share > d.shown.Progress {
			d.shown.Progress = min(share, 0.99)
			d.version++
		}
	})
}

// measured is a measurement as everybody may see it.
func measured(subject string, m replay.Measured) Measured {
	out := Measured{DownMS: m.DownMS, UpperMS: m.UpperMS, LongestMS: m.LongestMS, LongestUpperMS: m.LongestUpperMS, FailedRequests: m.FailedRequests,
		SteadyMS: m.SteadyMS, Strikes: m.Strikes, Failed: m.Failed, Outages: []RoundOutage{}, Defences: append([]string{}, m.Defences...), Notes: append([]string{}, m.Notes...)}
	for i := range m.Outages {
		out.Outages = append(out.Outages, view(subject, &m.Outages[i]))
	}
	return out
}

// stand is the lab as a replay sees it.
type stand struct {
	a      *Arena
	level  *Level
	arms   *arsenal
	prober Prober

	mu       sync.Mutex
	attacks  []string       // IDs of those that it made
	baseline map[string]int // what worked before the first of them
}

func (s *stand) Snapshot() cluster.Snapshot { return s.a.Cluster.Snapshot() }

func (s *stand) Leader(component string) string {
	snap := s.a.Cluster.Snapshot()
	return s.a.leader(&snap)(component)
}

func (s *stand) Outages(time.Time) []probe.Outage { return s.prober.Outages(0) }

// Strike makes a fault through the engine.
func (s *stand) Strike(ctx context.Context, id, weapon string, seed uint64, atMost time.Duration) error {
	snap := s.a.Cluster.Snapshot()
	s.mu.Lock()
	if s.baseline == nil {
		s.baseline = well(&snap)
	}
	s.mu.Unlock()
	all := look(s.level, &snap)
	at := slices.IndexFunc(all, func(t seen) bool { return t.id == id })
	kind, file := s.arms.kinds[weapon], s.arms.files[weapon]
	if at < 0 || kind == nil || file == nil {
		return fmt.Errorf("this level has no target %s, or no weapon %s", id, weapon)
	}
	r, err := request(kind, file, &all[at], "replay")
	if err != nil {
		return err
	}
	if r.Seed = seed; !kind.Instant {
		r.For = min(r.For, atMost)
	}
	// Who ends a replay does not leave a fault unproven.
	attack, err := s.a.Faults.Attack(context.WithoutCancel(ctx), r)
	if attack.ID != "" {
		s.mu.Lock()
		s.attacks = append(s.attacks, attack.ID)
		s.mu.Unlock()
	}
	return err
}

// Heal takes back what was made here, the latest first.
func (s *stand) Heal(ctx context.Context) error {
	s.mu.Lock()
	ids := slices.Clone(s.attacks)
	s.mu.Unlock()
	slices.Reverse(ids)
	var errs error
	for _, id := range ids {
		if a, known := s.a.Faults.Get(id); !known || a.State.Over() {
			continue
		}
		_, err := s.a.Faults.Heal(ctx, id)
		errs = errors.Join(errs, err)
	}
	return errs
}

// Unsteady says what is not as it should be.
func (s *stand) Unsteady() string {
	s.mu.Lock()
	baseline := s.baseline
	s.mu.Unlock()
	return s.a.unsteady(s.level.Subject, s.prober, baseline)
}

// unsteady says what is not as it should be in the lab, "" when all is.
func (a *Arena) unsteady(subject string, p Prober, baseline map[string]int) string {
	for _, attack := range a.Faults.Attacks() {
		if !attack.State.Over() {
			return fmt.Sprintf("the fault %s (%s) is active", attack.ID, attack.Kind)
		}
	}
	if !p.Summary().Up {
		return subjectName(subject) + " does not answer"
	}
	s := a.Cluster.Snapshot()
	return unsteady(&s, baseline)
}

// unsteady says what of a cluster does not work, or not as much of as before.
func unsteady(s *cluster.Snapshot, baseline map[string]int) string {
	if !s.Synced || s.Stale {
		return "the API server does not answer"
	}
	for _, n := range s.Nodes() {
		if !nodeUp(&n) {
			return "node " + n.Name + " is not Ready"
		}
	}
	for _, m := range s.Machines {
		if m.Power != cluster.PowerOn && m.Power != cluster.PowerUnknown {
			return "the machine " + m.Name + " has no power"
		}
	}
	if s.Target.Ready < s.Target.Desired {
		return fmt.Sprintf("%d of %d pods of the service are ready", s.Target.Ready, s.Target.Desired)
	}
	for _, p := range s.System {
		if p.Alive() && !p.Ready {
			return fmt.Sprintf("the pod %s/%s is not ready", p.Namespace, p.Name)
		}
	}
	now := well(s)
	for what, n := range baseline {
		if now[what] < n {
			return what + " is not as before"
		}
	}
	return ""
}

package replay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/probe"
)

// Lab is what a replay is played on.
type Lab interface {
	Snapshot() cluster.Snapshot
	// Leader tells on which node a component leads, "" if that is not known.
	Leader(component string) string
	// Strike makes the fault of a weapon at a target, through the engine and with
	// its proof. The fault ends by itself after atMost.
	Strike(ctx context.Context, target, weapon string, seed uint64, atMost time.Duration) error
	// Heal puts right all that the replay has struck.
	Heal(ctx context.Context) error
	// Unsteady says what is not as it should be, "" when all is.
	Unsteady() string
	// Outages that the level's subject had from a moment on.
	Outages(from time.Time) []probe.Outage
}

// limits of a play. They are fields for tests.
type limits struct {
	steadyBefore time.Duration // how long it waits for a steady cluster
	steadyAfter  time.Duration // and, when healed, for it to be steady again
	healWithin   time.Duration
	quiet        time.Duration // for which the cluster must have been steady
	look         time.Duration // between two looks
}

var standard = limits{
	steadyBefore: 2 * time.Minute, steadyAfter: 5 * time.Minute, healWithin: 2 * time.Minute,
	quiet: 2 * time.Second, look: 100 * time.Millisecond,
}

// Play plays a recording and measures it. Whatever happens, it ends healed:
// faults are taken back also when ctx ends, and end by themselves should this
// process die. progress is called with 0 to 1.
func Play(ctx context.Context, lab Lab, r *Recording, progress func(float64)) (Measured, error) {
	return play(ctx, lab, r, progress, standard)
}

func play(ctx context.Context, lab Lab, r *Recording, progress func(float64), l limits) (m Measured, err error) {
	if err := r.Check(); err != nil {
		return m, err
	}
	if _, err := steady(ctx, lab, l.steadyBefore, l); err != nil {
		return m, fmt.Errorf("the attack was not begun: %w", err)
	}
	begin := time.Now()
	notes := &notes{}
	watching := follow(lab, l.look)
	defer watching.end()
	err = strikeAll(ctx, lab, r, begin, progress, notes)
	healing, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.healWithin)
	defer cancel()
	if healErr := lab.Heal(healing); healErr != nil {
		err = errors.Join(err, fmt.Errorf("heal after the replay: %w", healErr))
	}
	if err != nil {
		return m, err
	}
	// The outage may end well after the cluster looks healthy, so the steadiness
	// that counts is followed by a quiet time in which the prober sees the end.
	_, err = steady(ctx, lab, l.steadyAfter, l)
	m = Measure(lab.Outages(begin.Add(-lead)), begin, time.Now())
	m.Strikes, m.Failed, m.Notes = notes.struck, notes.failed, append(m.Notes, notes.text...)
	if err != nil {
		return m, fmt.Errorf("everything was healed, but %w", err)
	}
	if last := watching.end(); !last.IsZero() {
		m.SteadyMS = milliseconds(last.Sub(begin))
	}
	progress(1)
	return m, nil
}

// strikeAll strikes at the recorded moments and returns when it is time to heal.
// A strike that is slow does not delay the next.
func strikeAll(ctx context.Context, lab Lab, r *Recording, begin time.Time, progress func(float64), n *notes) error {
	var under sync.WaitGroup
	defer under.Wait()
	heal := r.heal()
	struck := map[string]bool{}
	for i, s := range r.Strikes {
		at := duration(s.AtMS)
		if err := until(ctx, begin.Add(at)); err != nil {
			return err
		}
		progress(at.Seconds() / (heal.Seconds() + 1))
		seed := mix(r.Seed, i)
		snap := lab.Snapshot()
		target, note, err := s.Role.Find(&snap, lab.Leader, struck, seed)
		if note != "" {
			n.add(note)
		}
		if err != nil {
			n.fail(fmt.Sprintf("%s was not struck with %s: %v", s.Role, s.Weapon, err))
			continue
		}
		struck[target] = true
		// It outlives the time of healing by a minute only if this process dies.
		atMost := heal - at + time.Minute
		under.Go(func() {
			if err := lab.Strike(ctx, target, s.Weapon, seed, atMost); err != nil {
				n.fail(fmt.Sprintf("%s was not struck with %s: %v", s.Role, s.Weapon, err))
				return
			}
			n.count()
		})
	}
	return until(ctx, begin.Add(heal))
}

// steady waits until the cluster has been as it should be for a while, and tells
// since when it is.
func steady(ctx context.Context, lab Lab, patience time.Duration, l limits) (time.Time, error) {
	deadline := time.Now().Add(patience)
	var since time.Time
	for {
		now := time.Now()
		why := lab.Unsteady()
		switch {
		case why != "":
			since = time.Time{}
		case since.IsZero():
			since = now
		case now.Sub(since) >= l.quiet:
			return since, nil
		}
		if now.After(deadline) {
			return now, fmt.Errorf("the cluster was not steady within %v: %s", patience, why)
		}
		if err := until(ctx, now.Add(l.look)); err != nil {
			return now, err
		}
	}
}

// watch notes when the cluster was last seen not to be as it should be.
type watch struct {
	stop chan struct{}
	over sync.WaitGroup
	once sync.Once
	last time.Time
}

func follow(lab Lab, every time.Duration) *watch {
	w := &watch{stop: make(chan struct{})}
	w.over.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case now := <-tick.C:
				if lab.Unsteady() != "" {
					w.last = now
				}
			}
		}
	})
	return w
}

// end stops the watch and tells what it noted, zero for never.
func (w *watch) end() time.Time {
	w.once.Do(func() { close(w.stop) })
	w.over.Wait()
	return w.last
}

func until(ctx context.Context, at time.Time) error {
	d := time.Until(at)
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

// mix derives the seed of a strike (SplitMix64's finalizer).
func mix(seed uint64, i int) uint64 {
	z := seed + uint64(i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z^z>>31)>>11 | 1 // exact in JavaScript, and not 0
}

type notes struct {
	mu             sync.Mutex
	text           []string
	struck, failed int
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, text)
}

func (n *notes) fail(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, text)
	n.failed++
}

func (n *notes) count() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.struck++
}

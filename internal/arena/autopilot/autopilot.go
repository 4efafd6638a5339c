package autopilot

import (
	"context"
	"sync"
	"time"
)

// View is the game as the autopilot sees it.
type View struct {
	Level string
	Round int
	// Open: a hit makes sense now. It does not while things recover, an end
	// screen is shown, a replay is played or the owner has paused the game.
	Open    bool
	Damage  float64 // of a hit, in points
	Targets []Target
}

// Game is what the autopilot plays.
type Game interface {
	View() View
	// Hit is a visitor's hit, under Name and within the limits of visitors.
	Hit(ctx context.Context, target, weapon string) error
}

// Settings are the autopilot's; what is zero has a default.
type Settings struct {
	// After is how long nobody else has hit before it plays; default 2 min.
	After time.Duration
	// Between is how long it leaves the cluster alone when a round was over;
	// default 20 s.
	Between time.Duration
	// PerSecond is how often it hits, 0.1 to 8; default 5.
	PerSecond float64
	// Seed of its choices; rounds with equal seeds are attacked in the same way.
	Seed uint64
}

// Autopilot plays a game while nobody else does. The zero of on is off.
type Autopilot struct {
	game Game
	s    Settings
	now  func() time.Time

	mu     sync.Mutex
	on     bool
	person time.Time // the latest hit of a person, or when it was switched on
	wake   chan struct{}
	stop   context.CancelFunc // of a hit under way
}

// Of makes an autopilot that is off.
func Of(g Game, s Settings) *Autopilot {
	if s.After <= 0 {
		s.After = 2 * time.Minute
	}
	if s.Between <= 0 {
		s.Between = 20 * time.Second
	}
	if s.PerSecond <= 0 {
		s.PerSecond = 5
	}
	s.PerSecond = min(max(s.PerSecond, 0.1), 8)
	return &Autopilot{game: g, s: s, now: time.Now, wake: make(chan struct{})}
}

// Set switches it on or off. Switched on, it waits as if a person had just hit.
func (a *Autopilot) Set(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if on && !a.on {
		a.person = a.now()
	}
	a.on = on
	a.interrupt()
}

// On tells whether it is switched on.
func (a *Autopilot) On() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.on
}

// Person tells it that somebody else has hit: it stops at once.
func (a *Autopilot) Person() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.person = a.now()
	if a.on {
		a.interrupt()
	}
}

func (a *Autopilot) interrupt() {
	if a.stop != nil {
		a.stop()
	}
	close(a.wake)
	a.wake = make(chan struct{})
}

// wait tells for how long it must not play, and gives a channel that is closed
// when that may have changed. Off is below zero.
func (a *Autopilot) wait() (time.Duration, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.on {
		return -1, a.wake
	}
	return max(0, a.person.Add(a.s.After).Sub(a.now())), a.wake
}

// Run plays until ctx ends.
func (a *Autopilot) Run(ctx context.Context) {
	var pilot *Pilot
	level, round := "", 0
	for {
		wait, changed := a.wait()
		view := View{}
		if wait == 0 {
			view = a.game.View()
			switch {
			case !view.Open:
				wait = time.Second
			case pilot == nil || view.Level != level || view.Round != round:
				fresh := pilot == nil || view.Level != level
				pilot, level, round = New(For(view.Level), a.s.Seed+uint64(view.Round)), view.Level, view.Round
				if !fresh { // give those who look on time to see how it was healed
					wait = a.s.Between
				}
			}
		} else {
			pilot = nil
		}
		if wait == 0 {
			wait = time.Duration(float64(time.Second) / a.s.PerSecond)
			if target, weapon, ok := pilot.Next(view.Targets, view.Damage); ok {
				a.hit(ctx, target, weapon)
			}
		}
		var pause <-chan time.Time
		if wait > 0 {
			pause = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-pause:
		}
	}
}

// hit makes a hit, unless a person was faster.
func (a *Autopilot) hit(ctx context.Context, target, weapon string) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	a.mu.Lock()
	if !a.on || a.now().Sub(a.person) < a.s.After {
		a.mu.Unlock()
		return
	}
	a.stop = stop
	a.mu.Unlock()
	_ = a.game.Hit(ctx, target, weapon) // a refusal is news to nobody: it looks again
	a.mu.Lock()
	a.stop = nil
	a.mu.Unlock()
}

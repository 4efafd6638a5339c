// Package autopilot is an attacker that plays when nobody else does, so that a
// lab that is being shown is never dull. It hits like a visitor, within the same
// limits, and gives way at once when a person hits.
package autopilot

import (
	"math/rand/v2"
	"slices"
)

// Name is the player that the autopilot is. No visitor may take it, and it has no
// place in the hall of fame.
const Name = "autopilot"

// Target is what the autopilot knows of a target.
type Target struct {
	ID      string
	Kind    string
	Zone    string
	Health  float64 // points
	Max     float64
	Weapons []string // that may be used on it, the default first
	Refused bool     // it cannot be hit now
}

// Strategy is a way to attack.
type Strategy string

const (
	// Together weakens every target to its last hit and then finishes them at
	// once, before replacements are ready.
	Together Strategy = "together"
	// OneByOne finishes the weakest target, then the next.
	OneByOne Strategy = "one-by-one"
	// ByZone goes through the zones: everything in one, then the next.
	ByZone Strategy = "by-zone"
	// AtRandom hits whatever comes.
	AtRandom Strategy = "at-random"
)

// Strategies are all there are.
func Strategies() []Strategy { return []Strategy{Together, OneByOne, ByZone, AtRandom} }

// For is the strategy against a level, by its name. Which one wins where was not
// measured; a level that is not known is attacked with all force at once.
func For(level string) Strategy {
	switch level {
	case "nodes", "node", "control-plane", "etcd":
		return OneByOne
	case "zones", "zone":
		return ByZone
	case "free", "free-play":
		return AtRandom
	}
	return Together
}

// Pilot decides what is hit next. It is pure: equal seeds and targets give equal
// hits. It is not safe for concurrent use.
type Pilot struct {
	strategy  Strategy
	random    *rand.Rand
	finishing bool   // of Together: all are weak, now they are finished
	zone      string // of ByZone
}

// New makes a pilot for one round.
func New(s Strategy, seed uint64) *Pilot {
	return &Pilot{strategy: s, random: rand.New(rand.NewPCG(seed, 0x6175746f))}
}

// Next chooses a target and a weapon; false when there is nothing to hit. damage
// is what a hit takes, in points.
func (p *Pilot) Next(all []Target, damage float64) (target, weapon string, ok bool) {
	var open []Target
	for _, t := range all {
		if !t.Refused && t.Health > 0 && len(t.Weapons) > 0 {
			open = append(open, t)
		}
	}
	if len(open) == 0 {
		p.finishing = false
		return "", "", false
	}
	// Which order equals have is chance's, not the caller's.
	slices.SortFunc(open, func(a, b Target) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	p.random.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	t := open[p.choose(open, damage)]
	weapon = t.Weapons[0]
	if len(t.Weapons) > 1 && p.random.IntN(4) == 0 {
		weapon = t.Weapons[p.random.IntN(len(t.Weapons))]
	}
	return t.ID, weapon, true
}

func (p *Pilot) choose(open []Target, damage float64) int {
	switch p.strategy {
	case OneByOne:
		return weakest(open)
	case ByZone:
		if !slices.ContainsFunc(open, func(t Target) bool { return t.Zone == p.zone }) {
			p.zone = open[0].Zone
		}
		best := -1
		for i, t := range open {
			if t.Zone == p.zone && (best < 0 || t.Health < open[best].Health) {
				best = i
			}
		}
		return best
	case Together:
		strongest := 0
		for i, t := range open {
			if t.Health > open[strongest].Health {
				strongest = i
			}
		}
		if p.finishing = p.finishing || open[strongest].Health <= 2*damage; p.finishing {
			// Those that came meanwhile are left for the next time.
			if w := weakest(open); open[w].Health <= 4*damage {
				return w
			}
			p.finishing = false
		}
		return strongest
	}
	return p.random.IntN(len(open))
}

func weakest(open []Target) int {
	best := 0
	for i, t := range open {
		if t.Health < open[best].Health {
			best = i
		}
	}
	return best
}

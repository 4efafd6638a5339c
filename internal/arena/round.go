package arena

import (
	"math"
	"slices"
	"strings"
	"time"

	"zdl/internal/probe"
)

// Why a round ended.
const (
	endedWon   = "won"
	endedTime  = "time"
	endedIdle  = "idle"
	endedOwner = "owner"
)

// begin starts the round with its first hit.
func (g *game) begin(now time.Time) {
	if g.phase != PhaseReady {
		return
	}
	g.clear()
	g.number++
	g.began, g.lastHit = now, now
	for _, t := range g.targets {
		t.hits = 0
	}
	g.enter(PhasePlaying, now, time.Duration(g.level.GiveUp))
}

// enter changes the phase; 0: it does not end by itself.
func (g *game) enter(phase string, now time.Time, lasts time.Duration) {
	g.phase, g.since, g.until = phase, now, time.Time{}
	if lasts > 0 {
		g.until = now.Add(lasts)
	}
	g.version++
}

// busy tells whether a round is played.
func (g *game) busy() bool { return g.phase == PhasePlaying || g.phase == PhaseDown }

// measured takes over what a prober says about an outage, open or over. Only
// those count that a strike of this round can have brought about.
func (g *game) measured(subject string, o probe.Outage) {
	if g.phase == PhaseReady || g.phase == PhaseEnded || !g.counts(&o) {
		return
	}
	of := g.outages[subject]
	if of == nil {
		of = map[int]probe.Outage{}
		g.outages[subject] = of
	}
	was, known := of[o.ID]
	if !known && len(of) >= keepOutages {
		return
	}
	if !known || was.Open != o.Open || was.LowerMS != o.LowerMS {
		g.version++
	}
	of[o.ID] = o
}

// counts: a run of at least two failed requests, which did not begin before the
// first strike (but for requests that were under way), and after a success.
func (g *game) counts(o *probe.Outage) bool {
	if o.Failed < 2 || o.Unbounded {
		return false
	}
	for _, k := range g.strikes {
		if k.State == StrikeFailed {
			continue
		}
		return !o.Began.Before(k.At.Add(-lead))
	}
	return false
}

// tick moves the round on with time. True means that the round was just decided:
// everything that it struck is to be put right now.
func (g *game) tick(now time.Time) (heal bool) {
	if !g.paused.IsZero() {
		return false
	}
	switch g.phase {
	case PhasePlaying, PhaseDown:
		open := g.open()
		switch {
		case g.long(now):
			g.decide(now, endedWon)
			return true
		case open && g.phase == PhasePlaying:
			until := g.until
			g.enter(PhaseDown, now, 0)
			g.until = until
		case !open && g.won():
			g.decide(now, endedWon)
			return true
		case !open && g.phase == PhaseDown: // it was too short
			until := g.until
			g.enter(PhasePlaying, now, 0)
			g.until = until
		}
		switch {
		case g.striking():
		case !open && !g.until.IsZero() && now.After(g.until):
			g.decide(now, endedTime)
			return true
		case !open && now.Sub(g.lastHit) > time.Duration(g.level.Idle):
			g.decide(now, endedIdle)
			return true
		}
	case PhaseEnded:
		if now.After(g.until) {
			g.reset(now)
		}
	}
	return false
}

// reset makes a fresh game: full health, nobody has hit anything.
func (g *game) reset(now time.Time) {
	g.enter(PhaseReady, now, 0)
	g.strikes = nil
	g.clear()
	for id, t := range g.targets {
		g.targets[id] = &target{seen: t.seen, health: g.group(t).Health, at: now, by: map[string]bool{}}
	}
}

// decide ends the play.
func (g *game) decide(now time.Time, outcome string) {
	g.outcome, g.ending = outcome, now
	g.enter(PhaseRecovering, now, recoverWithin)
}

// open tells whether an outage that could win goes on.
func (g *game) open() bool {
	for subject, of := range g.outages {
		if _, wins := g.level.wins(subject); !wins {
			continue
		}
		for _, o := range of {
			if o.Open {
				return true
			}
		}
	}
	return false
}

// long tells whether an open outage has lasted its time, for sure.
func (g *game) long(now time.Time) bool {
	for subject, of := range g.outages {
		if _, wins := g.level.wins(subject); !wins {
			continue
		}
		for _, o := range of {
			if o.Open && max(o.LowerMS, sinceMS(o.Began, now)-milliseconds(lead)) >= milliseconds(time.Duration(g.level.RecoverAfter)) {
				return true
			}
		}
	}
	return false
}

// won tells whether an outage was surely long enough.
func (g *game) won() bool {
	for subject, of := range g.outages {
		need, wins := g.level.wins(subject)
		for _, o := range of {
			if wins && o.LowerMS >= milliseconds(need) {
				return true
			}
		}
	}
	return false
}

// striking tells whether a fault is being made.
func (g *game) striking() bool {
	return slices.ContainsFunc(g.strikes, func(k *strike) bool { return k.State == StrikeUnderWay })
}

// pause stops the clocks of the round, and starts them again.
func (g *game) pause(now time.Time, on bool) {
	switch {
	case on && g.paused.IsZero():
		g.paused = now
	case !on && !g.paused.IsZero():
		away := now.Sub(g.paused)
		if !g.until.IsZero() {
			g.until = g.until.Add(away)
		}
		g.lastHit = g.lastHit.Add(away)
		g.paused = time.Time{}
	default:
		return
	}
	g.version++
}

// finish shows the end screen.
func (g *game) finish(now time.Time, e *End) {
	g.end = e
	g.enter(PhaseEnded, now, endFor)
}

// state is what everybody may see of the round.
func (g *game) state(now time.Time) State {
	s := State{Version: g.version, Phase: g.phase, Since: g.since, Until: g.until, Round: g.number, Rules: g.level.rules(), Weapons: g.arms.weapons,
		Text: g.level.Text, Targets: []Target{}, Strikes: []Strike{}, Hits: g.hits, End: g.end, Outages: g.roundOutages(), Players: g.ranking(showPlayers)}
	if !g.paused.IsZero() {
		s.Phase = PhasePaused
	}
	for _, id := range g.order {
		t := g.targets[id]
		if t == nil {
			continue
		}
		g.heal(now, t)
		rules := g.group(t)
		v := Target{ID: t.id, Kind: t.kind, Name: t.name, Title: t.title, Node: t.node, Zone: t.zone, Health: math.Round(t.health), Max: rules.Health,
			Hits: t.hits, Weapons: append([]string{}, g.arms.groups[t.group]...), Refused: g.refusal(t)}
		if k := t.strike; k != nil {
			v.Dying, v.Down, v.Attack = k.State == StrikeUnderWay, k.State != StrikeUnderWay, k.AttackID
		} else if t.health < rules.Health {
			s.Moving = true
			v.Healing = rules.HealPerSecond > 0 && now.Sub(t.hit) >= time.Duration(rules.HealAfter)
		}
		s.Targets = append(s.Targets, v)
	}
	for _, k := range g.strikes {
		s.Strikes = append(s.Strikes, k.Strike)
	}
	for _, v := range g.visitors {
		if now.Sub(v.seen) < activeFor {
			s.Visitors++
		}
	}
	return s
}

// roundOutages lists what was measured in this round, oldest first.
func (g *game) roundOutages() []RoundOutage {
	out := []RoundOutage{}
	for subject, of := range g.outages {
		for _, o := range of {
			out = append(out, view(subject, &o))
		}
	}
	slices.SortFunc(out, func(a, b RoundOutage) int {
		if c := a.Began.Compare(b.Began); c != 0 {
			return c
		}
		return strings.Compare(a.Subject, b.Subject)
	})
	return out
}

func view(subject string, o *probe.Outage) RoundOutage {
	return RoundOutage{ID: o.ID, Subject: subject, LowerMS: o.LowerMS, UpperMS: o.UpperMS, Began: o.Began, Open: o.Open, Failed: o.Failed, ByClass: o.ByClass}
}

// ranking lists the players, most hits first.
func (g *game) ranking(most int) []Player {
	out := []Player{}
	for _, p := range g.players {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Player) int {
		if a.Hits != b.Hits {
			return b.Hits - a.Hits
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out[:min(len(out), most)]
}

package arena

import (
	"context"
	"fmt"
	"slices"
	"time"

	"zdl/internal/cause"
	"zdl/internal/cluster"
)

// wellFor is how long everything must be as before until the round is over.
const wellFor = time.Second

// rescue begins to put right what the round struck.
func (a *Arena) rescue() {
	a.wellFrom, a.telling = time.Time{}, false
	run := a.ctx
	if run == nil {
		return
	}
	for _, k := range a.game.strikes {
		if k.AttackID != "" && !k.over {
			id := k.AttackID
			a.work.Go(func() { a.heal(run, id) })
		}
	}
	a.wake()
}

// recovering waits until everything is as it was before the round, and then shows
// the end screen.
func (a *Arena) recovering(now time.Time) {
	late := now.After(a.game.until)
	if a.trouble() == "" {
		if a.wellFrom.IsZero() {
			a.wellFrom = now
		}
	} else {
		a.wellFrom = time.Time{}
	}
	well := !a.wellFrom.IsZero() && now.Sub(a.wellFrom) >= wellFor
	if a.telling || !well && !late {
		return
	}
	if late {
		a.Log.Warn("the arena goes on although not everything is as it was", "trouble", a.trouble())
	}
	if a.quiet {
		next := a.next
		a.next, a.quiet = nil, false
		a.keep(nil)
		a.play(now, next)
		a.relist()
		return
	}
	a.telling = true
	g, run := a.game, a.ctx
	users := a.users()
	longest := g.longest()
	a.work.Go(func() { a.conclude(run, g, users, longest) })
}

// conclude makes the end screen. Reading settings of the cluster takes a while.
func (a *Arena) conclude(ctx context.Context, g *game, users served, longest *RoundOutage) {
	var why *cause.Breakdown
	if longest != nil && a.Cause != nil {
		// The timeline hears of an outage's end from the prober, as the game did.
		for range 10 {
			if b, ok := a.Cause(ctx, longest.Subject, longest.ID); ok {
				why = &b
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.wake()
	if a.game != g || g.phase != PhaseRecovering || a.quiet {
		a.telling = false
		return
	}
	now := time.Now()
	e := g.endScreen(users, why)
	if trouble := a.trouble(); trouble != "" {
		e.Story = append(e.Story, "Not everything is as it was: "+trouble+".")
	}
	a.keep(e)
	a.defender.concluded(g)
	a.tell(e)
	g.finish(now, e)
}

// keep writes down that a round was played.
func (a *Arena) keep(e *End) {
	var fame *Fame
	if e != nil && e.Won && !a.game.flown() {
		f := a.game.fame(time.Now(), e)
		fame = &f
	}
	if err := a.hall.add(a.game.level.Name, a.game.number, fame); err != nil {
		a.Log.Warn("the hall of fame was not written", "error", err)
	}
}

// users counts what users asked for in the round.
func (a *Arena) users() served {
	s := a.Service.Summary()
	return served{sent: s.Sent - a.sent.Sent, failed: s.Failed - a.sent.Failed}
}

// trouble says what is not as it was before the round, "" for nothing.
func (a *Arena) trouble() string {
	g := a.game
	for _, k := range g.strikes {
		if k.State == StrikeUnderWay || !k.over {
			return fmt.Sprintf("%s on %s is not undone yet", k.Fault, k.Title)
		}
	}
	for subject, p := range a.probers {
		if p.Prober == nil {
			continue
		}
		if s := p.Summary(); !s.Up {
			return subjectName(subject) + " does not answer"
		}
	}
	for _, o := range g.roundOutages() {
		if o.Open {
			return subjectName(o.Subject) + " is still down"
		}
	}
	s := a.Cluster.Snapshot()
	if s.Stale {
		return "the API server does not answer"
	}
	now := well(&s)
	var missing []string
	for what, n := range a.baseline {
		if now[what] < n {
			missing = append(missing, what)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return missing[0] + " is not as before"
	}
	return ""
}

// well counts what works in a cluster, by names that outlive the single pod.
func well(s *cluster.Snapshot) map[string]int {
	out := map[string]int{}
	for _, n := range s.Nodes() {
		if nodeUp(&n) {
			out["node "+n.Name]++
		}
	}
	for _, m := range s.Machines {
		if m.Power == cluster.PowerOn {
			out["machine "+m.Name]++
		}
	}
	for _, p := range append(s.TargetPods(), s.System...) {
		if p.Ready && p.Alive() {
			out["pod "+p.Namespace+"/"+p.App]++
		}
	}
	return out
}

package arena

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zdl/internal/fault"
	"zdl/internal/timeline"
)

const (
	// strikeWait is how long a hit waits for the proof of the fault that it brought
	// about; the state tells what becomes of it later.
	strikeWait = 2 * time.Second
	// strikeTimeout bounds how long a fault may take to be made and proven.
	strikeTimeout = 90 * time.Second
)

// Hit lets a visitor hit a target, by its ID, or by a name that is its alone. An
// empty weapon is the target's default. If the hit takes the last health, Hit
// returns when the fault is proven, with the reason why it could not be made, or
// after two seconds with the strike under way. Refusals are of type *Error.
func (a *Arena) Hit(ctx context.Context, who Visitor, target, weapon string) (HitResult, error) {
	a.arrives(&who)
	who.Name = visitorName(who.Name)
	a.mu.Lock()
	if a.ctx == nil {
		a.mu.Unlock()
		return HitResult{}, ErrClosed.because("The arena is not open yet.")
	}
	now := time.Now()
	g, was := a.game, a.game.phase
	r, k, err := g.hitting(now, who, target, weapon)
	if err != nil {
		a.mu.Unlock()
		return HitResult{}, err
	}
	if was == PhaseReady {
		a.opened(now, who)
	}
	title := ""
	if t := g.targets[r.Target]; t != nil {
		title = t.title
	}
	if k == nil {
		a.mu.Unlock()
		if r.First {
			a.Timeline.Add(timeline.KindHit, title, fmt.Sprintf("%s attacks %s", who.Name, title), map[string]string{"visitor": who.Name, "target": r.Target})
		}
		return r, nil
	}
	k.role = a.roleOf(k.seen.id)
	request, err := request(g.arms.kinds[k.Weapon], g.arms.files[k.Weapon], &k.seen, who.Name)
	begun := a.ctx
	done := make(chan error, 1)
	a.work.Go(func() { done <- a.carryOut(begun, g, k, request, err) })
	a.mu.Unlock()

	wait := time.NewTimer(strikeWait)
	defer wait.Stop()
	select {
	case err = <-done:
	case <-wait.C:
		err = nil
	case <-ctx.Done(): // a visitor who leaves does not save the target
		err = nil
	}
	a.mu.Lock()
	strike := k.Strike
	a.mu.Unlock()
	r.Strike = &strike
	if err != nil {
		r.Struck = false
	}
	return r, err
}

// opened notes that a round began. The caller holds the lock.
func (a *Arena) opened(now time.Time, who Visitor) {
	s := a.Cluster.Snapshot()
	a.baseline, a.wellFrom, a.telling, a.quiet, a.next = well(&s), time.Time{}, false, false, nil
	a.sent = a.Service.Summary()
	g := a.game
	a.Timeline.Add(EntryRound, fmt.Sprintf("round %d", g.number), fmt.Sprintf("%s begins round %d of level %d, %s", who.Name, g.number, g.level.Number, g.level.Title),
		map[string]string{"level": g.level.Name, "visitor": who.Name})
	a.watch(now)
	a.wake()
}

// carryOut makes a strike's fault for real.
func (a *Arena) carryOut(ctx context.Context, g *game, k *strike, r fault.Request, err error) error {
	ctx, cancel := context.WithTimeout(ctx, strikeTimeout)
	defer cancel()
	var attack fault.Attack
	if err == nil {
		attack, err = a.Faults.Attack(ctx, r)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.wake()
	now := time.Now()
	if err != nil {
		why := reason(err)
		g.failed(now, k, why)
		a.Timeline.Add(timeline.KindKillFailed, k.Title, fmt.Sprintf("%s could not be struck with %s: %s", k.Title, k.Fault, why), map[string]string{"visitor": k.By})
		return ErrFailed.because("%s could not be struck with %s: %s", k.Title, k.Fault, why)
	}
	g.proven(now, k, attack.ID, attack.Evidence)
	if attack.State.Over() && !k.instant {
		g.ended(k)
	}
	if late := g != a.game || !g.busy(); late && !k.over && a.ctx != nil {
		run := a.ctx
		a.work.Go(func() { a.heal(run, attack.ID) }) // the round was over meanwhile
	}
	if g == a.game {
		a.sync(now)
	}
	return nil
}

// reason is an error for people.
func reason(err error) string {
	var refused *fault.Error
	if errors.As(err, &refused) {
		return refused.Message
	}
	return err.Error()
}

// HealHit puts a target right before its time. Owners may do so always, players in
// levels of the whole catalogue.
func (a *Arena) HealHit(ctx context.Context, who Visitor, target string) error {
	a.mu.Lock()
	t := a.game.find(target)
	switch {
	case t == nil:
		a.mu.Unlock()
		return ErrNoTarget
	case !who.Owner && !a.game.level.Catalogue:
		a.mu.Unlock()
		return ErrRefused.because("Only the owner may heal in this level.")
	case t.strike == nil || t.strike.AttackID == "" || t.strike.over:
		a.mu.Unlock()
		return ErrRefused.because("%s has no fault that could be healed.", t.title)
	}
	if r := &a.game.level.Rules; !who.Owner && !a.game.visitor(time.Now(), who).bucket.take(time.Now(), r.HitsPerSecond, r.Burst) {
		a.mu.Unlock()
		return ErrTooFast
	}
	id := t.strike.AttackID
	a.mu.Unlock()
	_, err := a.Faults.Heal(ctx, id)
	return err
}

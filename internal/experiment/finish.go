package experiment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// heal takes back what the method did: faults first, then what kubectl changed.
func (c *carrier) heal(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, healLimit)
	defer cancel()
	o := &c.run.Seen
	healed, err := c.HealAll(ctx)
	if err != nil {
		o.Left = append(o.Left, err.Error())
	}
	c.takeBack(ctx, c.undo, false)
	if len(healed) > 0 || len(c.undo) > 0 || o.Healed.IsZero() {
		c.healed()
	}
}

// recover waits until the lab is steady again.
func (c *carrier) recover(ctx context.Context) {
	o := &c.run.Seen
	if !c.waitSteady(ctx, c.e.Recover) {
		o.Left = append(o.Left, fmt.Sprintf("the lab is not steady %v after everything was healed", c.e.Recover))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	o.Steady = c.steady
	if !o.Injected.IsZero() && o.Steady.Before(o.Injected) && !o.Steady.IsZero() {
		o.Steady = o.Injected // it never ceased to be
	}
}

// tidy takes back what the setup did, and waits until the lab is steady.
func (c *carrier) tidy(ctx context.Context) {
	if len(c.cleanup) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, healLimit)
	defer cancel()
	c.takeBack(limited, c.cleanup, true)
	look, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { c.watch(look, func(error) {}) }) // the run's own watch may have ended
	defer watch.Wait()
	defer stop()
	if !c.waitSteady(ctx, c.e.Recover) {
		c.run.Seen.Left = append(c.run.Seen.Left, fmt.Sprintf("the lab is not steady %v after its setup was undone", c.e.Recover))
	}
}

// takeBack undoes, the latest first.
func (c *carrier) takeBack(ctx context.Context, list []Undo, setup bool) {
	o := &c.run.Seen
	for i := len(list) - 1; i >= 0; i-- {
		if err := c.kubectl(ctx, list[i].Args, list[i].Stdin, setup); err != nil {
			o.Left = append(o.Left, fmt.Sprintf("kubectl %s: %v", strings.Join(list[i].Args, " "), err))
		}
		if c.rope != nil {
			c.rope.Undone()
		}
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
	for i := range o.Outages {
		if b, err := c.Cause(ctx, o.Outages[i].ID); err == nil { // single failed requests have none
			o.Causes = append(o.Causes, b)
		}
	}
	attacks, err := c.Attacks(ctx)
	errs = errors.Join(errs, err)
	for _, a := range attacks {
		if a.Asked.Before(o.Began.Add(-time.Second)) || a.By != c.e.By() {
			continue
		}
		o.Attacks = append(o.Attacks, a)
		for _, line := range a.Residue {
			o.Left = append(o.Left, fmt.Sprintf("%s (%s): %s", a.ID, a.Kind, line))
		}
		if c.bounded[a.ID] && !a.Until.IsZero() && !a.Ended.IsZero() && a.Ended.After(a.Until) {
			c.void(fmt.Sprintf("the fault %s ended by its own time limit, before the method was over", a.Kind))
		}
	}
	return errs
}

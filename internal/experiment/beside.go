package experiment

import (
	"context"
	"time"

	"zdl/internal/load"
	"zdl/internal/probe"
)

// keptSamples bounds how many requests of a run are kept one by one.
const keptSamples = 200_000

// watchRate is how many requests a second are made to be kept, where a file asks
// for no load.
const watchRate = 20

// watchPlan is that load: half of its users keep their connections, as browsers
// and proxies do, half make new ones.
func (e *Experiment) watchPlan() *load.Plan {
	step := load.Step{URL: ServiceURL}
	kept, fresh := step, step
	kept.Name, fresh.Name, fresh.NewConnection = "kept connection", "new connection", true
	return &load.Plan{
		Title:    "samples",
		Journeys: []load.Journey{{Steps: []load.Step{kept}}, {Steps: []load.Step{fresh}}},
		Open:     load.Constant(watchRate, maxLength), Timeout: 2 * time.Second, Seed: e.Seed,
	}
}

// beside begins load and further probes.
func (c *carrier) beside(ctx context.Context) {
	o := &c.run.Seen
	side, end := context.WithCancel(context.WithoutCancel(ctx)) // they see the recovery, too
	c.endSide = end
	loading, endLoad := context.WithCancel(side)
	c.endLoad = endLoad
	plan, to := c.e.Load, &o.Load
	if plan == nil {
		plan, to = c.e.watchPlan(), &o.Watched
		loading = side
	}
	own := *plan
	own.KeepSamples = keptSamples
	c.loaded = make(chan struct{})
	c.sides.Go(func() {
		defer close(c.loaded)
		result, err := c.Lab.Load(loading, &own)
		if err != nil {
			if c.e.Load != nil {
				c.void("the load could not be made: " + err.Error())
			}
			return
		}
		if c.e.LoadUntilOver || c.e.Load == nil {
			result.Aborted = "" // that is how it ends
		}
		*to = result
	})
	for _, subject := range c.e.Probe {
		c.sides.Go(func() {
			var last probe.Report
			err := c.Measure(side, probe.Request{Subject: subject, For: probe.MaxLength}, func(r probe.Report) error {
				last = r
				return nil
			})
			c.mu.Lock()
			defer c.mu.Unlock()
			if o.Probes == nil {
				o.Probes = map[string]probe.Report{}
			}
			if err != nil && side.Err() == nil || last.Error != "" {
				return // no data is a failure of what is expected of it
			}
			o.Probes[subject] = last
		})
	}
}

// endBeside ends the load: with whole, when its own schedule is over. What is
// made only for samples goes on, and so do the probes.
func (c *carrier) endBeside(whole bool) {
	if c.e.Load == nil {
		return
	}
	if whole && !c.e.LoadUntilOver {
		<-c.loaded
	}
	c.endLoad()
}

package load

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// runner is a run under way.
type runner struct {
	p        *Plan
	journeys [][]prepared
	weights  []float64 // running sums
	shards   []*shard
	epoch    time.Time
	dropped  atomic.Int64
	users    atomic.Int64 // alive now
	begun    atomic.Int64 // iterations
	most     atomic.Int64 // users alive at once

	pool *pool // of users of an open loop
}

// Run carries out a plan. The result is complete also when ctx ends early, and
// says so. Live, if not nil, is called once a second with what was so far.
func Run(ctx context.Context, p *Plan, live func(*Result)) (*Result, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if err := p.Resolve(ctx); err != nil {
		return nil, err
	}
	r := &runner{p: p}
	if p.Dial == nil {
		p.Dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	index, sum := 0, 0.0
	var names []string
	for i := range p.Journeys {
		var steps []prepared
		for k := range p.Journeys[i].Steps {
			steps = append(steps, prepare(&p.Journeys[i].Steps[k], index, p.NewConnections || p.Journeys[i].Steps[k].NewConnection))
			names = append(names, p.Journeys[i].Steps[k].Name)
			index++
		}
		sum += p.Journeys[i].Weight
		r.journeys, r.weights = append(r.journeys, steps), append(r.weights, sum)
	}
	shards := 2 * runtime.GOMAXPROCS(0)
	for range shards {
		s := newShard(index)
		s.room = p.KeepSamples / shards
		r.shards = append(r.shards, s)
	}
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	before := cpuTime()
	r.epoch = time.Now()
	stopWatch := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { r.watch(names, live, abort, stopWatch) })
	if len(p.Open.Stages) > 0 {
		r.open(ctx)
	} else {
		r.closed(ctx)
	}
	close(stopWatch)
	watch.Wait()
	result := r.result(names)
	result.Elapsed = time.Since(r.epoch)
	result.CPU = cpuTime() - before
	for _, s := range r.shards {
		result.Samples = append(result.Samples, s.samples...)
	}
	sortSamples(result.Samples)
	if cause := context.Cause(ctx); cause != nil {
		result.Aborted = cause.Error()
	}
	result.judge(p)
	return result, nil
}

// watch shows the run once a second and ends it when a threshold that says so
// is broken.
func (r *runner) watch(names []string, live func(*Result), abort context.CancelCauseFunc, stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	needed := live != nil
	for _, t := range r.p.Thresholds {
		needed = needed || t.AbortOnFail
	}
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if !needed {
			continue
		}
		now := r.result(names)
		now.Elapsed = time.Since(r.epoch)
		if live != nil {
			live(now)
		}
		for i := range r.p.Thresholds {
			t := &r.p.Thresholds[i]
			if value, known := now.value(t); t.AbortOnFail && known && !t.Holds(value) {
				abort(fmt.Errorf("threshold %v is broken: %g", t, value))
			}
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

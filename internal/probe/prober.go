package probe

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config says what to ask, how often, and what counts as served.
type Config struct {
	Lane    string        // name of this lane for people; default "new" or "reused"
	URL     string        // http://host[:port]/path
	Host    string        // Host header; default from URL
	Rate    float64       // requests a second, 1 to 1000; default 100
	Timeout time.Duration // per request from its start, 10 ms to 30 s; default 1 s
	// SlowAfter marks right answers that took longer as slow; default half the timeout.
	SlowAfter time.Duration
	// Reuse keeps connections open between requests; without it every request
	// has a new one.
	Reuse bool
	// Dial connects from where the users are; default is this machine.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Expect tells whether an answer is the right one; default: status 200.
	// Of the body it sees at most the first 64 KiB. Called concurrently.
	Expect func(status int, header http.Header, body []byte) bool
}

func (c *Config) defaults() error {
	if c.Rate == 0 {
		c.Rate = 100
	}
	if c.Rate < 1 || c.Rate > 1000 {
		return fmt.Errorf("probe rate %g: want 1 to 1000 requests a second", c.Rate)
	}
	if c.Timeout == 0 {
		c.Timeout = time.Second
	}
	if c.Timeout < 10*time.Millisecond || c.Timeout > 30*time.Second {
		return fmt.Errorf("probe timeout %v: want 10 ms to 30 s", c.Timeout)
	}
	if c.SlowAfter == 0 {
		c.SlowAfter = c.Timeout / 2
	}
	if c.Lane == "" {
		c.Lane = "new"
		if c.Reuse {
			c.Lane = "reused"
		}
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	if c.Expect == nil {
		c.Expect = func(status int, _ http.Header, _ []byte) bool { return status == http.StatusOK }
	}
	return nil
}

// Prober sends one request per slot of an open-loop schedule: slot n is due at
// n/rate seconds, whatever became of the slots before it.
type Prober struct {
	c     Config
	ex    *exchanger
	epoch time.Time // zero of all milliseconds

	mu      sync.Mutex
	track   Tracker
	recent  *window
	outages []Outage // closed, newest last, at most keepOutages
	wake    chan struct{}
	stalls  stalls
	sent    int64
	failed  int64
	missed  int64
	known   bool
}

const (
	keepOutages = 500
	keepSeconds = 15 // of slots, more than the summary's window
	// catchUp is how far behind schedule a slot may start; one that is later
	// was missed. Sending a backlog in one burst would measure the burst.
	catchUp = 50 * time.Millisecond
)

// New checks the configuration and fills in its defaults.
func New(c Config) (*Prober, error) {
	if err := c.defaults(); err != nil {
		return nil, err
	}
	ex, err := newExchanger(&c)
	if err != nil {
		return nil, err
	}
	return &Prober{c: c, ex: ex, epoch: time.Now(), recent: newWindow(max(int(c.Rate*keepSeconds), 100)), wake: make(chan struct{})}, nil
}

// Run probes until ctx ends and the requests under way are over.
func (p *Prober) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer p.ex.close()
	defer wg.Wait()
	// A context of its own, so that a request that is cut short always finds it
	// done; a deadline would reach the request's dial first.
	asking, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	interval := time.Duration(float64(time.Second) / p.c.Rate)
	start := time.Since(p.epoch)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for seq := int64(0); ; seq++ {
		due := start + time.Duration(seq)*interval
		if wait := due - time.Since(p.epoch); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		} else if ctx.Err() != nil {
			return
		}
		now := time.Since(p.epoch)
		s := Slot{Seq: seq, Due: ms(due), Start: ms(now), Late: now-due > LateAfter}
		if now-due > catchUp {
			p.mu.Lock()
			p.stalls.add(ms(due), ms(now))
			p.mu.Unlock()
			s.Class, s.End, s.Error = Missed, s.Start, fmt.Sprintf("the prober itself was %v behind", (now-due).Round(time.Millisecond))
			p.record(s)
			continue
		}
		wg.Go(func() { p.ask(asking, s) })
	}
}

func (p *Prober) ask(ctx context.Context, s Slot) {
	deadline := p.epoch.Add(time.Duration(s.Start*1e6) + p.c.Timeout)
	var err error
	s.Class, s.Status, s.By, err = p.ex.do(ctx, deadline)
	s.End = ms(time.Since(p.epoch))
	if err != nil {
		s.Error = err.Error()
		if ctx.Err() != nil {
			s.Class = Missed // it was cut short because the prober is being stopped
		}
	}
	if s.Class == OK && s.MS() > ms(p.c.SlowAfter) {
		s.Class = Slow
	}
	p.record(s)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// thousandth rounds milliseconds to microseconds, the resolution of the clock.
func thousandth(ms float64) float64 { return math.Round(ms*1000) / 1000 }

func (p *Prober) record(s Slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Class == Timeout && p.stalls.explain(s, ms(p.c.Timeout)) {
		s.Class, s.Error = Missed, "the prober itself was paused while it waited"
	}
	p.recent.add(s)
	p.sent++
	switch {
	case s.Class == Missed:
		p.missed++
	case s.Class.Failed():
		p.failed++
		p.known = true
	default:
		p.known = true
	}
	events := p.track.Add(s)
	for _, e := range events {
		if e.Closed {
			if len(p.outages) == keepOutages {
				p.outages = append(p.outages[:0], p.outages[1:]...)
			}
			p.outages = append(p.outages, e.Outage)
		}
	}
	if len(events) > 0 {
		close(p.wake)
		p.wake = make(chan struct{})
	}
}

// Changed gives a channel that is closed when an outage opens, has its second
// failed request, or closes.
func (p *Prober) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wake
}

// Summary is the state of the service over the last ten seconds.
func (p *Prober) Summary() Summary {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.recent.summary(ms(time.Since(p.epoch)))
	s.Lane, s.URL, s.Rate, s.Sent, s.Failed, s.Missed, s.Known = p.c.Lane, p.c.URL, p.c.Rate, p.sent, p.failed, p.missed, p.known
	if o := p.track.Current(); o != nil {
		p.date(o)
		s.Outage, s.OutageMS = o, thousandth(s.NowMS-o.First)
	}
	s.Up = s.Known && s.Outage == nil
	return s
}

// Recent returns the slots that were completed after the first n, oldest first,
// at most limit (0: all that are kept, some 15 seconds), and the n for next time.
func (p *Prober) Recent(n int64, limit int) ([]Slot, int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.recent.since(n, limit)
}

// Outages lists the outages with an ID above after, oldest first, the open one
// last. Only the latest 500 closed ones are kept.
func (p *Prober) Outages(after int) []Outage {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := []Outage{}
	for _, o := range p.outages {
		if o.ID > after {
			o = o.clone()
			p.date(&o)
			out = append(out, o)
		}
	}
	if o := p.track.Current(); o != nil && o.ID > after {
		p.date(o)
		out = append(out, *o)
	}
	return out
}

// Wall is a moment of the prober's clock as a time.Time, which still carries the
// monotonic reading.
func (p *Prober) Wall(ms float64) time.Time { return p.epoch.Add(time.Duration(ms * 1e6)) }

func (p *Prober) date(o *Outage) {
	o.LowerMS, o.UpperMS = thousandth(o.LowerMS), thousandth(o.UpperMS)
	o.Began = p.Wall(o.First)
	if !o.Open {
		o.Ended = p.Wall(o.After)
	}
}

package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what to ask, how often, and what counts as served.
type Config struct {
	Lane string // name of this lane for people; default by what it does, such as "reused h2 write"
	URL  string // http://host[:port]/path, or https:// with TLS
	Host string // Host header; default from URL
	// TLS is how the connections of an https URL are secured: which name the
	// server must have, and which authorities vouch for it. A certificate that
	// does not hold is a wrong answer.
	TLS     *tls.Config
	Rate    float64       // requests a second, 1 to 1000; default 100
	Timeout time.Duration // per request from its start, 10 ms to 30 s; default 1 s
	// SlowAfter marks right answers that took longer as slow; default half the timeout.
	SlowAfter time.Duration
	// StaleAfter marks right answers as stale whose header Age says that they are
	// at least as old, 1 s or more; default 1 s, negative: never.
	StaleAfter time.Duration
	// Reuse keeps connections open between requests; without it every request
	// has a new one.
	Reuse bool
	// HTTP2 speaks HTTP/2 without TLS, with prior knowledge.
	HTTP2 bool
	// Write makes it a write journey: POST of an unguessable note to URL/notes,
	// which is right only if the status is 201 and the answer holds the note's
	// SHA-256, so that the body has arrived.
	Write bool
	// Dial connects from where the users are; default is this machine.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Socket makes a TCP socket (IPv4, not blocking, close-on-exec) where the users
	// are. It is preferred to Dial where the address is a number: it costs half.
	Socket func() (fd int, err error)
	// Expect tells whether an answer to a read is the right one; default: status
	// 200. Of the body it sees at most the first 64 KiB. Called concurrently.
	Expect func(status int, header http.Header, body []byte) bool
	// Subject is asked instead of a web service; then of the fields above only
	// Lane, URL (to be shown), Rate, Timeout and SlowAfter count.
	Subject Subject
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
	if c.StaleAfter == 0 {
		c.StaleAfter = time.Second
	}
	if c.Lane == "" {
		c.Lane = Lane{Reuse: c.Reuse, HTTP2: c.HTTP2, Write: c.Write}.String()
	}
	if c.Dial == nil && c.Socket == nil {
		c.Socket = plainSocket
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
	c        Config
	subject  Subject
	epoch    time.Time     // zero of all milliseconds
	phase    time.Duration // when slot 0 is due, after the epoch; below 0: at once
	merge    func(Slot)    // where a group collects the slots of its lanes; nil alone
	stalls   *stalls       // of this process
	nextDue  atomic.Int64  // of the slot that the schedule waits for, ns after the epoch; 0 before and after
	underWay atomic.Int64  // requests

	mu       sync.Mutex
	down     history
	degraded history
	recent   *window
	wake     chan struct{}
	sent     int64
	failed   int64
	impaired int64
	missed   int64
	known    bool
}

// history finds the outages of one kind and keeps the latest.
type history struct {
	Tracker
	closed []Outage // newest last, at most keepOutages
	sums   Downtime
}

// add returns whether there is any news.
func (h *history) add(s Slot) bool {
	events := h.Tracker.Add(s)
	for _, e := range events {
		if !e.Closed {
			continue
		}
		if len(h.closed) == keepOutages {
			h.closed = append(h.closed[:0], h.closed[1:]...)
		}
		h.closed = append(h.closed, e.Outage)
		h.sums.Count++
		h.sums.LowerMS += e.Outage.LowerMS
		h.sums.UpperMS += e.Outage.UpperMS
	}
	return len(events) > 0
}

const (
	keepOutages = 500
	keepSeconds = 15 // of slots, more than the summary's window
	// catchUp is how far behind schedule a slot may start; one that is later
	// was missed. Sending a backlog in one burst would measure the burst.
	catchUp = 50 * time.Millisecond
	// maxUnderWay bounds the requests that wait for an answer, and with them
	// memory and sockets: slots beyond it are missed. It is reached at 1000/s
	// only if nothing is answered for 4 s.
	maxUnderWay = 4000
)

// New checks the configuration and fills in its defaults.
func New(c Config) (*Prober, error) {
	if err := c.defaults(); err != nil {
		return nil, err
	}
	subject := c.Subject
	if subject == nil {
		q, err := newRequest(&c)
		switch {
		case err != nil:
			return nil, err
		case c.HTTP2:
			subject = newHTTP2(&c, q)
		default:
			subject = newHTTP1(&c, q)
		}
	}
	p := &Prober{c: c, subject: subject, epoch: time.Now(), phase: -1, stalls: &stalls{},
		recent: newWindow(max(int(c.Rate*keepSeconds), 100)), wake: make(chan struct{})}
	p.degraded.Tracker.Degraded = true
	return p, nil
}

// Run probes until ctx ends and the requests under way are over.
func (p *Prober) Run(ctx context.Context) {
	// A context of its own, so that a request that is cut short always finds it
	// done; a deadline would reach the request's dial first.
	asking, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	start := p.phase
	if start < 0 {
		start = time.Since(p.epoch)
	}
	r := &schedule{p: p, asking: asking, start: start, interval: time.Duration(float64(time.Second) / p.c.Rate)}
	r.mu.Lock()
	r.under.Add(1)
	r.timer = time.AfterFunc(start-time.Since(p.epoch), r.slot)
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.over = true
	if r.timer.Stop() {
		r.under.Done()
	}
	r.mu.Unlock()
	r.under.Wait()
	p.nextDue.Store(0)
	p.subject.Close()
}

// schedule is the slots of a prober at work. The goroutine in which the timer of a slot fires
// sets the timer of the next one and then makes its own request: a scheduler
// that hands out slots would cost a wake-up more for each.
type schedule struct {
	p        *Prober
	asking   context.Context
	start    time.Duration
	interval time.Duration

	mu    sync.Mutex
	timer *time.Timer
	seq   int64 // of the slot that the timer is set for
	over  bool
	under sync.WaitGroup // the timer, and requests
}

// slot is called when a slot is due.
func (r *schedule) slot() {
	defer r.under.Done()
	p := r.p
	for {
		r.mu.Lock()
		if r.over {
			r.mu.Unlock()
			return
		}
		seq := r.seq
		r.seq++
		due := r.start + time.Duration(seq)*r.interval
		next := due + r.interval
		now := time.Since(p.epoch)
		p.nextDue.Store(int64(next))
		missed := p.miss(seq, due, now)
		if missed == nil || next > now {
			r.under.Add(1)
			r.timer.Reset(next - now)
		}
		r.mu.Unlock()
		switch {
		case missed == nil:
			p.underWay.Add(1)
			p.ask(r.asking, Slot{Seq: seq, Due: ms(due), Start: ms(now), Late: now-due > LateAfter})
			return
		case next > now:
			p.record(*missed)
			return
		}
		p.record(*missed) // and the next one is due already
	}
}

// miss tells whether a slot is missed, and as what it is recorded.
func (p *Prober) miss(seq int64, due, now time.Duration) *Slot {
	s := &Slot{Seq: seq, Due: ms(due), Start: ms(now), End: ms(now), Class: Missed, Late: now-due > LateAfter}
	switch {
	case now-due > catchUp:
		p.stalls.add(ms(due), ms(now))
		s.Error = fmt.Sprintf("the prober itself was %v behind", (now - due).Round(time.Millisecond))
	case p.underWay.Load() >= maxUnderWay:
		s.Error = "too many requests wait for an answer"
	default:
		return nil
	}
	return s
}

func (p *Prober) ask(ctx context.Context, s Slot) {
	defer p.underWay.Add(-1)
	deadline := p.epoch.Add(time.Duration(s.Start*1e6) + p.c.Timeout)
	r := p.subject.Ask(ctx, deadline)
	now := time.Since(p.epoch)
	s.End, s.Class, s.Status, s.By = ms(now), r.Class, r.Status, r.By
	if !r.Connected.IsZero() {
		s.Connected = ms(r.Connected.Sub(p.epoch))
	}
	if !r.FirstByte.IsZero() {
		s.FirstByte = ms(r.FirstByte.Sub(p.epoch))
	}
	if r.Err != nil {
		s.Error = r.Err.Error()
		if ctx.Err() != nil {
			s.Class = Missed // it was cut short because the prober is being stopped
		}
	}
	switch {
	case s.Class == OK && s.MS() > ms(p.c.SlowAfter):
		s.Class = Slow
	case s.Class == Timeout && (s.Connected > 0 || s.FirstByte > 0):
		s.Class = Stalled
	}
	if s.Class != OK {
		// After a pause the requests under way may get to run before the schedule,
		// which is what usually notices.
		if next := time.Duration(p.nextDue.Load()); next > 0 && now-next > catchUp {
			p.stalls.add(ms(next), ms(now))
		}
		p.stalls.judge(&s, r.Silent, ms(p.c.Timeout), ms(p.c.SlowAfter))
	}
	p.record(s)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// thousandth rounds milliseconds to microseconds, the resolution of the clock.
func thousandth(ms float64) float64 { return math.Round(ms*1000) / 1000 }

func (p *Prober) record(s Slot) {
	if p.merge != nil {
		p.merge(s)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent.add(s)
	p.sent++
	switch {
	case s.Class == Missed:
		p.missed++
	case s.Class.Failed():
		p.failed++
		p.known = true
	case s.Class.Degraded():
		p.impaired++
		p.known = true
	default:
		p.known = true
	}
	news := p.down.add(s)
	news = p.degraded.add(s) || news
	if news {
		close(p.wake)
		p.wake = make(chan struct{})
	}
}

// Changed gives a channel that is closed when an outage or a degraded span
// opens, has its second request, or closes.
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
	s.Impaired, s.Down, s.Degraded = p.impaired, p.down.sums.rounded(), p.degraded.sums.rounded()
	s.Pauses, s.PausedMS = p.stalls.sums()
	s.PausedMS = thousandth(s.PausedMS)
	if o := p.down.Current(); o != nil {
		date(o, p.epoch)
		s.Outage, s.OutageMS = o, thousandth(s.NowMS-o.First)
	}
	if o := p.degraded.Current(); o != nil {
		date(o, p.epoch)
		s.Degradation = o
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
	return p.down.list(after, p.epoch)
}

// Degradations lists, like Outages and with IDs of their own, the spans in which
// users were served slowly or with old data.
func (p *Prober) Degradations(after int) []Outage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.degraded.list(after, p.epoch)
}

func (h *history) list(after int, epoch time.Time) []Outage {
	out := []Outage{}
	for _, o := range h.closed {
		if o.ID > after {
			o = o.clone()
			date(&o, epoch)
			out = append(out, o)
		}
	}
	if o := h.Current(); o != nil && o.ID > after {
		date(o, epoch)
		out = append(out, *o)
	}
	return out
}

// Wall is a moment of the prober's clock as a time.Time, which still carries the
// monotonic reading.
func (p *Prober) Wall(ms float64) time.Time { return wall(p.epoch, ms) }

func wall(epoch time.Time, ms float64) time.Time { return epoch.Add(time.Duration(ms * 1e6)) }

func date(o *Outage, epoch time.Time) {
	o.LowerMS, o.UpperMS, o.ErrorMS = thousandth(o.LowerMS), thousandth(o.UpperMS), thousandth(o.ErrorMS)
	o.Began = wall(epoch, o.First)
	if !o.Open {
		o.Ended = wall(epoch, o.After)
	}
}

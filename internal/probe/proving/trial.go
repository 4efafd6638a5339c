package proving

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"zdl/internal/probe"
)

// Trial is a measurement of outages of known length.
type Trial struct {
	Outages  int
	Shortest time.Duration
	Longest  time.Duration // lengths lie between the two, spread evenly over their logarithms
	Lanes    []probe.Lane
	Rate     float64 // per lane
	Servers  int     // that go down side by side, each with a prober of its own
	Seed     uint64
}

// Outcome is what a trial has shown. Complaints is empty if every outage that a
// request met was found, none was invented, and every bound holds.
type Outcome struct {
	Outages    int      `json:"outages"`
	Found      int      `json:"found"`
	Unmet      int      `json:"unmet"` // not found, since no request began and ended in them
	LongestMS  float64  `json:"longestUnmetMs"`
	Requests   int64    `json:"requests"`
	Missed     int64    `json:"missed"`
	Complaints []string `json:"complaints"`
	// ErrorMS are the error bounds of what was found, in ascending order: half the
	// distance between the lower and the upper bound.
	ErrorMS []float64 `json:"-"`
	LagMS   float64   `json:"lagMs"` // greatest p99 of any lane's lateness at the end
}

// Run makes the trial; it takes as long as the outages of one server together.
func (t Trial) Run(ctx context.Context) (*Outcome, error) {
	// Evenly spread lengths in a random order, dealt out so that no server gets
	// all the long ones.
	lengths := make([]time.Duration, t.Outages)
	for i := range lengths {
		share := (float64(i) + 0.5) / float64(t.Outages)
		lengths[i] = time.Duration(float64(t.Shortest) * math.Pow(float64(t.Longest)/float64(t.Shortest), share))
	}
	var wg sync.WaitGroup
	outcomes, errs := make([]*Outcome, t.Servers), make([]error, t.Servers)
	for i := range t.Servers {
		wg.Go(func() {
			var mine []time.Duration
			for j := i; j < len(lengths); j += t.Servers {
				mine = append(mine, lengths[j])
			}
			r := rand.New(rand.NewPCG(t.Seed, uint64(i)))
			r.Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
			outcomes[i], errs[i] = t.one(ctx, mine, r)
		})
	}
	wg.Wait()
	sum := &Outcome{Complaints: []string{}}
	for i, o := range outcomes {
		if errs[i] != nil {
			return nil, errs[i]
		}
		sum.Outages += o.Outages
		sum.Found += o.Found
		sum.Unmet += o.Unmet
		sum.LongestMS = max(sum.LongestMS, o.LongestMS)
		sum.Requests += o.Requests
		sum.Missed += o.Missed
		sum.LagMS = max(sum.LagMS, o.LagMS)
		sum.Complaints = append(sum.Complaints, o.Complaints...)
		sum.ErrorMS = append(sum.ErrorMS, o.ErrorMS...)
	}
	slices.Sort(sum.ErrorMS)
	return sum, nil
}

// Percentile of the error bounds.
func (o *Outcome) Percentile(p float64) float64 {
	if len(o.ErrorMS) == 0 {
		return 0
	}
	return o.ErrorMS[min(int(p/100*float64(len(o.ErrorMS))), len(o.ErrorMS)-1)]
}

// timeout of each request. Those that began before an outage must not be cut by it.
const timeout = time.Second

// one runs one server and its prober.
func (t Trial) one(ctx context.Context, lengths []time.Duration, r *rand.Rand) (*Outcome, error) {
	s, err := Start()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var configs []probe.Config
	for _, l := range t.Lanes {
		configs = append(configs, probe.Config{URL: s.URL(), Rate: t.Rate, Timeout: timeout, SlowAfter: timeout,
			Reuse: l.Reuse, HTTP2: l.HTTP2, Write: l.Write, Expect: Right})
	}
	g, err := probe.NewGroup(configs...)
	if err != nil {
		return nil, err
	}
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { g.Run(runCtx) })
	log := &slots{g: g, from: make([]int64, len(t.Lanes)), next: make([]int64, len(t.Lanes))}
	for range t.Lanes {
		log.done = append(log.done, map[int64]bool{})
	}

	rest := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	if err := log.served(ctx, 0); err != nil {
		return nil, err
	}
	var spans []Span
	var reported []probe.Outage
	for i, length := range lengths {
		mode := Modes[i%len(Modes)]
		span, err := s.Down(ctx, mode, length)
		if err != nil {
			return nil, err
		}
		spans = append(spans, span)
		// Two outages without an answer in between are one to whoever asks: wait
		// until all that began before is over, and then for answers once more.
		for _, after := range []func() time.Time{func() time.Time { return span.To }, time.Now} {
			if err := log.served(ctx, float64(after().Sub(g.Lanes()[0].Wall(0)).Nanoseconds())/1e6); err != nil {
				return nil, err
			}
		}
		if mode == Stall {
			rest(timeout) // else the next outage might end requests of this one
		}
		rest(20*time.Millisecond + time.Duration(r.IntN(10_000))*time.Microsecond) // off the beat
		if i%50 == 49 {
			reported = newer(reported, g.Outages()) // before the group forgets them
		}
	}
	// Whoever waits for an answer waits for the timeout at the most.
	rest(timeout + 100*time.Millisecond)
	stop()
	running.Wait()
	log.take()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	o := t.compare(spans, newer(reported, g.Outages()), log.all, g.Lanes()[0])
	for _, p := range g.Lanes() {
		sum := p.Summary()
		o.Requests += sum.Sent
		o.Missed += sum.Missed
		o.LagMS = max(o.LagMS, sum.LagMS)
	}
	return o, nil
}

// newer joins two readings of the same list: what the second has too, it knows
// better.
func newer(old, now []probe.Outage) []probe.Outage {
	if len(now) == 0 {
		return old
	}
	n := 0
	for n < len(old) && old[n].ID < now[0].ID {
		n++
	}
	return append(old[:n:n], now...)
}

// slots collects what all lanes measured.
type slots struct {
	g    *probe.Group
	from []int64
	all  []probe.Slot
	lane []int   // of each
	next []int64 // per lane: all slots before it are over
	done []map[int64]bool
}

// served waits until every lane has answers to requests that began after the given
// moment, and none from before is under way, and keeps the log meanwhile.
func (l *slots) served(ctx context.Context, after float64) error {
	seen := make([]int, len(l.from))
	first := make([]int64, len(l.from)) // success after the moment
	for i := range first {
		first[i] = math.MaxInt64
	}
	looked := len(l.all)
	for tries := 0; ; tries++ {
		l.take()
		for _, s := range l.all[looked:] {
			if lane := l.lane[looked]; s.Start > after && !s.Class.Failed() && s.Class != probe.Missed {
				seen[lane]++
				first[lane] = min(first[lane], s.Seq)
			}
			looked++
		}
		whole := true
		for lane := range first {
			whole = whole && l.next[lane] > first[lane]
		}
		if whole && slices.Min(seen) >= 2 {
			return nil
		}
		if tries > 2000 {
			return fmt.Errorf("no answers 10 s after the server came back")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (l *slots) take() {
	for i, p := range l.g.Lanes() {
		var got []probe.Slot
		got, l.from[i] = p.Recent(l.from[i], 0)
		l.all = append(l.all, got...)
		for _, s := range got {
			l.lane = append(l.lane, i)
			l.done[i][s.Seq] = true
		}
		for l.done[i][l.next[i]] {
			delete(l.done[i], l.next[i])
			l.next[i]++
		}
	}
}

// compare holds what was reported against what was true.
func (t Trial) compare(spans []Span, reported []probe.Outage, all []probe.Slot, clock *probe.Prober) *Outcome {
	o := &Outcome{Outages: len(spans)}
	complain := func(format string, args ...any) { o.Complaints = append(o.Complaints, fmt.Sprintf(format, args...)) }
	zero := clock.Wall(0)
	at := func(t time.Time) float64 { return float64(t.Sub(zero).Nanoseconds()) / 1e6 }
	const grain = 0.002 // the clocks' resolution
	slices.SortFunc(all, func(a, b probe.Slot) int { return int(math.Copysign(1, a.Start-b.Start)) })
	explained := make([]bool, len(reported))
	for _, span := range spans {
		from, down, up, to := at(span.From), at(span.Down), at(span.Up), at(span.To)
		var mine []probe.Outage
		for i, r := range reported {
			if !r.Open && r.First <= to+grain && r.After >= from && r.Before <= to {
				if explained[i] {
					complain("%s of %.1f ms: one outage is reported for two", span.Mode, up-down)
				}
				explained[i] = true
				mine = append(mine, r)
			}
		}
		if len(mine) == 0 {
			met := slices.ContainsFunc(all, func(s probe.Slot) bool {
				return s.Class != probe.Missed && s.Start > down && (s.End < up || span.Mode == Stall && s.Start < up && s.Class.Failed())
			})
			if met {
				complain("%s of %.1f ms was not found, though a request met it", span.Mode, up-down)
			}
			o.Unmet++
			o.LongestMS = max(o.LongestMS, up-down)
			continue
		}
		o.Found++
		before, after, sure := math.Inf(1), 0.0, 0.0
		for _, r := range mine {
			before, after = min(before, r.Before), max(after, r.After)
			if r.Unbounded || r.LowerMS > r.UpperMS+grain || r.LowerMS > to-from+grain {
				complain("%s of %.3f ms: impossible bounds %+v", span.Mode, to-from, r)
			}
			if r.Last > to+grain {
				complain("%s of %.3f ms: a request that began %.3f ms after its end counts as failed: %+v", span.Mode, to-from, r.Last-to, r)
			}
			if !r.Partial {
				sure += r.LowerMS
			}
		}
		if before > down+grain || after < up-grain || sure > to-from+grain {
			complain("%s of %.3f to %.3f ms: reported from %+.3f to %+.3f ms beside it, %.3f ms for sure", span.Mode, up-down, to-from, before-from, after-to, sure)
		}
		if len(mine) == 1 {
			o.ErrorMS = append(o.ErrorMS, mine[0].ErrorMS)
		}
	}
	for i, r := range reported {
		if !explained[i] {
			complain("invented: %+v", r)
		}
	}
	return o
}

package probe

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Group asks one service in several lanes at the same time. Their slots are
// interleaved: with n lanes at rate r one is due every 1/(n r) seconds, and an
// outage of the whole service is bounded that closely.
type Group struct {
	lanes []*Prober
	epoch time.Time

	mu      sync.Mutex
	merged  Tracker   // all slots, numbered lane by lane
	single  []Tracker // each lane's, numbered likewise
	runs    []Outage  // of merged, not settled yet
	by      [][]Outage
	settled []Outage // what combine made of earlier ones, at most keepOutages
	sums    Downtime // of settled ones that are not partial
	ids     int
}

// keepRuns bounds the runs that wait to be combined. A lane that fails alone for
// long makes a run with each of its slots.
const keepRuns = 2000

// NewGroup takes one configuration per lane; all need the same rate.
func NewGroup(configs ...Config) (*Group, error) {
	if len(configs) == 0 {
		return nil, fmt.Errorf("probe: no lane")
	}
	g := &Group{epoch: time.Now(), single: make([]Tracker, len(configs)), by: make([][]Outage, len(configs))}
	g.merged.SlackMS = ms(catchUp)
	shared := &stalls{}
	names := map[string]bool{}
	for i, c := range configs {
		p, err := New(c)
		if err != nil {
			return nil, err
		}
		if i > 0 && p.c.Rate != g.lanes[0].c.Rate {
			return nil, fmt.Errorf("probe: lanes of %g and %g requests a second cannot be interleaved", g.lanes[0].c.Rate, p.c.Rate)
		}
		if names[p.c.Lane] {
			return nil, fmt.Errorf("probe: two lanes are called %q", p.c.Lane)
		}
		names[p.c.Lane] = true
		p.epoch, p.stalls = g.epoch, shared
		p.merge = func(s Slot) { g.add(i, s) }
		g.lanes = append(g.lanes, p)
	}
	return g, nil
}

// Lanes are the probers, in the order of their configurations.
func (g *Group) Lanes() []*Prober { return g.lanes }

// GapMS is the time between two slots of any lane, in milliseconds.
func (g *Group) GapMS() float64 { return 1000 / (g.lanes[0].c.Rate * float64(len(g.lanes))) }

// Run probes until ctx ends and the requests under way are over.
func (g *Group) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	begin := time.Since(g.epoch) + time.Millisecond
	for i, p := range g.lanes {
		p.phase = begin + time.Duration(float64(i)*g.GapMS()*1e6)
		wg.Go(func() { p.Run(ctx) })
	}
}

func (g *Group) add(lane int, s Slot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Seq = s.Seq*int64(len(g.lanes)) + int64(lane)
	s.lane = g.lanes[lane].c.Lane
	for _, e := range g.merged.Add(s) {
		if e.Closed {
			g.runs = append(g.runs, e.Outage)
		}
	}
	own := s
	own.Seq /= int64(len(g.lanes))
	for _, e := range g.single[lane].Add(own) {
		if e.Closed {
			g.by[lane] = append(g.by[lane], g.renumber(e.Outage, lane))
		}
	}
	switch {
	case len(g.runs) == 0:
	case g.quiet():
		g.settle()
	case len(g.runs) > keepRuns:
		g.thin()
	}
}

// renumber gives a lane's outage the numbers of the merged slots.
func (g *Group) renumber(o Outage, lane int) Outage {
	n := int64(len(g.lanes))
	o.firstSeq, o.lastSeq = o.firstSeq*n+int64(lane), o.lastSeq*n+int64(lane)
	return o
}

// quiet tells whether no lane is in the middle of an outage, so that what has
// been found can be combined for good.
func (g *Group) quiet() bool {
	if g.merged.busy() {
		return false
	}
	for i := range g.single {
		if g.single[i].busy() {
			return false
		}
		// A lane may know more than all together do: another lane's slot is out.
		if n := len(g.by[i]); n > 0 && g.by[i][n-1].lastSeq >= g.merged.next {
			return false
		}
	}
	return true
}

// busy tells whether an outage is open, or closed but not dated yet.
func (t *Tracker) busy() bool { return t.current != nil || len(t.closing) > 0 }

func (g *Group) settle() {
	for _, o := range combine(g.runs, g.by) {
		g.ids++
		o.ID = g.ids
		if len(g.settled) == keepOutages {
			g.settled = append(g.settled[:0], g.settled[1:]...)
		}
		g.settled = append(g.settled, o)
		if !o.Partial {
			g.sums.Count++
			g.sums.LowerMS += o.LowerMS
			g.sums.UpperMS += o.UpperMS
		}
	}
	g.runs = g.runs[:0]
	for i := range g.by {
		g.by[i] = g.by[i][:0]
	}
}

// thin drops runs that would not be stated anyway: something is open all the
// time, so they are parts of a partial outage.
func (g *Group) thin() {
	kept := g.runs[:0]
	for i, o := range g.runs {
		if len(o.ByLane) == len(g.lanes) || i >= len(g.runs)-keepRuns/2 {
			kept = append(kept, o)
		}
	}
	g.runs = kept[max(0, len(kept)-keepRuns):]
}

// Outages lists what is known so far, oldest first: outages of the whole service
// with the bounds of all lanes together, and partial ones, in which other lanes
// were served, with the bounds of the lane that was not.
func (g *Group) Outages() []Outage {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := []Outage{}
	for _, o := range g.settled {
		out = append(out, o.clone())
	}
	runs, by := g.runs, make([][]Outage, len(g.by))
	if o := g.merged.Current(); o != nil {
		runs = append(runs[:len(runs):len(runs)], *o)
	}
	for i := range g.by {
		by[i] = g.by[i]
		if o := g.single[i].Current(); o != nil {
			by[i] = append(by[i][:len(by[i]):len(by[i])], g.renumber(*o, i))
		}
	}
	id := g.ids
	for _, o := range combine(runs, by) {
		id++
		o.ID = id
		out = append(out, o)
	}
	for i := range out {
		date(&out[i], g.epoch)
	}
	return out
}

// Down sums up the outages that are over and that all lanes shared.
func (g *Group) Down() Downtime {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sums.rounded()
}

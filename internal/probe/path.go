package probe

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Path asks a service and, beside it, each part of the way to it, so that an
// outage can be attributed to the layer where it begins. Parts may come and go.
type Path struct {
	*Group // the service itself

	mu    sync.Mutex
	spots map[string]*spot
	wg    sync.WaitGroup
}

// spot is a part that is watched.
type spot struct {
	Watched
	prober *Prober
	stop   context.CancelFunc
	ended  float64 // when it was left; 0: it is watched
}

// keepSpots bounds the parts that are remembered, those left included.
const keepSpots = 200

// attributed is how many of the latest outages are attributed.
const attributed = 50

// NewPath asks the service as configured.
func NewPath(service Config) (*Path, error) {
	g, err := NewGroup(service)
	if err != nil {
		return nil, err
	}
	return &Path{Group: g, spots: map[string]*spot{}}, nil
}

// Watch begins to ask a part until ctx ends or it is left. A part that is watched
// already, by its layer and name, stays as it is. Outages of w is ignored.
func (p *Path) Watch(ctx context.Context, w Watched, c Config) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := w.Layer + " " + w.Name
	if s := p.spots[key]; s != nil && s.ended == 0 || len(p.spots) >= keepSpots {
		return nil
	}
	c.Lane = key
	prober, err := New(c)
	if err != nil {
		return err
	}
	prober.epoch, prober.stalls = p.epoch, p.lanes[0].stalls
	ctx, cancel := context.WithCancel(ctx)
	p.spots[key] = &spot{Watched: w, prober: prober, stop: cancel}
	p.wg.Go(func() { prober.Run(ctx) })
	return nil
}

// Leave stops to ask the parts that keep does not want. What was seen of them
// stays.
func (p *Path) Leave(keep func(layer, name string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.spots {
		if s.ended == 0 && !keep(s.Layer, s.Name) {
			s.stop()
			s.ended = ms(time.Since(p.epoch))
		}
	}
}

// Run probes until ctx ends and the requests under way are over.
func (p *Path) Run(ctx context.Context) {
	p.Group.Run(ctx)
	p.mu.Lock()
	for _, s := range p.spots {
		s.stop()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// Report is the service's, with each part as a further lane and the
// attributions.
func (p *Path) Report() Report {
	r := p.Group.Report()
	watched := p.watched()
	for _, o := range r.Outages[max(0, len(r.Outages)-attributed):] {
		r.Attributions = append(r.Attributions, Attribute(o, watched))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.spots {
		r.Lanes = append(r.Lanes, s.prober.Summary())
	}
	sortLanes(r.Lanes[1:])
	return r
}

func (p *Path) watched() []Watched {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Watched
	for _, s := range p.spots {
		w := s.Watched
		w.Outages = s.prober.Outages(0)
		if n := len(w.Outages); s.ended > 0 && n > 0 && w.Outages[n-1].Open {
			w.Outages[n-1].Open, w.Outages[n-1].After = false, s.ended
		}
		out = append(out, w)
	}
	sortWatched(out)
	return out
}

func sortLanes(lanes []Summary) {
	slices.SortFunc(lanes, func(a, b Summary) int { return cmp.Compare(a.Lane, b.Lane) })
}

func sortWatched(w []Watched) {
	slices.SortFunc(w, func(a, b Watched) int {
		return cmp.Or(cmp.Compare(a.Depth, b.Depth), cmp.Compare(a.Name, b.Name))
	})
}

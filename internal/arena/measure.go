package arena

import (
	"context"
	"slices"
	"time"
)

// retryProbe is how often a subject that could not be probed is tried again.
const retryProbe = 2 * time.Second

// watch starts the probers that the level needs. The service's runs already.
func (a *Arena) watch(now time.Time) {
	for _, subject := range a.game.level.Subjects() {
		w := a.probers[subject]
		switch {
		case w != nil && w.Prober != nil, w != nil && now.Before(w.retry):
			continue
		case subject == SubjectService:
			a.probers[subject] = &watched{Prober: a.Service, stop: func() {}, after: newest(a.Service)}
			continue
		}
		w = &watched{retry: now.Add(time.Hour), stop: func() {}}
		a.probers[subject] = w
		ctx, stop := context.WithCancel(a.ctx)
		a.work.Go(func() { a.start(ctx, stop, subject, w) })
	}
}

// start begins to probe a subject; what keeps it from that is told in the state.
func (a *Arena) start(ctx context.Context, stop context.CancelFunc, subject string, w *watched) {
	p, err := a.Probe(ctx, subject)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil || a.probers[subject] != w {
		stop()
		if err != nil {
			w.trouble, w.retry = subjectName(subject)+" cannot be measured: "+err.Error(), time.Now().Add(retryProbe)
			a.version++
		}
		return
	}
	w.Prober, w.stop, w.trouble = p, stop, ""
	a.version++
}

// unwatch stops the probers of a round.
func (a *Arena) unwatch() {
	for subject, w := range a.probers {
		w.stop()
		delete(a.probers, subject)
	}
}

// newest is the number of the latest outage that is over.
func newest(p Prober) int {
	n := 0
	for _, o := range p.Outages(0) {
		if !o.Open {
			n = max(n, o.ID)
		}
	}
	return n
}

// measure reads what the probers found.
func (a *Arena) measure() {
	for subject, w := range a.probers {
		if w.Prober == nil {
			continue
		}
		for _, o := range w.Outages(w.after) {
			a.game.measured(subject, o)
			if !o.Open {
				w.after = o.ID
			}
		}
	}
}

// troubles lists what keeps the round from being measured.
func (a *Arena) troubles() []string {
	out := []string{}
	for _, w := range a.probers {
		if w.trouble != "" {
			out = append(out, w.trouble)
		}
	}
	slices.Sort(out)
	return out
}

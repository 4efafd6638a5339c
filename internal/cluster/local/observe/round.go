package observe

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"zdl/internal/cluster"
)

// Round sums up when each node's kube-proxy has programmed the same change of a
// Service into one entry.
type Round struct {
	Service string     // namespace/name
	Nodes   func() int // how many nodes run now
	Tell    func(cluster.Change)
	// Patience is how long after the first node the last is waited for.
	Patience time.Duration

	mu     sync.Mutex
	number int // of the present or latest round
	times  map[string]time.Time
	timer  *time.Timer
}

// Add says that a node has programmed a change. A node's second change within
// one round begins the next.
func (r *Round) Add(node string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, again := r.times[node]; again {
		r.endLocked()
	}
	if r.times == nil {
		r.times = map[string]time.Time{}
		r.number++
		number := r.number
		r.timer = time.AfterFunc(r.Patience, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.number == number {
				r.endLocked()
			}
		})
	}
	r.times[node] = at
	if len(r.times) >= r.Nodes() {
		r.endLocked()
	}
}

func (r *Round) endLocked() {
	if len(r.times) == 0 {
		return
	}
	r.timer.Stop()
	type mark struct {
		node string
		at   time.Time
	}
	var marks []mark
	for node, at := range r.times {
		marks = append(marks, mark{node, at})
	}
	slices.SortFunc(marks, func(a, b mark) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.node, b.node)) })
	first, last := marks[0], marks[len(marks)-1]
	c := cluster.Change{Kind: cluster.ProxyProgrammed, Subject: r.Service, Target: true, Detail: true, At: first.at, Fields: map[string]string{}}
	for _, m := range marks {
		c.Fields["afterMs."+m.node] = fmt.Sprintf("%.1f", float64(m.at.Sub(first.at).Microseconds())/1000)
	}
	c.Text = fmt.Sprintf("kube-proxy has programmed %s on %d nodes within %.0f ms, %s first, %s last",
		r.Service, len(marks), float64(last.at.Sub(first.at).Microseconds())/1000, first.node, last.node)
	if len(marks) == 1 {
		c.Text = fmt.Sprintf("kube-proxy has programmed %s on %s", r.Service, first.node)
	}
	r.times = nil
	r.Tell(c)
}

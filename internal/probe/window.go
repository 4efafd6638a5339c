package probe

import (
	"math"
	"slices"
)

// window keeps the most recent slots in the order of their completion.
type window struct {
	ring []Slot
	done int64 // slots ever completed; the newest is ring[(done-1) % len]
}

func newWindow(size int) *window { return &window{ring: make([]Slot, size)} }

func (w *window) add(s Slot) {
	w.ring[w.done%int64(len(w.ring))] = s
	w.done++
}

// since returns the slots completed after the first n, oldest first, at most
// limit of the newest (0: all that are kept), and the n to ask with next time.
func (w *window) since(n int64, limit int) ([]Slot, int64) {
	keep := int64(len(w.ring))
	if limit > 0 {
		keep = min(keep, int64(limit))
	}
	n = max(n, w.done-keep, 0)
	out := make([]Slot, 0, max(w.done-n, 0))
	for ; n < w.done; n++ {
		out = append(out, w.ring[n%int64(len(w.ring))])
	}
	return out, w.done
}

// Summary is the service's state over the last ten seconds, or less after a
// start.
type Summary struct {
	Lane     string  `json:"lane"`
	URL      string  `json:"url"`
	Rate     float64 `json:"rate"`     // requests a second by configuration
	Measured float64 `json:"measured"` // completed requests a second
	Up       bool    `json:"up"`       // the latest answer in order was a success
	Known    bool    `json:"known"`    // at least one request was answered, one way or the other
	Sent     int64   `json:"sent"`     // ever
	Failed   int64   `json:"failed"`   // ever
	Impaired int64   `json:"impaired"` // ever: served slowly or with old data
	Missed   int64   `json:"missed"`   // ever: slots the prober did not measure

	OKShare float64 `json:"okShare"` // 0 to 1, over the window
	P50MS   float64 `json:"p50Ms"`   // of successful requests in the window; 0 without any
	P95MS   float64 `json:"p95Ms"`
	P99MS   float64 `json:"p99Ms"`
	LagMS   float64 `json:"lagMs"` // p99 of the prober's own lateness in the window

	NowMS  float64 `json:"nowMs"`            // the prober's clock
	Last   *Slot   `json:"last,omitempty"`   // latest measured request
	Outage *Outage `json:"outage,omitempty"` // the open one
	// OutageMS is how long the open outage has lasted so far, from its first
	// failed request to now.
	OutageMS float64 `json:"outageMs,omitempty"`
	// Degradation is the open run of slow or stale answers: degraded, not down.
	Degradation *Outage `json:"degradation,omitempty"`

	Down     Downtime `json:"down"`     // ever: in outages that are over
	Degraded Downtime `json:"degraded"` // likewise of degraded spans, apart from down

	// Pauses counts how often the prober itself did not run for 50 ms or more,
	// which is never blamed on the service, and PausedMS how long in all.
	Pauses   int     `json:"pauses"`
	PausedMS float64 `json:"pausedMs"`

	ByServer map[string]int `json:"byServer"` // answers per X-Served-By in the window
}

// Downtime sums up outages, or degraded spans.
type Downtime struct {
	Count   int     `json:"count"`
	LowerMS float64 `json:"lowerMs"` // surely
	UpperMS float64 `json:"upperMs"` // at most
}

func (d Downtime) rounded() Downtime {
	return Downtime{d.Count, thousandth(d.LowerMS), thousandth(d.UpperMS)}
}

// SummaryWindowMS is the span that percentiles and shares refer to.
const SummaryWindowMS = 10_000

func (w *window) summary(now float64) Summary {
	s := Summary{NowMS: now, ByServer: map[string]int{}}
	var took, lag []float64
	measured, good := 0, 0
	oldest := now
	for i := w.done - 1; i >= 0 && i >= w.done-int64(len(w.ring)); i-- {
		slot := &w.ring[i%int64(len(w.ring))]
		if slot.End < now-SummaryWindowMS {
			break
		}
		oldest = min(oldest, slot.End)
		if slot.Class == Missed {
			continue
		}
		if s.Last == nil {
			c := *slot
			s.Last = &c
		}
		measured++
		lag = append(lag, slot.Start-slot.Due)
		if !slot.Class.Failed() {
			good++
			took = append(took, slot.MS())
		}
		if slot.By != "" {
			s.ByServer[slot.By]++
		}
	}
	if span := now - oldest; span > 0 {
		s.Measured = math.Round(10*float64(measured)/(span/1000)) / 10
	}
	if measured > 0 {
		s.OKShare = float64(good) / float64(measured)
	}
	slices.Sort(took)
	slices.Sort(lag)
	s.P50MS, s.P95MS, s.P99MS = percentile(took, 50), percentile(took, 95), percentile(took, 99)
	s.LagMS = percentile(lag, 99)
	return s
}

// percentile is the nearest-rank percentile of sorted values; 0 of none.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(p/100*float64(len(sorted)))) - 1
	return thousandth(sorted[min(max(i, 0), len(sorted)-1)])
}

package replay

import (
	"math"
	"time"

	"zdl/internal/probe"
)

// Measured is what users had of one play of an attack.
type Measured struct {
	DownMS  float64 // of all outages together, surely: their lower bounds
	UpperMS float64 // at most
	// LongestMS is the lower bound of the longest outage, LongestUpperMS its
	// upper bound.
	LongestMS, LongestUpperMS float64
	FailedRequests            int // of the prober
	// SteadyMS is from the first strike until the last moment in which something
	// was seen not to be as it should; 0: there was none.
	SteadyMS float64
	Strikes  int // that were proven
	Failed   int // strikes that could not be carried out
	Outages  []probe.Outage
	Defences []string // that were applied
	Notes    []string // where targets stood in for others, and what was refused
}

// lead is how long before a strike a request can have begun that it made fail:
// so long a prober waits for an answer.
const lead = time.Second

// Measure sums up the outages that began from the first strike on and before the
// end. One that goes on counts up to then.
func Measure(outages []probe.Outage, began, end time.Time) Measured {
	m := Measured{Outages: []probe.Outage{}, Defences: []string{}, Notes: []string{}}
	for _, o := range outages {
		if o.Began.Before(began.Add(-lead)) || o.Began.After(end) {
			continue
		}
		if o.Open {
			o.UpperMS = max(o.LowerMS, milliseconds(end.Sub(o.Began)))
		}
		m.Outages = append(m.Outages, o)
		m.DownMS += o.LowerMS
		m.UpperMS += o.UpperMS
		m.FailedRequests += o.Failed
		if o.LowerMS > m.LongestMS || o.LowerMS == m.LongestMS && o.UpperMS > m.LongestUpperMS {
			m.LongestMS, m.LongestUpperMS = o.LowerMS, o.UpperMS
		}
	}
	m.DownMS, m.UpperMS = thousandth(m.DownMS), thousandth(m.UpperMS)
	return m
}

func thousandth(ms float64) float64 { return math.Round(ms*1000) / 1000 }

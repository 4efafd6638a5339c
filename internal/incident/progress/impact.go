package progress

import (
	"time"

	"zdl/internal/incident/evidence"
)

// Objective is what a service promises: a share of answered requests over a period.
type Objective struct {
	Served float64       `json:"served"` // 0 to 1, such as 0.999
	Period time.Duration `json:"period"` // nanoseconds
}

// DefaultObjective is three nines in 30 days, as in the SRE workbook's examples.
var DefaultObjective = Objective{Served: 0.999, Period: 30 * 24 * time.Hour}

// Impact is what an incident cost its users.
type Impact struct {
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Seconds in which at least one request failed.
	Seconds int `json:"seconds"`
	// Budget is the share of the period's error budget that it took: 1 is all of
	// it. It counts the failed requests at the rate at which users came.
	Budget float64 `json:"budget"`
	Known  bool    `json:"known"` // false where no request was made
}

// Measure sums up what users got in a window.
func Measure(looks []evidence.Look, o Objective) Impact {
	out := Impact{}
	var first, last time.Time
	for _, l := range looks {
		if l.Sent == 0 {
			continue
		}
		out.Requests += l.Sent
		out.Failed += l.Failed
		if l.Failed > 0 {
			out.Seconds++
		}
		if first.IsZero() || l.At.Before(first) {
			first = l.At
		}
		if l.At.After(last) {
			last = l.At
		}
	}
	span := last.Sub(first) + time.Second // each look is of a second
	allowed := (1 - o.Served) * float64(out.Requests) / span.Seconds() * o.Period.Seconds()
	if out.Requests > 0 && allowed > 0 {
		out.Known = true
		out.Budget = float64(out.Failed) / allowed
	}
	return out
}

package experiment

import (
	"fmt"
	"slices"
	"time"

	"zdl/internal/load"
)

// Where a load's curve bends: for kneeFor seconds in a row p99 is above kneeFloor
// and above kneeTimes what it was in the first kneeBase seconds, or more than
// kneeFailed of the requests fail.
const (
	kneeBase   = 5
	kneeFor    = 3
	kneeTimes  = 4.0
	kneeFloor  = 100.0 // ms
	kneeFailed = 0.01
)

// bend is what a ramp has shown.
type bend struct {
	rate  float64 // arrivals a second at the knee, or the highest that was reached
	found bool
	why   string
}

// kneeOf finds the knee of a ramp. Where the generator itself cannot keep up, what
// follows says nothing about the service.
func kneeOf(seconds []load.SecondResult, open *load.Schedule) (bend, error) {
	if len(seconds) < kneeBase+kneeFor {
		return bend{}, fmt.Errorf("the load lasted only %d seconds", len(seconds))
	}
	var base []float64
	for _, s := range seconds[:kneeBase] {
		if s.Sent > 0 {
			base = append(base, s.P99)
		}
	}
	if len(base) == 0 {
		return bend{}, fmt.Errorf("no request was made in the first %d seconds", kneeBase)
	}
	slices.Sort(base)
	limit := max(kneeFloor, kneeTimes*base[len(base)/2])
	rate := func(second int) float64 { return open.Rate(time.Duration(second)*time.Second + time.Second/2) }
	slow, late := 0, 0
	highest := 0.0
	for i, s := range seconds {
		if rate(i) == 0 {
			break // what came after the schedule's end
		}
		highest = max(highest, rate(i))
		if s.Sent > 0 && (s.P99 > limit || float64(s.Failed) > kneeFailed*float64(s.Sent)) {
			slow++
		} else {
			slow = 0
		}
		if float64(s.Late) > load.MaxLate*float64(s.Sent) {
			late++
		} else {
			late = 0
		}
		first := max(i-kneeFor+1, 0)
		switch {
		case late >= kneeFor:
			return bend{rate(first), false, fmt.Sprintf("the generator itself could not keep up from %.0f a second on", rate(first))}, nil
		case slow >= kneeFor:
			return bend{rate(first), true, fmt.Sprintf("from there on p99 is above %.0f ms or more than %.0f %% fail", limit, 100*kneeFailed)}, nil
		}
	}
	return bend{highest, false, "the load went no higher"}, nil
}

func (k *Knee) judge(e *Experiment, o *Observation) Verdict {
	v := Verdict{Expected: fmt.Sprintf("the curve bends no sooner than at %g journeys a second", k.AtLeast), Outcome: Fail, Observed: "no load was measured"}
	if o.Load == nil || e.Load == nil {
		return v
	}
	b, err := kneeOf(o.Load.Seconds, &e.Load.Open)
	if err != nil {
		v.Observed = err.Error()
		return v
	}
	v.Known, v.Value = true, b.rate
	if b.found {
		v.Observed = fmt.Sprintf("the knee is at %.0f a second: %s", b.rate, b.why)
	} else {
		v.Observed = fmt.Sprintf("no knee up to %.0f a second: %s", b.rate, b.why)
	}
	switch {
	case b.rate >= k.AtLeast:
		v.Outcome = Pass
	case !b.found && o.Void == "": // that was the generator's end, not the service's
		o.Void = v.Observed
	}
	return v
}

// wantsKnee tells whether the load is meant to go beyond what can be served.
func wantsKnee(e *Experiment) bool {
	return slices.ContainsFunc(e.Expect, func(x Expectation) bool { return x.Knee != nil })
}

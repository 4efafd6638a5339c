package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Stage is a span in which the rate of arrivals goes evenly from one value to
// another. Equal values are a constant rate; a step is two stages, a spike
// three.
type Stage struct {
	For      time.Duration // length, more than 0
	From, To float64       // arrivals a second, 0 or more
}

// Schedule says when iterations begin, whatever became of the ones before: an
// open-loop workload.
type Schedule struct {
	Stages []Stage
	// Poisson draws the gaps between arrivals from the exponential distribution
	// of the rate at that moment, as independent users make them; without it
	// arrivals are evenly spaced.
	Poisson bool
	Seed    uint64 // of Poisson arrivals
}

// Bounds of a schedule.
const (
	MaxRate     = 1_000_000      // arrivals a second
	MaxDuration = 24 * time.Hour // in all
)

// Constant is a schedule of one rate.
func Constant(rate float64, d time.Duration) Schedule {
	return Schedule{Stages: []Stage{{For: d, From: rate, To: rate}}}
}

// Check says what is wrong with a schedule, or nil.
func (s *Schedule) Check() error {
	if len(s.Stages) == 0 {
		return fmt.Errorf("it has no stages")
	}
	for i, st := range s.Stages {
		switch {
		case st.For <= 0:
			return fmt.Errorf("stage %d lasts %v: want more than 0", i+1, st.For)
		case !(st.From >= 0 && st.From <= MaxRate && st.To >= 0 && st.To <= MaxRate):
			return fmt.Errorf("stage %d goes from %g to %g arrivals a second: want 0 to %d", i+1, st.From, st.To, MaxRate)
		}
	}
	if d := s.Duration(); d <= 0 || d > MaxDuration {
		return fmt.Errorf("it lasts %v in all: want at most %v", d, MaxDuration)
	}
	return nil
}

// Duration is the length of all stages.
func (s *Schedule) Duration() time.Duration {
	var d time.Duration
	for _, st := range s.Stages {
		if d += st.For; d > MaxDuration || d < 0 {
			return MaxDuration + 1
		}
	}
	return d
}

// Rate is the rate at a moment, in arrivals a second; 0 outside the schedule.
func (s *Schedule) Rate(at time.Duration) float64 {
	for _, st := range s.Stages {
		if at >= 0 && at < st.For {
			return st.From + (st.To-st.From)*at.Seconds()/st.For.Seconds()
		}
		at -= st.For
	}
	return 0
}

// Peak is the highest rate of the schedule, a second; 0 for an empty one.
func (s *Schedule) Peak() float64 {
	peak := 0.0
	for _, st := range s.Stages {
		peak = max(peak, st.From, st.To)
	}
	return peak
}

// Total is how many arrivals are expected in all.
func (s *Schedule) Total() float64 {
	sum := 0.0
	for _, st := range s.Stages {
		sum += st.arrivals(st.For.Seconds())
	}
	return sum
}

// arrivals is how many come in the first t seconds of the stage: the integral
// of its rate.
func (st Stage) arrivals(t float64) float64 {
	d := st.For.Seconds()
	return st.From*t + (st.To-st.From)*t*t/(2*d)
}

// after is the moment, in seconds since the stage's beginning, by which n have
// come: the inverse of arrivals. n is at most the stage's total.
func (st Stage) after(n float64) float64 {
	d := st.For.Seconds()
	slope := (st.To - st.From) / d
	if math.Abs(slope)*d < 1e-9*max(st.From, st.To, 1e-9) {
		return min(n/st.From, d)
	}
	// from·t + slope·t²/2 = n, in the form that does not cancel (Press et al.,
	// Numerical Recipes, 5.6).
	root := math.Sqrt(max(st.From*st.From+2*slope*n, 0))
	if root+st.From == 0 {
		return 0
	}
	return min(2*n/(st.From+root), d)
}

// Arrivals walks through a schedule.
type Arrivals struct {
	stages []Stage
	base   time.Duration // beginning of stages[0]
	done   float64       // of the arrivals of stages[0], as the integral counts
	random *rand.Rand    // nil: evenly spaced
	first  bool
}

// Arrivals begins at the first one.
func (s *Schedule) Arrivals() *Arrivals {
	a := &Arrivals{stages: s.Stages, first: true}
	if s.Poisson {
		a.random = rand.New(rand.NewPCG(s.Seed, 0x6c6f6164))
		a.first = false
	}
	return a
}

// Next is when the next iteration is to begin, since the schedule's beginning;
// false when there is none any more. Evenly spaced arrivals begin at 0.
func (a *Arrivals) Next() (time.Duration, bool) {
	need := 1.0
	if a.random != nil {
		// A Poisson process of changing rate is one of rate 1 on the scale of the
		// integral (Çinlar, Introduction to Stochastic Processes, 4.7).
		need = a.random.ExpFloat64()
	}
	if a.first {
		need, a.first = 0, false
	}
	for len(a.stages) > 0 {
		st := a.stages[0]
		total := st.arrivals(st.For.Seconds())
		if at := a.done + need; at < total-1e-9 {
			a.done = at
			return a.base + time.Duration(st.after(at)*float64(time.Second)), true
		}
		need -= total - a.done
		need = max(need, 0)
		a.base, a.done, a.stages = a.base+st.For, 0, a.stages[1:]
	}
	return 0, false
}

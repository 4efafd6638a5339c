package load

import (
	"math"
	"testing"
	"time"
)

func all(s Schedule) []time.Duration {
	var out []time.Duration
	for a := s.Arrivals(); ; {
		at, ok := a.Next()
		if !ok {
			return out
		}
		out = append(out, at)
	}
}

func TestArrivalsFollowTheRate(t *testing.T) {
	for _, c := range []struct {
		name   string
		stages []Stage
		count  int
		at     map[int]time.Duration // some of them
	}{
		{"constant", []Stage{{2 * time.Second, 10, 10}}, 20, map[int]time.Duration{0: 0, 1: 100 * time.Millisecond, 19: 1900 * time.Millisecond}},
		{"slower than one", []Stage{{10 * time.Second, 0.5, 0.5}}, 5, map[int]time.Duration{1: 2 * time.Second}},
		{"ramp up from nothing", []Stage{{10 * time.Second, 0, 10}}, 50, map[int]time.Duration{0: 0, 1: 1414213562 * time.Nanosecond}},
		{"ramp down to nothing", []Stage{{10 * time.Second, 10, 0}}, 50, map[int]time.Duration{0: 0}},
		{"a step", []Stage{{time.Second, 10, 10}, {time.Second, 100, 100}}, 110, map[int]time.Duration{10: time.Second, 11: 1010 * time.Millisecond}},
		{"a pause between", []Stage{{time.Second, 10, 10}, {time.Second, 0, 0}, {time.Second, 10, 10}}, 20, map[int]time.Duration{10: 2 * time.Second}},
		{"nothing at all", []Stage{{time.Second, 0, 0}}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := all(Schedule{Stages: c.stages})
			if len(got) != c.count {
				t.Fatalf("%d arrivals, want %d", len(got), c.count)
			}
			for i, want := range c.at {
				if d := got[i] - want; d.Abs() > time.Microsecond {
					t.Errorf("arrival %d at %v, want %v", i, got[i], want)
				}
			}
		})
	}
}

func TestPoissonArrivalsHaveTheirRateAndSpread(t *testing.T) {
	s := Constant(1000, 100*time.Second)
	s.Poisson, s.Seed = true, 7
	got := all(s)
	// 100,000 expected, standard deviation 316.
	if n := float64(len(got)); math.Abs(n-100_000) > 5*316 {
		t.Fatalf("%g arrivals, want about 100000", n)
	}
	// Gaps of an exponential distribution deviate by as much as they are long.
	mean, sum := got[len(got)-1].Seconds()/float64(len(got)), 0.0
	for i := 1; i < len(got); i++ {
		d := (got[i] - got[i-1]).Seconds() - mean
		sum += d * d
	}
	if cv := math.Sqrt(sum/float64(len(got))) / mean; math.Abs(cv-1) > 0.02 {
		t.Errorf("coefficient of variation %g, want 1", cv)
	}
	again := all(s)
	if len(again) != len(got) || again[500] != got[500] {
		t.Error("the same seed gives other arrivals")
	}
}

// FuzzArrivalsStayInOrderAndNumber holds for any schedule that Check accepts.
func FuzzArrivalsStayInOrderAndNumber(f *testing.F) {
	f.Add(uint32(1000), 10.0, 20.0, uint32(500), 0.0, 300.0)
	f.Add(uint32(1), 0.0, 0.001, uint32(1), 1e5, 0.0)
	f.Fuzz(func(t *testing.T, ms1 uint32, a, b float64, ms2 uint32, c, d float64) {
		s := Schedule{Stages: []Stage{
			{time.Duration(ms1%100_000) * time.Millisecond, a, b},
			{time.Duration(ms2%100_000) * time.Millisecond, c, d},
		}}
		if s.Check() != nil || s.Total() > 200_000 {
			t.Skip()
		}
		got := all(s)
		if n := float64(len(got)); math.Abs(n-s.Total()) > 1.01 {
			t.Fatalf("%g arrivals, the integral of the rate is %g", n, s.Total())
		}
		last := time.Duration(0)
		for i, at := range got {
			if at < last || at > s.Duration() {
				t.Fatalf("arrival %d at %v, after one at %v, in %v", i, at, last, s.Duration())
			}
			last = at
		}
	})
}

func TestThePeakIsTheHighestRateOfAnyStage(t *testing.T) {
	s := Schedule{Stages: []Stage{{For: time.Second, From: 5, To: 50}, {For: time.Second, From: 20, To: 0}}}
	if s.Peak() != 50 || (&Schedule{}).Peak() != 0 {
		t.Errorf("peaks %g and %g", s.Peak(), (&Schedule{}).Peak())
	}
}

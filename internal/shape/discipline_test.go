package shape

import (
	"math"
	"slices"
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// departure is what a test compares.
type departure struct {
	at    int64
	frame int
}

// pass lets frames of the given size arrive, gap apart, and returns what departs
// and when.
func pass(p Params, seed uint64, count, size int, gap int64) ([]departure, Stats) {
	d := NewDiscipline[int](p, seed)
	var out []departure
	drain := func(now int64) {
		for {
			f, ok := d.Depart(now)
			if !ok {
				return
			}
			out = append(out, departure{f.At, f.Frame})
		}
	}
	for i := range count {
		now := int64(i) * gap
		drain(now)
		d.Arrive(now, size, i)
	}
	drain(math.MaxInt64)
	return out, d.Stats()
}

func TestWithoutChanceEveryDepartureIsKnown(t *testing.T) {
	tests := []struct {
		name        string
		p           Params
		count, size int
		gap         int64
		want        []departure
	}{
		{"nothing is asked", Params{}, 2, 100, ms, []departure{{0, 0}, {ms, 1}}},
		{"delay", Params{Delay: 5 * time.Millisecond}, 3, 100, ms, []departure{{5 * ms, 0}, {6 * ms, 1}, {7 * ms, 2}}},
		{"all is lost", Params{Loss: 1}, 3, 100, ms, nil},
		{"all is sent twice", Params{Duplicate: 1}, 2, 100, ms, []departure{{0, 0}, {0, 0}, {ms, 1}, {ms, 1}}},
		// 1000 bytes take 8 ms at 1 Mbit/s.
		{"rate", Params{Rate: 1_000_000}, 3, 1000, 0, []departure{{8 * ms, 0}, {16 * ms, 1}, {24 * ms, 2}}},
		{"rate with pauses", Params{Rate: 1_000_000}, 2, 1000, 10 * ms, []departure{{8 * ms, 0}, {18 * ms, 1}}},
		{"rate behind a delay", Params{Rate: 1_000_000, Delay: 3 * time.Millisecond}, 2, 1000, 0, []departure{{11 * ms, 0}, {19 * ms, 1}}},
		// The first is being sent and counts as waiting, two more fit.
		{"rate with a full buffer", Params{Rate: 1_000_000, Buffer: 2000}, 5, 1000, 0, []departure{{8 * ms, 0}, {16 * ms, 1}, {24 * ms, 2}}},
		{"every second may overtake and does", Params{Delay: 5 * time.Millisecond, Reorder: 1, Gap: 2}, 4, 100, ms,
			[]departure{{ms, 1}, {3 * ms, 3}, {5 * ms, 0}, {7 * ms, 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := pass(tt.p, 1, tt.count, tt.size, tt.gap)
			if !slices.Equal(got, tt.want) {
				t.Errorf("departures %v, want %v", got, tt.want)
			}
		})
	}
}

func TestChanceIsAsOftenAsAskedAndTheSameForASeed(t *testing.T) {
	const n = 20000
	tests := []struct {
		name  string
		p     Params
		count func(Stats) uint64
		want  float64
	}{
		{"loss", Params{Loss: 0.03}, func(s Stats) uint64 { return s.Lost }, 0.03},
		{"duplicate", Params{Duplicate: 0.2}, func(s Stats) uint64 { return s.Duplicated }, 0.2},
		{"corrupt", Params{Corrupt: 0.01}, func(s Stats) uint64 { return s.Corrupted }, 0.01},
		{"reorder", Params{Delay: time.Second, Reorder: 0.4}, func(s Stats) uint64 { return s.Reordered }, 0.4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first, stats := pass(tt.p, 42, n, 100, ms)
			if hits := int(tt.count(stats)); !within(hits, n, tt.want) {
				t.Errorf("%d of %d, want a share of %v", hits, n, tt.want)
			}
			again, _ := pass(tt.p, 42, n, 100, ms)
			if !slices.Equal(first, again) {
				t.Error("the same seed gave another outcome")
			}
			other, _ := pass(tt.p, 43, n, 100, ms)
			if tt.name != "corrupt" && slices.Equal(first, other) { // which bit does not show here
				t.Error("another seed gave the same outcome")
			}
		})
	}
}

func TestJitterIsDistributedAsNamed(t *testing.T) {
	const delay, jitter = 100 * time.Millisecond, 10 * time.Millisecond
	for name, want := range map[Distribution]struct{ deviation, widest float64 }{
		Uniform: {10 / math.Sqrt(3), 10},
		Normal:  {10, 40},
	} {
		t.Run(string(name), func(t *testing.T) {
			const n = 20000
			got, _ := pass(Params{Delay: delay, Jitter: jitter, Distribution: name}, 9, n, 100, ms)
			var sum, squares, widest float64
			for _, d := range got {
				off := float64(d.at-int64(d.frame)*ms-int64(delay)) / float64(ms)
				sum += off
				squares += off * off
				widest = max(widest, math.Abs(off))
			}
			mean, deviation := sum/n, math.Sqrt(squares/n)
			if math.Abs(mean) > 0.3 || math.Abs(deviation-want.deviation) > 0.3 || widest > want.widest {
				t.Errorf("mean %.2f ms off, deviation %.2f ms, widest %.2f ms; want 0, %.2f, at most %.0f", mean, deviation, widest, want.deviation, want.widest)
			}
		})
	}
}

func TestCorrelationMakesLossComeInRows(t *testing.T) {
	rows := func(correlation float64) float64 {
		d := NewDiscipline[int](Params{Loss: 0.5, LossCorrelation: correlation}, 5)
		same, last := 0, 0
		for i := range 10000 {
			kept := d.Arrive(int64(i), 100, i)
			if i > 0 && kept == last {
				same++
			}
			last = kept
		}
		return float64(same) / 10000
	}
	if alone, together := rows(0), rows(0.75); alone > 0.55 || together < 0.65 {
		t.Errorf("like the one before: %.2f without correlation, %.2f with 75 %%", alone, together)
	}
}

func TestTooManyFramesUnderWayAreDropped(t *testing.T) {
	d := NewDiscipline[int](Params{Delay: time.Second}, 1)
	for i := range Limit + 10 {
		d.Arrive(0, 100, i)
	}
	if s := d.Stats(); s.Waiting != Limit || s.Dropped != 10 {
		t.Errorf("%+v, want %d waiting and 10 dropped", s, Limit)
	}
}

func TestReleaseSendsWhatWaitsAndHarmsNothingMore(t *testing.T) {
	d := NewDiscipline[int](Params{Delay: time.Second, Loss: 0.5, Rate: 8000}, 1)
	kept := 0
	for i := range 20 {
		kept += d.Arrive(0, 100, i)
	}
	d.Release()
	for i := range 20 {
		kept += d.Arrive(1, 100, i)
	}
	sent := 0
	for {
		if _, ok := d.Depart(math.MaxInt64); !ok {
			break
		}
		sent++
	}
	if sent != kept || kept < 21 {
		t.Errorf("%d sent, %d kept; want equal, and all 20 after the release", sent, kept)
	}
	if now := d.Arrive(5, 100, 0); now != 1 {
		t.Error("lost after the release")
	}
	if f, ok := d.Depart(5); !ok || f.At != 5 || f.Flip != -1 {
		t.Errorf("%+v, %v; want it to pass at once", f, ok)
	}
}

func TestParametersOutOfRangeAreNamed(t *testing.T) {
	for name, p := range map[string]Params{
		"loss above 1":              {Loss: 1.01},
		"negative loss":             {Loss: -0.1},
		"loss that is no number":    {Loss: math.NaN()},
		"negative delay":            {Delay: -1},
		"endless delay":             {Delay: time.Hour},
		"jitter above the delay":    {Delay: time.Millisecond, Jitter: 2 * time.Millisecond},
		"unknown distribution":      {Delay: time.Millisecond, Distribution: "pareto"},
		"reorder without a delay":   {Reorder: 0.1},
		"negative gap":              {Gap: -1},
		"rate of less than a frame": {Rate: 10},
		"negative buffer":           {Buffer: -1},
	} {
		if p.Check() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	good := Params{Delay: time.Second, Jitter: time.Second, Distribution: Normal, Loss: 1, Duplicate: 1, Corrupt: 1, Reorder: 1, Gap: 5, Rate: 1e9, Buffer: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
}

// FuzzDiscipline checks for any parameters and arrivals what must always hold:
// nothing departs before it arrived or out of turn, nothing appears or vanishes,
// no bit outside the frame is inverted, and without jitter and reordering the
// order stays.
func FuzzDiscipline(f *testing.F) {
	f.Add(uint64(1), uint32(50_000), uint32(10_000), byte(0), byte(0), byte(0), byte(0), uint32(0), []byte{1, 2, 3})
	f.Add(uint64(2), uint32(100), uint32(0), byte(30), byte(90), byte(40), byte(99), uint32(1_000_000), []byte{0, 0, 255, 0, 7})
	f.Add(uint64(3), uint32(0), uint32(0), byte(255), byte(255), byte(255), byte(0), uint32(8000), []byte{9, 9, 9, 9})
	f.Fuzz(func(t *testing.T, seed uint64, delay, jitter uint32, loss, duplicate, corrupt, reorder byte, rate uint32, arrivals []byte) {
		share := func(b byte) float64 { return float64(b) / 255 }
		p := Params{
			Delay: time.Duration(delay) * time.Microsecond % time.Minute, Jitter: time.Duration(jitter) * time.Microsecond,
			Loss: share(loss), Duplicate: share(duplicate), Corrupt: share(corrupt), Reorder: share(reorder), Rate: int64(rate),
		}
		p.DelayCorrelation, p.LossCorrelation = share(corrupt), share(duplicate)
		if seed%2 == 1 {
			p.Distribution = Normal
		}
		if p.Check() != nil {
			t.Skip()
		}
		d := NewDiscipline[int](p, seed)
		arrived := make([]int64, len(arrivals))
		copies := make([]int, len(arrivals))
		last, latest := int64(math.MinInt64), -1
		drain := func(now int64) {
			for {
				next, any := d.Next()
				got, ok := d.Depart(now)
				if ok != (any && next <= now) {
					t.Fatalf("Next says %d, %v; Depart at %d says %v", next, any, now, ok)
				}
				if !ok {
					return
				}
				if got.At < arrived[got.Frame] || got.At > now {
					t.Fatalf("frame %d arrived at %d and departs at %d, taken at %d", got.Frame, arrived[got.Frame], got.At, now)
				}
				if p.Jitter == 0 && p.Reorder == 0 && got.Frame < latest {
					t.Fatalf("frame %d after %d", got.Frame, latest)
				}
				if size := int(arrivals[got.Frame]) + 1; got.Flip < -1 || got.Flip >= 8*size || got.Flip >= 0 && p.Corrupt == 0 {
					t.Fatalf("bit %d of a frame of %d bytes", got.Flip, size)
				}
				if now == math.MaxInt64 && got.At < last {
					t.Fatalf("departure at %d after %d", got.At, last)
				}
				last, latest = got.At, max(latest, got.Frame)
				copies[got.Frame]--
			}
		}
		now := int64(0)
		for i, b := range arrivals {
			now += int64(b) * 10_000
			drain(now)
			arrived[i] = now
			copies[i] = d.Arrive(now, int(b)+1, i)
			if copies[i] < 0 || copies[i] > 2 {
				t.Fatalf("%d copies", copies[i])
			}
		}
		last = math.MinInt64
		drain(math.MaxInt64)
		for i, left := range copies {
			if left != 0 {
				t.Fatalf("frame %d: %d copies more or less than said", i, left)
			}
		}
		if s := d.Stats(); s.Seen != uint64(len(arrivals)) || s.Waiting != 0 || s.Seen+s.Duplicated != s.Sent+s.Lost+s.Dropped {
			t.Fatalf("the counts do not add up: %+v", s)
		}
	})
}

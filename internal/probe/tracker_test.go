package probe

import (
	"math"
	"math/rand/v2"
	"testing"
)

// run makes slots 10 ms apart that take 2 ms each, from a picture: "." ok,
// "s" slow, "x" 503, "r" refused, "t" timeout (takes 1000 ms), "m" missed.
func run(picture string) []Slot {
	var out []Slot
	for i, c := range picture {
		s := Slot{Seq: int64(i), Due: float64(i) * 10, Start: float64(i) * 10, End: float64(i)*10 + 2, Class: OK, Status: 200}
		switch c {
		case 's':
			s.Class = Slow
		case 'x':
			s.Class, s.Status = ServerError, 503
		case 'r':
			s.Class, s.Status = Refused, 0
		case 't':
			s.Class, s.Status, s.End = Timeout, 0, s.Start+1000
		case 'm':
			s.Class, s.Status, s.End = Missed, 0, s.Start
		}
		out = append(out, s)
	}
	return out
}

func track(slots []Slot) (closed []Outage, open *Outage) {
	var t Tracker
	for _, s := range slots {
		for _, e := range t.Add(s) {
			if e.Closed {
				closed = append(closed, e.Outage)
			}
		}
	}
	return closed, t.Current()
}

func TestOutageBounds(t *testing.T) {
	type want struct {
		lower, upper float64
		failed       int
		missed       int
	}
	for _, c := range []struct {
		name, slots string
		want        []want
	}{
		{"no failure, no outage", "....s..", nil},
		{"one failed request proves no length", "..x..", []want{{0, 22, 1, 0}}},
		{"two: from the end of the first to the start of the last", "..xx..", []want{{8, 32, 2, 0}}},
		{"a longer one", "..xxxxx..", []want{{38, 62, 5, 0}}},
		{"slow is degraded, not down", "..xsx..", []want{{0, 22, 1, 0}, {0, 22, 1, 0}}},
		{"a timed-out request got there as soon as others did", "..ttt..", []want{{18, 42, 3, 0}}},
		{"mixed classes are one outage", "..xrt..", []want{{18, 42, 3, 0}}},
		{"missed slots before widen the upper bound", ".mmxx.", []want{{8, 52, 2, 0}}},
		{"missed slots after widen the upper bound", ".xxmm.", []want{{8, 52, 2, 2}}},
		{"missed slots inside are not sure downtime", ".xxmmxx.", []want{{16, 72, 4, 2}}},
		{"missed slots alone are nobody's outage", "..mmmm..", nil},
		{"two outages", ".xx.xxx.", []want{{8, 32, 2, 0}, {18, 42, 3, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, open := track(run(c.slots))
			if open != nil {
				t.Errorf("still open: %+v", *open)
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d outages, want %d: %+v", len(got), len(c.want), got)
			}
			for i, w := range c.want {
				g := got[i]
				if math.Abs(g.LowerMS-w.lower) > 1e-9 || math.Abs(g.UpperMS-w.upper) > 1e-9 || g.Failed != w.failed || g.Missed != w.missed {
					t.Errorf("outage %d: [%g, %g] ms, %d failed, %d missed; want %+v", i, g.LowerMS, g.UpperMS, g.Failed, g.Missed, w)
				}
				if g.ID != i+1 || g.Unbounded {
					t.Errorf("outage %d: ID %d, unbounded %v", i, g.ID, g.Unbounded)
				}
			}
		})
	}
}

func TestOutageWithoutASuccessBeforeIsUnbounded(t *testing.T) {
	got, _ := track(run("xxx."))
	if len(got) != 1 || !got[0].Unbounded || got[0].LowerMS != 18 {
		t.Fatalf("got %+v, want one unbounded outage of at least 18 ms", got)
	}
}

func TestOpenOutageIsCurrent(t *testing.T) {
	closed, open := track(run("..xxx"))
	if len(closed) != 0 || open == nil || !open.Open || open.Failed != 3 || open.UpperMS != 0 {
		t.Fatalf("closed %+v, open %+v; want an open one of 3 failures", closed, open)
	}
	if open.ByClass["503"] != 3 {
		t.Errorf("by class %v, want 503 counted by status", open.ByClass)
	}
}

func TestEventsAnnounceFirstSecondAndEnd(t *testing.T) {
	var tr Tracker
	n := 0
	for _, s := range run(".xxxxx.") {
		n += len(tr.Add(s))
	}
	if n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

func TestOrderOfCompletionDoesNotMatter(t *testing.T) {
	slots := run("..xx.tt..x.m.xx.....ttt.x.")
	want, _ := track(slots)
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		mixed := append([]Slot{}, slots...)
		r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		got, _ := track(mixed)
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d outages, want %d", seed, len(got), len(want))
		}
		for i := range got {
			if got[i].LowerMS != want[i].LowerMS || got[i].UpperMS != want[i].UpperMS || got[i].Failed != want[i].Failed {
				t.Fatalf("seed %d: outage %d is %+v, want %+v", seed, i, got[i], want[i])
			}
		}
	}
}

func TestASlotIsJudgedOnce(t *testing.T) {
	var tr Tracker
	s := run(".x.")
	tr.Add(s[0])
	tr.Add(s[1])
	tr.Add(s[1])
	if o := tr.Current(); o.Failed != 1 {
		t.Errorf("%d failures, want 1", o.Failed)
	}
	if tr.Waiting() != 0 {
		t.Errorf("%d slots wait, want none", tr.Waiting())
	}
}

func TestRequestsThatOvertakeEachOtherWidenTheBounds(t *testing.T) {
	at := func(seq int64, from, to float64, class Class) Slot {
		return Slot{Seq: seq, Due: from, Start: from, End: to, Class: class}
	}
	got, open := track([]Slot{
		at(0, 0, 2, OK),
		at(1, 10, 35, OK),    // answered after the failure began: may have been answered after it failed
		at(2, 20, 45, Reset), // failed somewhere between
		at(3, 30, 33, OK),    // began before the failure was over: may have been answered before it
		at(4, 40, 44, OK),    // likewise
		at(5, 50, 52, OK),    // surely after
		at(6, 60, 62, OK),
	})
	if open != nil || len(got) != 1 {
		t.Fatalf("got %+v, open %+v; want one outage", got, open)
	}
	if o := got[0]; o.Before != 0 || o.After != 52 || o.LowerMS != 0 || o.UpperMS != 52 {
		t.Errorf("from %g to %g, [%g, %g] ms; want 0 to 52, [0, 52]", o.Before, o.After, o.LowerMS, o.UpperMS)
	}
}

// FuzzBoundsHoldForAServiceThatIsReallyDown plays services that are down in
// one known span, asked by a prober with changing latency and gaps. However
// requests overtake each other, the outages found hold that span between them,
// and none claims more for sure than it had.
func FuzzBoundsHoldForAServiceThatIsReallyDown(f *testing.F) {
	f.Add(uint64(1), uint16(200), uint16(500), uint8(5), uint8(4))
	f.Add(uint64(7), uint16(0), uint16(1), uint8(50), uint8(4))
	f.Add(uint64(9), uint16(50), uint16(3000), uint8(0), uint8(90))
	f.Fuzz(func(t *testing.T, seed uint64, at, length uint16, gaps, latency uint8) {
		r := rand.New(rand.NewPCG(seed, 2))
		from := 600 + float64(at)
		to := from + float64(length)
		var slots []Slot
		seen := 0
		for i := int64(0); float64(i)*10 < to+5000; i++ {
			s := Slot{Seq: i, Due: float64(i) * 10, Class: OK, Status: 200}
			s.Start = s.Due + r.Float64()*5
			moment := s.Start + r.Float64()*float64(latency) // when the service decides
			s.End = moment + r.Float64()*float64(latency)
			switch {
			case i > 0 && s.Due < to+1000 && r.IntN(100) < int(gaps)%60:
				s.Class, s.End = Missed, s.Start
			case moment >= from && moment < to:
				s.Class, s.Status = ServerError, 503
				seen++
			}
			slots = append(slots, s)
		}
		got, open := track(slots)
		if open != nil {
			t.Fatalf("open at the end: %+v", *open)
		}
		if seen == 0 {
			if len(got) != 0 {
				t.Fatalf("nothing failed, yet %+v", got)
			}
			return
		}
		if len(got) == 0 {
			t.Fatal("no outage was found")
		}
		failed, sure, before, after := 0, 0.0, got[0].Before, 0.0
		for _, o := range got {
			failed += o.Failed
			sure += o.LowerMS
			after = max(after, o.After)
			if o.LowerMS > o.UpperMS || o.Unbounded {
				t.Errorf("outage %+v", o)
			}
		}
		if failed != seen {
			t.Errorf("%d failures, want %d", failed, seen)
		}
		if before > from || after < to {
			t.Errorf("found from %g to %g, but the service was down from %g to %g", before, after, from, to)
		}
		if sure > to-from+1e-6 {
			t.Errorf("%g ms were sure, but the service was down for %g", sure, to-from)
		}
	})
}

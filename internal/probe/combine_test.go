package probe

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// picture makes the slots of two lanes from two pictures, see run: lane a's n-th
// slot is due at 10 n ms, lane b's 5 ms later. They take 2 ms each.
func picture(a, b string) (by [2][]Slot) {
	for i, p := range []string{a, b} {
		for _, s := range run(p) {
			s.Due, s.Start, s.End = s.Due+5*float64(i), s.Start+5*float64(i), s.End+5*float64(i)
			by[i] = append(by[i], s)
		}
	}
	return by
}

// group feeds slots to a group as they complete.
func group(t *testing.T, by [][]Slot) *Group {
	t.Helper()
	var configs []Config
	for i := range by {
		configs = append(configs, Config{URL: "http://198.18.0.1/", Lane: string(rune('a' + i))})
	}
	g, err := NewGroup(configs...)
	if err != nil {
		t.Fatal(err)
	}
	type done struct {
		lane int
		Slot
	}
	var all []done
	for lane, slots := range by {
		for _, s := range slots {
			all = append(all, done{lane, s})
		}
	}
	slices.SortStableFunc(all, func(a, b done) int { return cmp.Compare(a.End, b.End) })
	for _, d := range all {
		g.add(d.lane, d.Slot)
	}
	return g
}

func tell(outages []Outage) string {
	var out []string
	for _, o := range outages {
		kind := "all"
		if o.Partial {
			kind = "partial"
		}
		length := fmt.Sprintf("%g-%g", o.LowerMS, o.UpperMS)
		if o.Open {
			length = fmt.Sprintf("%g-", o.LowerMS)
		}
		lanes := ""
		for _, l := range []string{"a", "b"} {
			if o.ByLane[l] > 0 {
				lanes += l
			}
		}
		out = append(out, fmt.Sprintf("%s %s %s", kind, lanes, length))
	}
	return strings.Join(out, "; ")
}

func TestLanesBoundAnOutageTogether(t *testing.T) {
	for _, c := range []struct{ name, a, b, want string }{
		{"nothing", "......", "......", ""},
		// a fails at 20 and 30, b at 25 and 35; b served 15-17, a serves 40-42
		{"both fail: the gaps of both together", "..xx..", "..xx..", "all ab 13-27"},
		{"only one slot was hit", "..x...", "......", "all a 0-12"},
		{"one slot of each", "..x...", "..x...", "all ab 3-17"},
		{"one lane fails alone for long: its own bounds", "..xxx.", "......", "partial a 18-42"},
		{"the reused lane fails on after the new one is back", "..xx..", "..xxx.", "all ab 13-27; partial b 18-42"},
		{"both fail in turns: partial, and each is told", "..xxx.", ".x....", "all ab 3-17; partial a 18-42"},
		{"missed slots inside are not sure downtime", "..mm..", "..xx..", "all b 0-27"},
		{"two outages", ".x..x.", ".x..x.", "all ab 3-17; all ab 3-17"},
		{"still open", "..xx", "..xx", "all ab 13-"},
		{"open in one lane", "..xxx", "..x..", "all ab 8-22; partial a 18-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			by := picture(c.a, c.b)
			g := group(t, by[:])
			got := g.Outages()
			if tell(got) != c.want {
				t.Errorf("%s\n%s\ngot  %s\nwant %s", c.a, c.b, tell(got), c.want)
			}
			for i, o := range got {
				if o.ID != i+1 {
					t.Errorf("outage %d has ID %d", i, o.ID)
				}
			}
		})
	}
}

func TestALaneThatFailsAloneForLongIsOneOutage(t *testing.T) {
	const n = 3 * keepRuns
	by := picture("."+strings.Repeat("x", n)+".", "."+strings.Repeat(".", n)+".")
	var configs []Config
	for _, lane := range []string{"a", "b"} {
		configs = append(configs, Config{URL: "http://198.18.0.1/", Lane: lane})
	}
	g, err := NewGroup(configs...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range by[0] {
		g.add(0, by[0][i])
		g.add(1, by[1][i])
		if len(g.runs) > keepRuns+1 {
			t.Fatalf("%d runs are kept, want at most %d", len(g.runs), keepRuns)
		}
	}
	if got, want := tell(g.Outages()), fmt.Sprintf("partial a %d-%d", 10*n-12, 10*n+12); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if d := g.Down(); d.Count != 0 {
		t.Errorf("%+v down, but the service was up in another lane", d)
	}
}

// FuzzMergedBoundsHold plays a service that is down for all lanes in one known
// span, asked by lanes that start late each on its own.
func FuzzMergedBoundsHold(f *testing.F) {
	f.Add(uint64(1), uint8(2), uint16(200), uint16(50), uint8(5), uint8(4), uint8(0))
	f.Add(uint64(2), uint8(8), uint16(0), uint16(1), uint8(0), uint8(1), uint8(3))
	f.Add(uint64(3), uint8(4), uint16(77), uint16(900), uint8(30), uint8(90), uint8(49))
	f.Fuzz(func(t *testing.T, seed uint64, lanes uint8, at, length uint16, gaps, latency, late uint8) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := int(lanes)%8 + 1
		from := 600 + float64(at)
		to := from + float64(length%2000)
		by := make([][]Slot, n)
		seen := 0
		for lane := range by {
			for i := int64(0); float64(i)*10 < to+2000; i++ {
				s := Slot{Seq: i, Due: float64(i)*10 + 10*float64(lane)/float64(n), Class: OK, Status: 200}
				s.Start = s.Due + r.Float64()*float64(late%50)
				if i > 0 {
					s.Start = max(s.Start, by[lane][i-1].Start) // a lane starts its slots in order
				}
				moment := s.Start + r.Float64()*float64(latency)
				s.End = moment + r.Float64()*float64(latency)
				switch {
				case i > 0 && s.Due < to+1000 && r.IntN(100) < int(gaps)%60:
					s.Class, s.End = Missed, s.Start
				case moment >= from && moment < to:
					s.Class, s.Status = ServerError, 503
					seen++
				}
				by[lane] = append(by[lane], s)
			}
		}
		outages := group(t, by).Outages()
		if seen == 0 {
			if len(outages) != 0 {
				t.Fatalf("nothing failed, yet %+v", outages)
			}
			return
		}
		before, after, sure, all := 1e9, 0.0, 0.0, 0
		for _, o := range outages {
			if o.Open || o.Unbounded || o.LowerMS > o.UpperMS || o.LowerMS > to-from+1e-6 {
				t.Errorf("outage %+v of a service that was down from %g to %g", o, from, to)
			}
			before, after = min(before, o.Before), max(after, o.After)
			if !o.Partial {
				sure += o.LowerMS
				all += o.Failed
			}
		}
		if len(outages) == 0 || before > from || after < to {
			t.Errorf("found from %g to %g, but the service was down from %g to %g", before, after, from, to)
		}
		if sure > to-from+1e-6 {
			t.Errorf("%g ms were sure, but the service was down for %g", sure, to-from)
		}
		if len(outages) == 1 && !outages[0].Partial && all != seen {
			t.Errorf("%d failures, want %d", all, seen)
		}
	})
}

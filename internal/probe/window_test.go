package probe

import "testing"

func TestWindowGivesEverySlotOnce(t *testing.T) {
	w := newWindow(4)
	var n int64
	var got []int64
	for i := range int64(10) {
		w.add(Slot{Seq: i})
		if i%3 == 2 {
			var slots []Slot
			slots, n = w.since(n, 0)
			for _, s := range slots {
				got = append(got, s.Seq)
			}
		}
	}
	for i, seq := range got {
		if seq != int64(i) {
			t.Fatalf("got %v, want 0 to 8 in order", got)
		}
	}
	if len(got) != 9 {
		t.Errorf("got %d slots, want 9", len(got))
	}
	if slots, _ := w.since(0, 0); len(slots) != 4 || slots[0].Seq != 6 {
		t.Errorf("after an overflow: %+v, want the latest 4", slots)
	}
	if slots, next := w.since(0, 2); len(slots) != 2 || slots[1].Seq != 9 || next != 10 {
		t.Errorf("limited: %+v next %d, want the latest 2 and 10", slots, next)
	}
}

func TestSummaryLooksAtTheLastTenSeconds(t *testing.T) {
	w := newWindow(100)
	w.add(Slot{Seq: 0, Start: 0, End: 900, Class: ServerError, Status: 503, By: "old"}) // too old
	for i := range 98 {
		start := 5000 + float64(i)*10
		w.add(Slot{Seq: int64(i + 1), Due: start - 1, Start: start, End: start + float64(i) + 1, Class: OK, By: "a"})
	}
	w.add(Slot{Seq: 99, Due: 5999, Start: 6000, End: 6001, Class: Refused})
	w.add(Slot{Seq: 100, Start: 6010, End: 6010, Class: Missed})
	s := w.summary(11_000)
	if s.P50MS != 49 || s.P95MS != 94 || s.P99MS != 98 {
		t.Errorf("p50 %g p95 %g p99 %g, want 49, 94, 98", s.P50MS, s.P95MS, s.P99MS)
	}
	if want := 98.0 / 99; s.OKShare != want {
		t.Errorf("share of successes %g, want %g", s.OKShare, want)
	}
	if s.ByServer["a"] != 98 || s.ByServer["old"] != 0 {
		t.Errorf("by server %v", s.ByServer)
	}
	if s.Last == nil || s.Last.Class != Refused {
		t.Errorf("last %+v, want the refused one: a missed slot says nothing", s.Last)
	}
	if s.LagMS != 1 {
		t.Errorf("p99 of the lag %g ms, want 1", s.LagMS)
	}
}

func TestPercentile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		p      float64
		want   float64
	}{{nil, 50, 0}, {[]float64{7}, 99, 7}, {[]float64{1, 2, 3, 4}, 50, 2}, {[]float64{1, 2, 3, 4}, 51, 3}, {[]float64{1, 2, 3, 4}, 100, 4}, {[]float64{1, 2}, 0, 1}} {
		if got := percentile(c.values, c.p); got != c.want {
			t.Errorf("p%g of %v is %g, want %g", c.p, c.values, got, c.want)
		}
	}
}

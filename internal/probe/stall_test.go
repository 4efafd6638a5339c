package probe

import "testing"

func TestStallsThatTouchAreOne(t *testing.T) {
	var s stalls
	s.add(100, 300)
	s.add(250, 400)
	s.add(600, 700)
	s.add(90, 110) // told late, by another lane
	if count, total := s.sums(); count != 2 || total != 410 {
		t.Errorf("%d stalls of %g ms in all (%v), want 2 of 410", count, total, s.spans)
	}
	for i := range 1000 {
		s.add(float64(1000+i*10), float64(1001+i*10))
	}
	if len(s.spans) > keepStalls {
		t.Errorf("%d spans kept, want at most %d", len(s.spans), keepStalls)
	}
	if count, total := s.sums(); count != 1002 || total != 1410 {
		t.Errorf("%d stalls of %g ms in all, want 1002 of 1410", count, total)
	}
}

func TestAPausedProberBlamesNobody(t *testing.T) {
	var s stalls
	s.add(100, 400)
	for _, c := range []struct {
		name       string
		start, end float64
		class      Class
		want       Class
		silent     bool
	}{
		{"paused for 300 of 1000 ms", 90, 1090, Timeout, Missed, false},
		{"broken after a long pause", 90, 410, Reset, Missed, false},
		{"paused for 20 of 1000 ms", 380, 1380, Timeout, Timeout, false},
		{"paused when the answer would have had to be read", -890, 110, Stalled, Missed, false},
		{"likewise, but nothing had come by then", -890, 110, Stalled, Stalled, true},
		{"refused at once, just before", -900, 110, Refused, Refused, false},
		{"slow by the pause alone", 90, 700, Slow, OK, false},
		{"slow in spite of it", 90, 1000, Slow, Slow, false},
		{"right and quick", 90, 405, OK, OK, false},
		{"long over", 2000, 3000, Timeout, Timeout, false},
	} {
		slot := Slot{Start: c.start, End: c.end, Class: c.class}
		s.judge(&slot, c.silent, 1000, 500)
		if slot.Class != c.want {
			t.Errorf("%s: %s, want %s", c.name, slot.Class, c.want)
		}
	}
}

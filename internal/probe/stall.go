package probe

// stalls remembers when the prober itself did not get to run, as spans
// [from, to) of its clock in ms, the latest few.
type stalls struct {
	spans []span
}

const keepStalls = 64

// add notes a stall. Overlapping ones become one.
func (s *stalls) add(from, to float64) {
	if n := len(s.spans); n > 0 && from <= s.spans[n-1].to {
		s.spans[n-1].to = max(s.spans[n-1].to, to)
		return
	}
	if len(s.spans) == keepStalls {
		s.spans = append(s.spans[:0], s.spans[1:]...)
	}
	s.spans = append(s.spans, span{from, to})
}

// explain tells whether a timed-out slot may be the prober's own fault: it was
// paused for more than a quarter of the timeout while it waited, so that the
// answer may have come and gone unread.
func (s *stalls) explain(slot Slot, timeout float64) bool {
	paused := 0.0
	for _, p := range s.spans {
		paused += max(0, min(p.to, slot.End)-max(p.from, slot.Start))
	}
	return paused > timeout/4
}

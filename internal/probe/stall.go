package probe

import (
	"cmp"
	"slices"
	"sync"
)

// stalls remembers when the prober itself did not get to run, as spans
// [from, to) of its clock in ms, the latest few. Lanes of a group share one: what
// stops one of them stops the process. It is safe for concurrent use.
type stalls struct {
	mu    sync.Mutex
	spans []span // in order, apart from each other
	count int    // ever
	total float64
}

const keepStalls = 64

// add notes a stall. Overlapping ones become one.
func (s *stalls) add(from, to float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.spans); n > 0 && from >= s.spans[0].from && n == keepStalls && to < s.spans[0].to {
		return
	}
	before, had := sum(s.spans), len(s.spans)
	s.spans = append(s.spans, span{from, to})
	slices.SortFunc(s.spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := s.spans[:1]
	for _, p := range s.spans[1:] {
		last := &merged[len(merged)-1]
		if p.from <= last.to {
			last.to = max(last.to, p.to)
			continue
		}
		merged = append(merged, p)
	}
	s.spans = merged
	s.total += sum(s.spans) - before
	s.count = max(s.count+len(s.spans)-had, 1)
	if n := len(s.spans); n > keepStalls {
		s.spans = append(s.spans[:0], s.spans[n-keepStalls:]...)
	}
}

func sum(spans []span) (total float64) {
	for _, p := range spans {
		total += p.to - p.from
	}
	return total
}

// sums are the number of stalls ever, and their length in ms.
func (s *stalls) sums() (count int, total float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.total
}

// paused is for how long of a slot's time the prober did not run, and whether it
// did not at its end, when the answer would have had to be read.
func (s *stalls) paused(from, to, deadline float64) (total float64, atDeadline bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.spans {
		total += max(0, min(p.to, to)-max(p.from, from))
		atDeadline = atDeadline || p.from <= deadline && deadline <= p.to
	}
	return total, atDeadline
}

// judge takes back what may be the prober's own fault. A failure is not believed
// if the prober was paused for more than a quarter of the timeout, or at the
// moment of the deadline, so that an answer may have come and stayed unread,
// unless it was checked afterwards that none had (silent). Slowness is judged by
// the time without the pauses.
func (s *stalls) judge(slot *Slot, silent bool, timeout, slowAfter float64) {
	if slot.Class == OK || slot.Class == Missed || slot.Class == Stale {
		return
	}
	paused, atDeadline := s.paused(slot.Start, slot.End, slot.Start+timeout)
	switch {
	case paused == 0:
	case slot.Class == Slow:
		if slot.MS()-paused <= slowAfter {
			slot.Class, slot.Late = OK, true
		}
	case paused > timeout/4, atDeadline && !silent && !slot.Class.answered():
		slot.Class, slot.Error = Missed, "the prober itself was paused while it waited"
	}
}

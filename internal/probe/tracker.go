package probe

import (
	"maps"
	"slices"
	"strconv"
)

// Tracker finds outages in a stream of slots. It is pure: no clock, no I/O.
// Slots may come in any order of completion; they are judged in the order of
// their Seq, each as soon as all before it are known.
type Tracker struct {
	// Degraded makes it look for runs of degraded slots instead of failed ones.
	// Served well or not served at all both end such a run.
	Degraded bool
	// SlackMS is by how much a slot may have started later than one that is due
	// after it: lanes that are merged start their slots each on its own.
	SlackMS float64

	next    int64          // Seq that is judged next
	waiting map[int64]Slot // completed ahead of their turn

	// good holds the successes that may yet be "the last before": the latest
	// that was over when the latest slot began, and those that were not.
	good    []span
	current *Outage     // its run of failures goes on
	closing []*endedRun // ended runs that wait for a success that is surely later
	from    float64     // moment from which the present stretch of known failure counts
	until   float64     // latest moment at which current surely may still have failed
	broken  bool        // a slot was missed since the last failure
	ids     int
	took    [32]float64 // durations of the latest successes, ms, as a ring
	served  int         // successes ever
}

// endedRun is an outage whose run of failures has ended.
type endedRun struct {
	outage *Outage
	until  float64
}

// span is a part of the prober's time, [from, to] in ms.
type span struct{ from, to float64 }

// Event is a step in the life of an outage: its first failure, its second, which
// shows that it is no single lost request, and its end.
type Event struct {
	Outage Outage
	Closed bool
}

// Add takes one completed slot and returns the events it causes, mostly none.
// A Seq that was judged before is ignored.
func (t *Tracker) Add(s Slot) []Event {
	if s.Seq < t.next {
		return nil
	}
	if s.Seq > t.next {
		if t.waiting == nil {
			t.waiting = map[int64]Slot{}
		}
		t.waiting[s.Seq] = s
		return nil
	}
	var out []Event
	for {
		t.next++
		out = append(out, t.judge(s)...)
		var ok bool
		if s, ok = t.waiting[t.next]; !ok {
			return out
		}
		delete(t.waiting, t.next)
	}
}

// Waiting is the number of slots that wait for an earlier one.
func (t *Tracker) Waiting() int { return len(t.waiting) }

// Current is a copy of the open outage, or nil.
func (t *Tracker) Current() *Outage {
	if t.current == nil {
		return nil
	}
	o := t.current.clone()
	return &o
}

func (t *Tracker) judge(s Slot) []Event {
	switch {
	case s.Class == Missed:
		if t.current != nil {
			t.current.Missed++
			t.broken = true
		}
	case t.bad(s.Class):
		return t.failed(s)
	default:
		return t.succeeded(s)
	}
	return nil
}

func (t *Tracker) bad(c Class) bool {
	if t.Degraded {
		return c.Degraded()
	}
	return c.Failed()
}

func (t *Tracker) failed(s Slot) []Event {
	var out []Event
	if t.current == nil {
		t.ids++
		t.current = &Outage{ID: t.ids, Open: true, First: s.Start, Before: s.Start, ByClass: map[string]int{}, firstSeq: s.Seq}
		if t.Degraded {
			t.current.Kind = KindDegraded
		}
		t.begin(s)
		t.from, t.until, t.broken = t.failedSince(s), 0, false
		t.current.sure = t.from
	}
	o := t.current
	if t.broken {
		t.from, t.broken = max(t.from, t.failedSince(s)), false
	}
	if until := failedUntil(s); until > t.from {
		o.LowerMS += until - t.from
		t.from = until
	}
	if s.Start < o.First {
		o.First = s.Start
		t.begin(s)
	}
	o.Last, o.lastSeq = max(o.Last, s.Start), s.Seq
	t.until = max(t.until, t.failedSince(s))
	o.Failed++
	o.ByClass[label(s)]++
	if s.lane != "" {
		if o.ByLane == nil {
			o.ByLane = map[string]int{}
		}
		o.ByLane[s.lane]++
	}
	if s.Late {
		o.Late++
	}
	if o.Failed <= 2 {
		out = append(out, Event{Outage: o.clone()})
	}
	return out
}

// begin dates the last success before s, a first failure. Requests overlap and
// overtake each other, so only a success that was over when s began was surely
// before it.
func (t *Tracker) begin(s Slot) {
	t.current.Before, t.current.Unbounded = s.Start, true
	for _, g := range t.good {
		if g.to <= s.Start {
			t.current.Before, t.current.Unbounded = g.from, false
		}
	}
}

func (t *Tracker) succeeded(s Slot) []Event {
	if t.current != nil {
		t.closing = append(t.closing, &endedRun{t.current, t.until})
		t.current = nil
	}
	var out []Event
	// Only a success that began when the last failure was over is surely after it.
	for len(t.closing) > 0 && s.Start >= t.closing[0].until {
		o := t.closing[0].outage
		o.Open, o.After = false, t.earliest(s, t.closing[0].until)
		o.UpperMS = max(o.After-o.Before, o.LowerMS)
		o.ErrorMS = (o.UpperMS - o.LowerMS) / 2
		t.closing = t.closing[1:]
		out = append(out, Event{Outage: o.clone(), Closed: true})
	}
	t.remember(s)
	return out
}

// earliest is when the first success that began at from or later was over: of s,
// or of one that overtook it.
func (t *Tracker) earliest(s Slot, from float64) float64 {
	end := s.End
	for _, w := range t.waiting {
		if w.End < end && w.Start >= from && w.Class != Missed && !t.bad(w.Class) {
			end = w.End
		}
	}
	return end
}

// remember keeps s as a success that later failures may refer to, and drops
// those that s makes useless: all but the last that were over before any later
// slot can have begun.
func (t *Tracker) remember(s Slot) {
	t.took[t.served%len(t.took)] = s.End - s.Start
	t.served++
	kept, over := t.good[:0], span{from: -1}
	for _, g := range t.good {
		switch {
		case g.to > s.Start-t.SlackMS:
			kept = append(kept, g)
		case g.from > over.from:
			over = g
		}
	}
	if over.from >= 0 {
		kept = append(kept, over)
		for i := len(kept) - 1; i > 0 && kept[i].from < kept[i-1].from; i-- {
			kept[i], kept[i-1] = kept[i-1], kept[i]
		}
	}
	t.good = append(kept, span{s.Start, s.End})
	for i := len(t.good) - 1; i > 0 && t.good[i].from < t.good[i-1].from; i-- {
		t.good[i], t.good[i-1] = t.good[i-1], t.good[i]
	}
}

// failedSince is the earliest moment at which the service surely failed s. One
// that waited in vain is taken to have got as far as the service as soon as the
// latest successes were over, at the latest: nothing else tells when it did.
func (t *Tracker) failedSince(s Slot) float64 {
	if s.Class.answered() {
		return s.End
	}
	return min(s.Start+slices.Max(t.took[:]), s.End)
}

// failedUntil is the latest moment at which the service was surely failing when
// s is the last failure. It is its start, whatever its class: a request may have
// been lost at its very beginning.
func failedUntil(s Slot) float64 { return s.Start }

func label(s Slot) string {
	if (s.Class == ServerError || s.Class == ClientError) && s.Status != 0 {
		return strconv.Itoa(s.Status)
	}
	return string(s.Class)
}

func (o *Outage) clone() Outage {
	c := *o
	c.ByClass, c.ByLane = maps.Clone(o.ByClass), maps.Clone(o.ByLane)
	return c
}

package main

import (
	"math"

	"zdl/internal/probe"
)

// tally counts slots by second and by cell of the strip. It is pure: the
// prober's clock is the only one.
type tally struct {
	second  int64 // that is being counted; -1 before the first slot
	now     second
	cells   []cell // oldest first, the last one is being filled
	newest  int64  // index of the last cell
	started bool
}

// second is what a second brought.
type second struct {
	OK      int            `json:"ok"` // served, slow ones included
	Slow    int            `json:"slow"`
	Failed  int            `json:"failed"`
	Missed  int            `json:"missed"` // the prober itself was late
	ByClass map[string]int `json:"byClass,omitempty"`
}

// cell is the worst that happened in a stretch of time.
type cell int

const (
	cellNone cell = iota
	cellOK
	cellSlow
	cellFailed
)

const (
	cellMS    = 500.0
	keepCells = 400
)

// add takes the slots of one event and the clock it was sent at, and returns
// the seconds that are over by then. Slots come in the order of their
// completion, and a second is counted by completions.
func (t *tally) add(slots []probe.Slot, nowMS float64) []second {
	var over []second
	for _, s := range slots {
		over = append(over, t.advance(s.End)...)
		t.count(&s)
		t.paint(&s)
	}
	return append(over, t.advance(nowMS)...)
}

// history takes slots of before the watch began: they show in the strip and
// are not counted.
func (t *tally) history(slots []probe.Slot, nowMS float64) {
	for _, s := range slots {
		t.paint(&s)
	}
	t.second, t.started = int64(math.Floor(nowMS/1000)), true
}

// advance closes the seconds before a moment. After a pause of many seconds,
// such as a suspended host's, the empty ones in between are left out.
func (t *tally) advance(ms float64) []second {
	s := int64(math.Floor(ms / 1000))
	if !t.started {
		t.second, t.started = s, true
	}
	if s <= t.second {
		return nil
	}
	over := []second{t.now}
	t.now, t.second = second{}, s
	return over
}

func (t *tally) count(s *probe.Slot) {
	switch {
	case s.Class == probe.Missed:
		t.now.Missed++
	case s.Class.Failed():
		t.now.Failed++
		if t.now.ByClass == nil {
			t.now.ByClass = map[string]int{}
		}
		t.now.ByClass[string(s.Class)]++
	default:
		t.now.OK++
		if s.Class == probe.Slow {
			t.now.Slow++
		}
	}
}

func (t *tally) paint(s *probe.Slot) {
	index := int64(math.Floor(s.End / cellMS))
	if len(t.cells) == 0 {
		t.newest, t.cells = index, []cell{cellNone}
	}
	if gap := index - t.newest; gap > 0 {
		for range min(gap, keepCells) {
			t.cells = append(t.cells, cellNone)
		}
		t.newest = index
		if len(t.cells) > keepCells {
			t.cells = t.cells[len(t.cells)-keepCells:]
		}
	}
	i := len(t.cells) - 1 - int(t.newest-index)
	if i < 0 {
		return
	}
	c := cellOK
	switch {
	case s.Class == probe.Missed:
		c = cellNone
	case s.Class.Failed():
		c = cellFailed
	case s.Class == probe.Slow:
		c = cellSlow
	}
	t.cells[i] = max(t.cells[i], c)
}

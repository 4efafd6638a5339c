package probe

import (
	"fmt"
	"slices"
	"sync"
)

// Ledger remembers which writes a database has acknowledged, so that what it
// holds later can be compared with what it had promised. Writes are numbered
// from 1. It is safe for concurrent use.
type Ledger struct {
	mu        sync.Mutex
	fate      []fate // of write n at n-1
	highest   uint64 // that was acknowledged
	timelines []uint32
}

// fate is what is known of a write.
type fate byte

const (
	sent fate = iota // no answer came, or one that says no
	acknowledged
)

// Writes is what became of a measurement's writes.
type Writes struct {
	Sent         int64 `json:"sent"`
	Acknowledged int64 `json:"acknowledged"`
	// Checked tells whether the database has been read since the last outage; the
	// fields below are of that moment.
	Checked bool `json:"checked"`
	// Lost were acknowledged and are not there.
	Lost int64 `json:"lost"`
	// Unconfirmed were sent and never answered; of these, Stored are there. Either
	// is right: whoever got no answer does not know.
	Unconfirmed int64 `json:"unconfirmed"`
	Stored      int64 `json:"stored"`
	// LostRanges are the numbers of lost writes, at most 20 ranges: "17", "21 to 25".
	LostRanges []string `json:"lostRanges,omitempty"`
	// Timelines of the database that acknowledged writes, in order; a further one
	// begins with each promotion.
	Timelines []uint32 `json:"timelines"`
}

// Next gives the number of a write that is about to be sent.
func (l *Ledger) Next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fate = append(l.fate, sent)
	return uint64(len(l.fate))
}

// Acknowledge notes that the database has confirmed a write, on a timeline.
func (l *Ledger) Acknowledge(n uint64, timeline uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fate[n-1] = acknowledged
	l.highest = max(l.highest, n)
	if !slices.Contains(l.timelines, timeline) {
		l.timelines = append(l.timelines, timeline)
	}
}

// Floor is the highest number that was acknowledged: a read that begins now must
// find at least that.
func (l *Ledger) Floor() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.highest
}

// Promise is a copy of what has been acknowledged at a moment. Take it before the
// database is read: what is acknowledged meanwhile is not missing.
func (l *Ledger) Promise() *Promise {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Promise{slices.Clone(l.fate), slices.Clone(l.timelines)}
}

// Promise is what a database had acknowledged at some moment.
type Promise struct {
	fate      []fate
	timelines []uint32
}

// keepRanges bounds the ranges of lost writes that are listed.
const keepRanges = 20

// Compare tells how the promise was kept by a database that holds the numbers
// stored, in any order.
func (p *Promise) Compare(stored []uint64) Writes {
	w := p.Count()
	w.Checked = true
	there := make([]bool, len(p.fate))
	for _, n := range stored {
		if n >= 1 && n <= uint64(len(there)) {
			there[n-1] = true
		}
	}
	first := 0 // of the present range of lost numbers; 0: none
	end := func(last int) {
		switch {
		case first == 0:
		case len(w.LostRanges) >= keepRanges:
		case first == last:
			w.LostRanges = append(w.LostRanges, fmt.Sprint(first))
		default:
			w.LostRanges = append(w.LostRanges, fmt.Sprintf("%d to %d", first, last))
		}
		first = 0
	}
	for i, f := range p.fate {
		lost := f == acknowledged && !there[i]
		switch {
		case lost:
			w.Lost++
			if first == 0 {
				first = i + 1
			}
		case f == sent && there[i]:
			w.Stored++
		}
		if !lost {
			end(i)
		}
	}
	end(len(p.fate))
	return w
}

// Count sums the promise up, without knowing how it was kept.
func (p *Promise) Count() Writes {
	w := Writes{Sent: int64(len(p.fate)), Timelines: p.timelines}
	if w.Timelines == nil {
		w.Timelines = []uint32{}
	}
	for _, f := range p.fate {
		if f == acknowledged {
			w.Acknowledged++
		} else {
			w.Unconfirmed++
		}
	}
	return w
}

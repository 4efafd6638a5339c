package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"zdl/workload/shop/internal/money"
)

// Stage says how far an order has come.
type Stage string

const (
	StageQueued     Stage = "queued" // promised, not in the ledger yet
	StageAccepted   Stage = "accepted"
	StageRefused    Stage = "refused"
	StageDispatched Stage = "dispatched"
)

// Parcel is the shipping state of one order.
type Parcel struct {
	Stage    Stage
	Tracking string
}

// Day is what one day brought.
type Day struct {
	Orders  int64
	Refused int64
	Cents   money.Cents
}

// State is the processed data: what follows from the ledger. The zero value is
// that of an empty ledger. Events may be applied in any order, each once: sums do
// not care, and a parcel only moves forward.
type State struct {
	Stock   map[string]int64  // units by product; below zero where more was sold than there was
	Days    map[string]Day    // by UTC date
	Parcels map[string]Parcel // by order
}

// Apply adds one event.
func (s *State) Apply(e Event) {
	if s.Stock == nil {
		*s = State{Stock: map[string]int64{}, Days: map[string]Day{}, Parcels: map[string]Parcel{}}
	}
	date := e.At.UTC().Format(time.DateOnly)
	switch e.Kind {
	case Stocked:
		for _, l := range e.Body.Lines {
			s.Stock[l.Product] += int64(l.Quantity)
		}
	case Accepted:
		day := s.Days[date]
		day.Orders++
		if bill := e.Body.Bill; bill != nil {
			day.Cents += bill.Total
			for _, l := range bill.Lines {
				s.Stock[l.Product] -= int64(l.Quantity)
			}
		}
		s.Days[date] = day
		s.advance(e.Order, Parcel{Stage: StageAccepted})
	case Refused:
		day := s.Days[date]
		day.Refused++
		s.Days[date] = day
		s.advance(e.Order, Parcel{Stage: StageRefused})
	case Dispatched:
		s.advance(e.Order, Parcel{Stage: StageDispatched, Tracking: e.Body.Tracking})
	}
}

// rank orders the stages: a parcel never goes back.
var rank = map[Stage]int{"": 0, StageAccepted: 1, StageRefused: 2, StageDispatched: 3}

func (s *State) advance(id string, p Parcel) {
	if rank[p.Stage] > rank[s.Parcels[id].Stage] {
		s.Parcels[id] = p
	}
}

// Fold is the state after all events.
func Fold(events []Event) State {
	var s State
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

// Diff says in which points two states differ, at most limit of them, in a fixed
// order. The first is what follows from the ledger, the second what is stored.
func Diff(ledger, stored State, limit int) []string {
	var out []string
	out = append(out, differ("stock of", ledger.Stock, stored.Stock)...)
	out = append(out, differ("totals of", ledger.Days, stored.Days)...)
	out = append(out, differ("shipping of", ledger.Parcels, stored.Parcels)...)
	if len(out) > limit {
		out = append(out[:limit], fmt.Sprintf("… and %d more", len(out)-limit))
	}
	return out
}

func differ[V comparable](what string, ledger, stored map[string]V) []string {
	names := slices.SortedFunc(maps.Keys(ledger), cmp.Compare[string])
	for name := range stored {
		if _, both := ledger[name]; !both {
			names = append(names, name)
		}
	}
	var out []string
	for _, name := range names {
		if want, got := ledger[name], stored[name]; want != got {
			out = append(out, fmt.Sprintf("%s %s: the ledger says %+v, stored is %+v", what, name, want, got))
		}
	}
	slices.Sort(out)
	return out
}

// StageOf is how far the order with these events has come.
func StageOf(events []Event) Parcel {
	if len(events) == 0 {
		return Parcel{Stage: StageQueued}
	}
	return Fold(events).Parcels[events[0].Order]
}

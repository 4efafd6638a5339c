package ledger

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"zdl/workload/shop/internal/order"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func accepted(seq int64, id string, at time.Time, quantity int) Event {
	bill := &order.Bill{Total: 500, Lines: []order.Priced{{Line: order.Line{Product: "mug-quorum", Quantity: quantity}}}}
	return Event{Seq: seq, At: at, Kind: Accepted, Key: OutcomeKey(id), Order: id, Body: Body{Bill: bill}}
}

func story() []Event {
	return []Event{
		{Seq: 1, At: noon, Kind: Stocked, Key: "stocked/seed", Body: Body{Lines: []order.Line{{Product: "mug-quorum", Quantity: 100}, {Product: "lamp-ember", Quantity: 7}}}},
		accepted(2, "A", noon, 3),
		accepted(4, "B", noon.Add(13*time.Hour), 1), // the next day
		{Seq: 5, At: noon, Kind: Dispatched, Key: DispatchedKey("A"), Order: "A", Body: Body{Tracking: "T-A"}},
		{Seq: 6, At: noon, Kind: Refused, Key: OutcomeKey("C"), Order: "C", Body: Body{Reason: "no"}},
	}
}

func TestTheStateFollowsFromTheLedger(t *testing.T) {
	want := State{
		Stock:   map[string]int64{"mug-quorum": 96, "lamp-ember": 7},
		Days:    map[string]Day{"2026-11-21": {Orders: 1, Refused: 1, Cents: 500}, "2026-11-22": {Orders: 1, Cents: 500}},
		Parcels: map[string]Parcel{"A": {StageDispatched, "T-A"}, "B": {Stage: StageAccepted}, "C": {Stage: StageRefused}},
	}
	if got := Fold(story()); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestTheOrderOfEventsDoesNotMatter(t *testing.T) {
	want := Fold(story())
	for range 50 {
		events := story()
		rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		if got := Fold(events); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nof  %+v", got, events)
		}
	}
}

func TestADifferenceIsNamed(t *testing.T) {
	ledger, stored := Fold(story()), Fold(story())
	if d := Diff(ledger, stored, 10); len(d) != 0 {
		t.Errorf("equal states differ: %v", d)
	}
	stored.Stock["mug-quorum"]++
	delete(stored.Parcels, "B")
	stored.Parcels["X"] = Parcel{Stage: StageAccepted}
	got := strings.Join(Diff(ledger, stored, 10), "\n")
	for _, want := range []string{"stock of mug-quorum: the ledger says 96, stored is 97", "shipping of B: ", "shipping of X: "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if d := Diff(ledger, stored, 1); len(d) != 2 || d[1] != "… and 2 more" {
		t.Errorf("limited: %q", d)
	}
}

func TestAStageNeverGoesBack(t *testing.T) {
	events := story()
	if p := StageOf([]Event{events[3], events[1]}); p.Stage != StageDispatched || p.Tracking != "T-A" {
		t.Errorf("got %+v", p)
	}
	if p := StageOf(nil); p.Stage != StageQueued {
		t.Errorf("got %+v", p)
	}
}

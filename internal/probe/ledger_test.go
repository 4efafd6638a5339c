package probe

import (
	"reflect"
	"testing"
)

func TestAcknowledgedWritesThatAreGoneAreCounted(t *testing.T) {
	var l Ledger
	for range 10 {
		l.Next()
	}
	for _, n := range []uint64{1, 2, 3, 5, 6, 7, 9} {
		l.Acknowledge(n, 1+uint32(n/6))
	}
	// Lost are 2 and 6 to 7; 4 was never answered and is there, 8 and 10 are not.
	got := l.Promise().Compare([]uint64{9, 1, 3, 4, 5})
	want := Writes{Sent: 10, Acknowledged: 7, Checked: true, Lost: 3, Unconfirmed: 3, Stored: 1,
		LostRanges: []string{"2", "6 to 7"}, Timelines: []uint32{1, 2}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if f := l.Floor(); f != 9 {
		t.Errorf("floor %d, want 9", f)
	}
}

func TestWhatIsAcknowledgedWhileTheDatabaseIsReadIsNotMissing(t *testing.T) {
	var l Ledger
	l.Acknowledge(l.Next(), 1)
	before := l.Promise()
	l.Acknowledge(l.Next(), 1)
	if w := before.Compare([]uint64{1}); w.Lost != 0 || w.Acknowledged != 1 {
		t.Errorf("%+v", w)
	}
	if w := l.Promise().Compare([]uint64{1}); w.Lost != 1 || w.LostRanges[0] != "2" {
		t.Errorf("%+v", w)
	}
}

func TestTheLastRangeOfLostWritesIsListed(t *testing.T) {
	var l Ledger
	for range 3 {
		l.Acknowledge(l.Next(), 7)
	}
	if w := l.Promise().Compare(nil); w.Lost != 3 || len(w.LostRanges) != 1 || w.LostRanges[0] != "1 to 3" {
		t.Errorf("%+v", w)
	}
	if w := (&Ledger{}).Promise().Compare(nil); w.Lost != 0 || w.Timelines == nil || !w.Checked {
		t.Errorf("%+v", w)
	}
}

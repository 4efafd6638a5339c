package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"zdl/internal/doctor"
	"zdl/internal/lab"
	"zdl/internal/probe"
)

func TestProgressInALogIsOneLineForEachPhase(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	for _, s := range []lab.Progress{
		{Phase: "fabric", Detail: "plug cables", Elapsed: 0},
		{Phase: "etcd", Detail: "wait for a leader", Elapsed: 200 * time.Millisecond},
		{Phase: "fabric", Elapsed: 300 * time.Millisecond, Done: true},
		{Phase: "etcd", Detail: "cp-1 leads", Elapsed: 4 * time.Second, Done: true},
		{Phase: "short", Elapsed: 4 * time.Second, Done: true},
	} {
		p.step(s)
	}
	p.close()
	want := "     0.3 s  fabric         plug cables (0.3 s)\n     4.0 s  etcd           cp-1 leads (3.8 s)\n     4.0 s  short\n"
	if got := strings.ReplaceAll(b.String(), "  "+"    0.3", "     0.3"); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestProgressInALogSaysOnceInAWhileWhatTakesLong(t *testing.T) {
	var b bytes.Buffer
	p := &progress{screen: newScreen(&b), began: time.Now()}
	p.active = []phase{{name: "etcd", detail: "wait for a leader", since: time.Second}}
	for _, now := range []time.Duration{5, 12, 15, 25} {
		p.patience(now * time.Second)
	}
	if n := strings.Count(b.String(), "wait for a leader …"); n != 2 {
		t.Errorf("said it %d times, want 2:\n%s", n, b.String())
	}
}

func TestTerminalIsRedrawnInPlace(t *testing.T) {
	var b bytes.Buffer
	s := &screen{w: &b, live: true}
	s.draw([]string{"one", "two"})
	s.draw([]string{"three"})
	s.say("stays")
	s.erase()
	if want := "one\x1b[K\ntwo\x1b[K\n\x1b[J\x1b[A\x1b[A\rthree\x1b[K\n\x1b[J\x1b[A\r\x1b[Jstays\n"; b.String() != want {
		t.Errorf("got %q", b.String())
	}
}

func TestTallyCountsBySecondAndPaintsTheWorst(t *testing.T) {
	var y tally
	y.history([]probe.Slot{{End: 100, Class: probe.ServerError}, {End: 600, Class: probe.OK}}, 1000)
	over := y.add([]probe.Slot{
		{End: 1100, Class: probe.OK}, {End: 1200, Class: probe.Slow}, {End: 1300, Class: probe.Missed},
		{End: 2100, Class: probe.Timeout}, {End: 2200, Class: probe.OK},
	}, 2400)
	if want := []second{{OK: 2, Slow: 1, Missed: 1}}; !reflect.DeepEqual(over, want) {
		t.Errorf("got %+v, want %+v", over, want)
	}
	over = y.add(nil, 9000)
	if want := []second{{OK: 1, Failed: 1, ByClass: map[string]int{"timeout": 1}}}; !reflect.DeepEqual(over, want) {
		t.Errorf("after a pause: got %+v, want %+v", over, want)
	}
	if want := []cell{cellFailed, cellOK, cellSlow, cellNone, cellFailed}; !reflect.DeepEqual(y.cells, want) {
		t.Errorf("strip %v, want %v", y.cells, want)
	}
	for i := range 1000 {
		y.add([]probe.Slot{{End: float64(10000 + i*500), Class: probe.OK}}, float64(10000+i*500))
	}
	if len(y.cells) != keepCells {
		t.Errorf("the strip grew to %d cells", len(y.cells))
	}
}

func TestDoctorSaysHowToMend(t *testing.T) {
	var b bytes.Buffer
	printChecks(&b, []doctor.Check{
		{What: "Linux", Status: doctor.OK, Detail: "6.1"},
		{What: "nft (Services)", Status: doctor.Fail, Detail: "nft not found", Fix: "apt-get install nftables"},
		{What: "netem", Status: doctor.Info, Detail: "there"},
	}, true)
	want := "✗ nft (Services): nft not found\n    mend it: apt-get install nftables\n\n1 thing is missing; a lab cannot run here yet.\n"
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestNumbersForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{1234 * time.Millisecond: "1.2 s", 75 * time.Second: "1 min 15 s", 3*time.Hour + 5*time.Minute: "3 h 5 min", 50 * time.Hour: "2 days"} {
		if got := seconds(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for ms, want := range map[float64]string{0: "0 ms", 999.6: "1 000 ms", 1234567: "1 234 567 ms", 12: "12 ms"} {
		if got := milliseconds(ms); got != want {
			t.Errorf("%v: %s, want %s", ms, got, want)
		}
	}
	if got := fit("abcdef", 4); got != "abc…" {
		t.Errorf("got %s", got)
	}
}

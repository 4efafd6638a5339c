package timeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/probe"
)

func open(t *testing.T, path string) *Log {
	t.Helper()
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestSinceGivesWhatIsNew(t *testing.T) {
	l := open(t, "")
	for i := range 5 {
		l.Add(KindLab, "lab", fmt.Sprint(i), nil)
	}
	for _, c := range []struct {
		since int64
		limit int
		want  string
	}{{0, 0, "01234"}, {3, 0, "34"}, {5, 0, ""}, {0, 2, "34"}, {4, 9, "4"}, {99, 0, ""}} {
		var got string
		for _, e := range l.Since(c.since, c.limit) {
			got += e.Text
		}
		if got != c.want {
			t.Errorf("since %d limit %d: %q, want %q", c.since, c.limit, got, c.want)
		}
	}
}

func TestEntriesAreMonotonic(t *testing.T) {
	l := open(t, "")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				l.Add(KindHit, "pod", "hit", nil)
			}
		})
	}
	wg.Wait()
	last := Entry{}
	for i, e := range l.Since(0, 0) {
		if e.Seq != int64(i+1) || e.MonoMS < last.MonoMS {
			t.Fatalf("entry %d is %+v after %+v", i, e, last)
		}
		last = e
	}
}

func TestTheFileContinuesAfterARestartAndATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "timeline.jsonl")
	l := open(t, path)
	l.Add(KindLab, "lab", "first", map[string]string{"a": "b"})
	l.Add(KindLab, "lab", "second", nil)
	l.Close()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"seq":3,"text":"tor`) // the power went
	f.Close()
	l = open(t, path)
	if e := l.Add(KindLab, "lab", "third", nil); e.Seq != 3 || e.Run != 2 {
		t.Errorf("seq %d in run %d, want 3 in run 2", e.Seq, e.Run)
	}
	l.Close()
	var texts []string
	for _, e := range open(t, path).Since(0, 0) {
		texts = append(texts, e.Text)
	}
	if got := strings.Join(texts, " "); got != "first second third" {
		t.Errorf("read back %q", got)
	}
}

func TestMemoryAndFileAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "timeline.jsonl")
	l := open(t, path)
	long := strings.Repeat("x", 20_000)
	for range 1000 {
		l.Add(KindLab, "lab", long, nil)
	}
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".1"} {
		st, err := os.Stat(p)
		if err != nil || st.Size() > maxFile {
			t.Errorf("%s: %v, err %v; want at most %d bytes", filepath.Base(p), st, err, maxFile)
		}
	}
	for range 2 * keepEntries {
		l.Add(KindLab, "lab", "y", nil)
	}
	if n := len(l.Since(0, 0)); n != keepEntries {
		t.Errorf("%d entries in memory, want %d", n, keepEntries)
	}
	if e := open(t, path).Add(KindLab, "lab", "z", nil); e.Seq != 1000+2*keepEntries+1 {
		t.Errorf("seq %d after a restart, want %d", e.Seq, 1000+2*keepEntries+1)
	}
}

func TestAFullDiskDoesNotStopTheTimeline(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "timeline.jsonl"))
	l.file.Close() // from here on each write fails
	l.Add(KindLab, "lab", "kept in memory", nil)
	if l.Err() == nil || len(l.Since(0, 0)) != 1 {
		t.Errorf("error %v, %d entries; want an error and the entry", l.Err(), len(l.Since(0, 0)))
	}
}

func TestAChangeIsDatedByWhenItHappened(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "timeline.jsonl"))
	l.Add(KindLab, "lab", "first", nil)
	now := time.Now()
	object := now.Truncate(time.Second)
	for _, at := range []time.Time{now.Add(-300 * time.Millisecond), now.Round(0).Add(-300 * time.Millisecond)} { // of this process, and of a log line
		e := l.Record(cluster.Change{Kind: cluster.IngressProgrammed, Subject: "ingress", Node: "worker-1", Target: true, Detail: true, At: at, ObjectTime: object,
			Fields: map[string]string{"endpoints": "198.19.1.2"}})
		if d := e.MonoMS - e.When(); d < 299 || d > 5000 || !e.Detail {
			t.Errorf("it happened %.1f ms before it was heard of, want 300; entry %+v", d, e)
		}
		if d := e.Happened().Sub(now.Add(-300 * time.Millisecond)).Abs(); d > 50*time.Millisecond {
			t.Errorf("the time of day is wrong by %v", d)
		}
		if e.Fields["node"] != "worker-1" || e.Fields["target"] != "true" || e.Fields["endpoints"] != "198.19.1.2" || e.Fields["objectTime"] != object.UTC().Format(time.RFC3339) {
			t.Errorf("fields %v", e.Fields)
		}
	}
	if e := l.Record(cluster.Change{Kind: cluster.NodeReady, Subject: "n"}); e.AtMS != 0 || e.When() != e.MonoMS || e.Fields != nil {
		t.Errorf("without a time of its own: %+v", e)
	}
	if e := l.Record(cluster.Change{Kind: cluster.NodeReady, Subject: "n", At: now.Add(time.Hour)}); e.AtMS != 0 {
		t.Errorf("a clock that is ahead dated an entry into the future: %+v", e)
	}
}

// fakeProber reports outages as it is told.
type fakeProber struct {
	mu   sync.Mutex
	list []probe.Outage
	wake chan struct{}
}

func (p *fakeProber) set(o ...probe.Outage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = o
	close(p.wake)
	p.wake = make(chan struct{})
}

func (p *fakeProber) Outages(after int) (out []probe.Outage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.list {
		if o.ID > after {
			out = append(out, o)
		}
	}
	return out
}

func (p *fakeProber) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wake
}

func TestOutagesAreToldOnceAndSinglesSummedUp(t *testing.T) {
	l := open(t, "")
	p := &fakeProber{wake: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); Follow(ctx, l, nil, p) }()
	defer func() { cancel(); <-done }()
	by := func(n int) map[string]int { return map[string]int{"503": n} }
	wait := func(kind string) Entry {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if e := l.Since(0, 1); len(e) == 1 && e[0].Kind == kind {
				return e[0]
			}
		}
		t.Fatalf("no entry of kind %s; have %+v", kind, l.Since(0, 0))
		return Entry{}
	}
	p.set(probe.Outage{ID: 1, Open: true, Failed: 1, ByClass: by(1)})
	p.set(probe.Outage{ID: 1, Open: true, Failed: 2, ByClass: by(2)})
	wait(KindOutageBegan)
	p.set(probe.Outage{ID: 1, Open: true, Failed: 3, ByClass: by(3)})
	p.set(probe.Outage{ID: 1, Failed: 40, ByClass: by(40), LowerMS: 390.4, UpperMS: 411.5})
	if e := wait(KindOutageEnded); e.Text != "The service was down for between 390 and 412 ms; 40 requests failed: 503 × 40" {
		t.Errorf("it says %q", e.Text)
	}
	p.set(probe.Outage{ID: 2, Failed: 1, ByClass: by(1)}, probe.Outage{ID: 3, Failed: 1, ByClass: map[string]int{"reset": 1}})
	if e := wait(KindErrors); e.Text != "2 requests failed one by one, between others that succeeded: 503 × 1, reset × 1" {
		t.Errorf("it says %q", e.Text)
	}
	if n := len(l.Since(0, 0)); n != 3 {
		t.Errorf("%d entries, want 3: %+v", n, l.Since(0, 0))
	}
}

package web

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zdl/internal/arena"
	"zdl/internal/probe"
	"zdl/internal/timeline"
	"zdl/internal/web/visitor"
)

func TestARingKeepsTheLatestWithinItsBounds(t *testing.T) {
	var r ring
	for i := range 1000 {
		r.add(fmt.Append(nil, i))
	}
	if len(r.batches) != keepBatches || r.batches[0].id != 1001-keepBatches || r.last != 1000 {
		t.Fatalf("%d batches from %d to %d", len(r.batches), r.batches[0].id, r.last)
	}
	for _, c := range []struct {
		id   int64
		want int
		ok   bool
	}{{1000, 0, true}, {999, 1, true}, {1000 - keepBatches, keepBatches, true}, {999 - keepBatches, 0, false}, {1001, 0, false}, {-1, 0, false}} {
		if got, ok := r.after(c.id, nil); ok != c.ok || len(got) != c.want || c.want > 0 && got[0].id != c.id+1 {
			t.Errorf("after %d: %d batches, %v", c.id, len(got), ok)
		}
	}
	for range 10 {
		r.add(make([]byte, keepBytes/2))
	}
	if len(r.batches) > 2 || r.bytes > keepBytes {
		t.Errorf("%d batches of %d bytes", len(r.batches), r.bytes)
	}
	r.add(make([]byte, 2*keepBytes))
	if got, ok := r.after(r.last-1, nil); !ok || len(got) != 1 {
		t.Error("one batch that is larger than all may be is not kept for those who wait for it")
	}
	r.skip()
	if _, ok := r.after(r.last-1, nil); ok {
		t.Error("after a gap somebody is told that nothing was missed")
	}
}

// watch opens a stream and returns its events until the test ends.
type watch struct {
	resp  *http.Response
	lines *bufio.Scanner
	id    string // of the last event
}

func (l *lab) watch(t *testing.T, c *http.Client, url, lastID string) *watch {
	t.Helper()
	req, err := http.NewRequest("GET", url+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		t.Fatalf("the stream is answered with %s", resp.Status)
	}
	w := &watch{resp: resp, lines: bufio.NewScanner(resp.Body)}
	w.lines.Buffer(nil, 4<<20)
	t.Cleanup(func() { resp.Body.Close() })
	return w
}

// next is the next event.
func (w *watch) next(t *testing.T) (event string, data []byte) {
	t.Helper()
	for w.lines.Scan() {
		line := w.lines.Text()
		if e, ok := strings.CutPrefix(line, "event: "); ok {
			event = e
		} else if d, ok := strings.CutPrefix(line, "data: "); ok {
			data = []byte(d)
		} else if id, ok := strings.CutPrefix(line, "id: "); ok {
			w.id = id
		} else if line == "" && event != "" {
			return event, data
		}
	}
	t.Fatalf("the stream ended: %v", w.lines.Err())
	return "", nil
}

// until reads events up to one of that name that ends a batch, or n events.
func (w *watch) some(t *testing.T, n int) (names []string) {
	t.Helper()
	for range n {
		name, _ := w.next(t)
		names = append(names, name)
	}
	return names
}

func TestWhoComesBackGetsWhatWasMissedAndNoMore(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	stay, go1 := l.watch(t, srv.Client(), srv.URL, ""), l.watch(t, srv.Client(), srv.URL, "")
	stay.some(t, 1)
	go1.some(t, 12)
	if go1.id == "" {
		t.Fatal("no event has an ID")
	}
	go1.resp.Body.Close()
	was := go1.id
	_, n, _ := strings.Cut(was, "-")
	l.game.Pause(true) // is missed
	stay.some(t, 10)
	back := l.watch(t, srv.Client(), srv.URL, was)
	seen := map[string]bool{}
	for range 4 {
		name, data := back.next(t)
		if name == "snapshot" || name == "attacks" {
			t.Errorf("the whole state came again, from %s to %s: %s", was, back.id, name)
		}
		if name == "arena" {
			var s arena.State
			if err := json.Unmarshal(data, &s); err != nil || s.Phase != "paused" {
				t.Errorf("%v, phase %q", err, s.Phase)
			}
		}
		seen[name] = true
	}
	if !seen["arena"] {
		t.Errorf("what happened meanwhile did not come, only %v", seen)
	}
	for _, wrong := range []string{"x-" + n, n, "-", "", was + "0", "x", "-5", was[:len(was)-len(n)] + "-1", strings.Repeat("9", 100)} {
		if got := l.watch(t, l.visitor(t, srv, ""), srv.URL, wrong).some(t, 3); strings.Join(got, " ") != "status snapshot arena" {
			t.Errorf("with the ID %q the stream begins with %v, want the whole state", wrong, got)
		}
	}
}

func TestWhoMissedTooMuchGetsTheWholeState(t *testing.T) {
	l := newLab(t, time.Second)
	h := newHub(l.deps)
	seat := h.join()
	defer h.leave()
	first, _ := h.next(seat, -1, nil)
	if len(first) != 1 || !bytes.HasPrefix(first[0].plain, []byte("event: status\n")) {
		t.Fatalf("%d batches", len(first))
	}
	h.work.Lock()
	for range keepBatches + 1 {
		h.tick(time.Now())
	}
	h.work.Unlock()
	again, _ := h.next(seat, first[0].id, nil)
	if len(again) != 1 || !bytes.Contains(again[0].plain, []byte("\nevent: snapshot\n")) || again[0].id < first[0].id+keepBatches {
		t.Errorf("%d batches from %d", len(again), again[0].id)
	}
	if next, _ := h.next(seat, again[0].id, nil); len(next) > 2 {
		t.Errorf("and then %d batches more", len(next))
	}
}

func TestTheHubRestsWhenNobodyListens(t *testing.T) {
	l := newLab(t, time.Second)
	h := newHub(l.deps)
	h.join()
	h.leave()
	if h.deserted() {
		t.Error("who has only lost the connection finds nothing")
	}
	h.mu.Lock()
	h.empty = time.Now().Add(-linger)
	h.mu.Unlock()
	until(t, "the hub rests", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return !h.running
	})
	seat := h.join()
	defer h.leave()
	if got, _ := h.next(seat, 1, nil); len(got) != 1 || !bytes.HasPrefix(got[0].plain, []byte("event: status\n")) {
		t.Error("who was there before the rest is not given the whole state")
	}
}

func TestAnActIsSeenByOthersAtOnce(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	other := l.watch(t, l.visitor(t, srv, ""), srv.URL, "")
	ada := l.visitor(t, srv, "")
	snap := l.cluster.Snapshot()
	pod := podTarget(&snap.TargetPods()[0])
	for n := range 4 {
		if code, e := ask(t, ada, "POST", srv.URL+"/api/v1/hit", `{"target":"`+pod+`"}`, nil, nil); code != 200 {
			t.Fatalf("%d %+v", code, e)
		}
		for hits := 0; hits <= n; {
			name, data := other.next(t)
			var s arena.State
			if name == "arena" && json.Unmarshal(data, &s) == nil {
				hits = s.Hits
			}
		}
	}
}

func TestCompressedStreamsTellTheSameAndEndProperly(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	req, _ := http.NewRequest("GET", srv.URL+"/api/v1/events", nil)
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := (&http.Client{Transport: &http.Transport{DisableCompression: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("header %v", resp.Header)
	}
	var wire bytes.Buffer
	z, err := gzip.NewReader(io.TeeReader(resp.Body, &wire))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for bytes.Count(text.Bytes(), []byte("event: probe\n")) < 5 {
		if _, err := io.CopyN(&text, z, 100); err != nil {
			t.Fatal(err)
		}
	}
	l.end()
	if _, err := io.Copy(&text, z); err != nil { // checks the sum at the end, too
		t.Errorf("the stream ends with %v", err)
	}
	for line := range strings.Lines(text.String()) {
		if d, ok := strings.CutPrefix(line, "data: "); ok && !json.Valid([]byte(d)) {
			t.Errorf("broken: %.80s", line)
		}
	}
	if 3*wire.Len() > text.Len() {
		t.Errorf("%d bytes for %d of text", wire.Len(), text.Len())
	}
}

// crowd opens so many streams, each of an address and a session of its own, and
// reads them until the test ends.
func crowd(t *testing.T, address string, n int) {
	t.Helper()
	signer := visitor.NewSigner(crowdKey)
	for i := range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}}
		conn, err := d.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nCookie: %s=%s\r\n\r\n", sessionCookie, signer.Session(visitor.NewID()))
		go func() {
			for buf := make([]byte, 512); ; {
				if _, err := conn.Read(buf); err != nil {
					return
				}
			}
		}()
	}
}

var crowdKey = visitor.Key{1}

func TestAVisitorCostsLessThanAHundredKilobytes(t *testing.T) {
	const visitors, limit = 500, 100 << 10
	l := newLab(t, time.Second)
	l.reopen(Access{SessionKey: crowdKey})
	srv := l.serve(t)
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	crowd(t, srv.Listener.Addr().String(), 1) // what the first one costs is the hub's
	gate := l.streams
	until(t, "the first one watches", func() bool { return gate() == 1 })
	before := used()
	crowd(t, srv.Listener.Addr().String(), visitors)
	until(t, "all are watching", func() bool { return gate() == visitors+1 })
	each := (int64(used()) - int64(before)) / visitors
	t.Logf("%d bytes a visitor, the visitor's own side included", each)
	if each > limit {
		t.Errorf("%d bytes a visitor, want at most %d", each, limit)
	}
}

// BenchmarkHitOnAThousandScreens measures from a click until each of a thousand
// visitors, who are connected by TCP, has been told of the hit. Visitors and
// server share the machine; go run ./test/bench -parts visitors asks a real lab.
func BenchmarkHitOnAThousandScreens(b *testing.B) {
	const visitors = 1000
	cluster := newFakeCluster(time.Hour)
	game := &fakeGame{cluster: cluster, faults: &fakeFaults{}}
	log, err := timeline.Open("")
	if err != nil {
		b.Fatal(err)
	}
	prober, err := probe.New(probe.Config{URL: "http://127.0.0.1:1/"})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	s := newServer(Deps{Cluster: cluster, Arena: game, Probe: prober, Timeline: log, Done: done, Access: Access{SessionKey: crowdKey}})
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer(s.handler())
	srv.Start()
	defer srv.Close()
	defer close(done)
	var told [visitors]atomic.Int64 // hits that the screen shows
	signer := visitor.NewSigner(crowdKey)
	for i := range visitors {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}}
		conn, err := d.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nCookie: %s=%s\r\n\r\n", sessionCookie, signer.Session(visitor.NewID()))
		go func() {
			lines := bufio.NewScanner(conn)
			lines.Buffer(make([]byte, 8<<10), 1<<20)
			for lines.Scan() {
				if line := lines.Bytes(); bytes.HasPrefix(line, []byte(`data: {"version"`)) {
					if at := bytes.LastIndex(line, []byte(`"hits":`)); at >= 0 {
						n := 0
						fmt.Sscanf(string(line[at:]), `"hits":%d`, &n)
						told[i].Store(int64(n))
					}
				}
			}
		}()
	}
	for deadline := time.Now().Add(time.Minute); s.door.gate.Streams() < visitors; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("not all are watching")
		}
	}
	snap := cluster.Snapshot()
	target := podTarget(&snap.TargetPods()[0])
	var took []float64
	hits := int64(0)
	for b.Loop() {
		game.Reset()
		time.Sleep(300 * time.Millisecond)
		begin := time.Now()
		if _, err := game.Hit(b.Context(), arena.Visitor{ID: "x", Name: "x"}, target, ""); err != nil {
			b.Fatal(err)
		}
		s.hub.poke()
		hits++
		var seen [visitors]bool
		for left := visitors; left > 0 && time.Since(begin) < 5*time.Second; time.Sleep(time.Millisecond) {
			for i := range told {
				if !seen[i] && told[i].Load() >= hits {
					seen[i] = true
					took = append(took, float64(time.Since(begin).Microseconds())/1000)
					left--
				}
			}
		}
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "p50-ms")
	b.ReportMetric(took[len(took)*99/100], "p99-ms")
}

func BenchmarkUpdateForAThousand(b *testing.B) {
	rec := httptest.NewRecorder()
	batch := batch{id: 1, plain: bytes.Repeat([]byte(`{"seq":1,"due":100.123,"class":"ok"}`), 500), zip: &zipped{}}
	var z zipper
	for b.Loop() {
		o := &outlet{w: rec, rc: http.NewResponseController(rec), zip: true, zipper: &z}
		o.send(&batch)
		rec.Body.Reset()
	}
}

package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, c Config) *Prober {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s until %s", what)
		}
	}
}

func TestClassesOfAnswers(t *testing.T) {
	answer := func(f func(c net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { defer c.Close(); f(c) }()
			}
		}()
		return "http://" + l.Addr().String() + "/"
	}
	says := func(s string) func(net.Conn) {
		return func(c net.Conn) {
			c.Read(make([]byte, 1024))
			io.WriteString(c, s)
		}
	}
	closed := answer(func(net.Conn) {})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := "http://" + gone.Addr().String() + "/"
	gone.Close()
	for _, c := range []struct {
		name, url string
		dial      func(context.Context, string, string) (net.Conn, error)
		class     Class
		status    int
	}{
		{"ok", answer(says("HTTP/1.1 200 OK\r\nX-Served-By: a\r\nContent-Length: 2\r\n\r\nhi")), nil, OK, 200},
		{"503", answer(says("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")), nil, ServerError, 503},
		{"404", answer(says("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")), nil, ClientError, 404},
		{"moved", answer(says("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")), nil, Wrong, 302},
		{"from a cache", answer(says("HTTP/1.1 200 OK\r\nAge: 7\r\nContent-Length: 2\r\n\r\nhi")), nil, Stale, 200},
		{"from a fresh cache", answer(says("HTTP/1.1 200 OK\r\nAge: 0\r\nContent-Length: 2\r\n\r\nhi")), nil, OK, 200},
		{"stuck in the middle", answer(func(c net.Conn) { says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")(c); io.Copy(io.Discard, c) }), nil, Stalled, 200},
		{"not HTTP", answer(says("SSH-2.0-hello\r\n\r\n")), nil, Wrong, 0},
		{"cut short", answer(says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhi")), nil, Reset, 200},
		{"closed", closed, nil, Reset, 0},
		{"refused", refused, nil, Refused, 0},
		{"silence", answer(func(c net.Conn) { io.Copy(io.Discard, c) }), nil, Stalled, 0},
		{"no connection", "http://198.51.100.1/", func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }, Timeout, 0},
		{"no route", "http://198.51.100.1/", failing(syscall.EHOSTUNREACH), Unreachable, 0},
		{"no sockets left", "http://198.51.100.1/", failing(syscall.EMFILE), Missed, 0},
		{"no namespace", "http://198.51.100.1/", func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("setns: gone") }, Missed, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, Config{URL: c.url, Dial: c.dial, Timeout: 400 * time.Millisecond})
			var slots []Slot
			until(t, "a request is over", func() bool {
				slots, _ = p.Recent(0, 0)
				slots = slices.DeleteFunc(slots, func(s Slot) bool { return s.Class == Missed && c.class != Missed || s.Class == Slow }) // a busy machine
				return len(slots) > 0
			})
			if s := slots[0]; s.Class != c.class || s.Status != c.status {
				t.Errorf("class %s status %d (%s), want %s %d", s.Class, s.Status, s.Error, c.class, c.status)
			}
		})
	}
}

func failing(errno syscall.Errno) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errno}
	}
}

func TestNothingIsEverSentTwice(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("reuse %v", reuse), func(t *testing.T) {
			var served, opened atomic.Int64
			var broken atomic.Bool
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				served.Add(1)
				if broken.Load() {
					c, _, _ := http.NewResponseController(w).Hijack()
					c.Close()
				}
			}))
			srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					opened.Add(1)
				}
			}
			srv.Start()
			defer srv.Close()
			ctx, cancel := context.WithCancel(context.Background())
			p, err := New(Config{URL: srv.URL + "/", Reuse: reuse, Rate: 200})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { defer close(done); p.Run(ctx) }()
			until(t, "some were served", func() bool { return served.Load() >= 20 })
			if !reuse && opened.Load() < 20 {
				t.Errorf("%d connections for 20 requests, want one each", opened.Load())
			}
			if reuse && opened.Load() >= served.Load() {
				t.Errorf("%d connections for %d requests one after another, want few", opened.Load(), served.Load())
			}
			broken.Store(true)
			until(t, "some failed", func() bool { return p.Summary().Failed >= 10 })
			cancel()
			<-done
			made := int64(0)
			slots, _ := p.Recent(0, 0)
			for _, s := range slots {
				if s.End > s.Start { // else it was never sent
					made++
				}
			}
			if got := served.Load(); got > made {
				t.Errorf("the server saw %d requests, the prober made %d: something was sent twice", got, made)
			}
		})
	}
}

// TestOutagesOfKnownLength switches a service off for known spans and checks
// that each is found, none is invented, and that every bound holds. On a busy
// machine requests overtake each other, so that one span may be seen as several
// outages next to each other.
func TestOutagesOfKnownLength(t *testing.T) {
	var down atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	p := start(t, Config{URL: srv.URL + "/", Rate: 200, Timeout: 20 * time.Second, SlowAfter: 20 * time.Second})
	seen := 0
	settled := func() bool {
		sent := p.Summary().Sent
		until(t, "more was sent", func() bool { return p.Summary().Sent > sent+40 })
		return p.Summary().Outage == nil
	}
	for _, length := range []time.Duration{30 * time.Millisecond, 120 * time.Millisecond, 400 * time.Millisecond, 75 * time.Millisecond} {
		until(t, "the service was up for a while", settled)
		failed := p.Summary().Failed
		from := time.Now()
		down.Store(true)
		earliest := time.Now()
		<-time.After(length) // the fault itself, not a wait for its effect
		// On a busy machine the prober may not have got to run in that time.
		until(t, "a request failed", func() bool { return p.Summary().Failed > failed })
		latest := time.Now()
		down.Store(false)
		to := time.Now()
		until(t, "it is over", settled)
		got := p.Outages(seen)
		if len(got) == 0 {
			t.Fatal("no outage was found")
		}
		first, last := got[0], got[len(got)-1]
		seen = last.ID
		shortest, longest := ms(latest.Sub(earliest)), ms(to.Sub(from))
		if upper := last.After - first.Before; upper < shortest {
			t.Errorf("upper bound %g ms, but the service was down for %g ms at least", upper, shortest)
		}
		for _, o := range got {
			if o.LowerMS > longest || o.LowerMS > o.UpperMS {
				t.Errorf("bounds [%g, %g] ms, but the service was down for %g ms at most", o.LowerMS, o.UpperMS, longest)
			}
			if o.ByClass["503"] != o.Failed {
				t.Errorf("%d failures by class %v", o.Failed, o.ByClass)
			}
			if o.Ended.Before(from) || p.Wall(o.Before).After(to) {
				t.Errorf("an outage from %v to %v was invented: the service was down from %v to %v", o.Began, o.Ended, from, to)
			}
		}
	}
}

func TestChangedTellsOfAnOutage(t *testing.T) {
	var down atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer srv.Close()
	p := start(t, Config{URL: srv.URL + "/"})
	until(t, "the service is up", func() bool { return p.Summary().Up })
	c := p.Changed()
	down.Store(true)
	select {
	case <-c:
	case <-time.After(5 * time.Second):
		t.Fatal("no news of the outage")
	}
	if s := p.Summary(); s.Up || s.Outage == nil || s.OutageMS < 0 {
		t.Errorf("summary %+v, want an open outage", s)
	}
}

func TestConfigRefusesNonsense(t *testing.T) {
	for _, c := range []Config{
		{URL: "https://example.org/"}, {URL: "example.org"}, {URL: "http:///x"}, {URL: ":"},
		{URL: "http://a/", Rate: 0.5}, {URL: "http://a/", Rate: 1001}, {URL: "http://a/", Timeout: time.Millisecond}, {URL: "http://a/", Timeout: time.Minute},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestStoppingTheProberIsNobodysFailure(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	defer srv.Close()
	for range 20 {
		p, err := New(Config{URL: srv.URL + "/", Rate: 1000})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		p.Run(ctx)
		cancel()
		if s := p.Summary(); s.Failed > 0 {
			slots, _ := p.Recent(0, 0)
			t.Fatalf("%d requests failed: %+v", s.Failed, slots[len(slots)-1])
		}
	}
}

package probe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAPathAttributesAnOutageToThePartThatBroke(t *testing.T) {
	var down atomic.Bool
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer pod.Close()
	balancer := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer balancer.Close()
	c := Config{URL: pod.URL + "/", Rate: 100, Timeout: 10 * time.Second, SlowAfter: 10 * time.Second}
	p, err := NewPath(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	for range 2 { // the second time nothing is new
		if err := p.Watch(ctx, Watched{Layer: "pod", Name: "web-1", Machine: "worker-1"}, c); err != nil {
			t.Fatal(err)
		}
	}
	c.URL = balancer.URL + "/"
	if err := p.Watch(ctx, Watched{Layer: "load balancer", Depth: 2, Name: "lb-1", Machine: "lb-1"}, c); err != nil {
		t.Fatal(err)
	}
	if n := len(p.Report().Lanes); n != 3 {
		t.Fatalf("%d lanes, want the service and two parts", n)
	}
	up := func(want bool) func() bool {
		return func() bool {
			lanes := p.Report().Lanes
			return lanes[0].Known && lanes[0].Up == want && lanes[2].Known && lanes[2].Up == want
		}
	}
	until(t, "all are up", up(true))
	down.Store(true)
	until(t, "service and pod are down", up(false))
	down.Store(false)
	until(t, "all are up again", up(true))
	until(t, "it is attributed", func() bool {
		r := p.Report()
		return len(r.Attributions) > 0 && r.Attributions[0].Layer == "pod" && r.Attributions[0].Machine == "worker-1"
	})
	p.Leave(func(layer, _ string) bool { return layer != "pod" })
	sent := p.Report().Lanes[2].Sent
	until(t, "the service was asked further", func() bool { return p.Report().Lanes[0].Sent > sent+20 })
	if now := p.Report().Lanes[2].Sent; now > sent+5 {
		t.Errorf("%d requests to a pod that was left", now-sent)
	}
	cancel()
	running.Wait()
}

package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func get(url string) []Journey { return []Journey{{Steps: []Step{{Name: "get", URL: url}}}} }

func run(t testing.TB, p *Plan) *Result {
	t.Helper()
	r, err := Run(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustThreshold(t testing.TB, metric, text string) Threshold {
	t.Helper()
	th, err := ParseThreshold(metric, text)
	if err != nil {
		t.Fatal(err)
	}
	return th
}

func TestOpenLoopSendsWhatIsDue(t *testing.T) {
	var got atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { got.Add(1); io.WriteString(w, "hello") })
	for _, fresh := range []bool{false, true} {
		got.Store(0)
		r := run(t, &Plan{Journeys: get(url), Open: Constant(500, time.Second), NewConnections: fresh,
			Thresholds: []Threshold{mustThreshold(t, "http_req_failed", "rate==0"), mustThreshold(t, "http_reqs", "count==500")}})
		if r.All.Requests != 500 || got.Load() != 500 || r.All.Status[200] != 500 || r.All.Bytes != 2500 || r.Iterations != 500 {
			t.Errorf("%d requests, %d received, %v, %d bytes; want 500 of 5 bytes", r.All.Requests, got.Load(), r.All.Status, r.All.Bytes)
		}
		for _, th := range r.Thresholds {
			if !th.Holds {
				t.Errorf("%s does not hold: %g", th.Threshold, th.Value)
			}
		}
	}
}

// A server that stalls for a while makes all suffer that come meanwhile, not
// only the one that waits for it (coordinated omission).
func TestAStallIsSeenByAllThatAreDue(t *testing.T) {
	var once sync.Once
	var gate sync.RWMutex
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		once.Do(func() {
			gate.Lock()
			time.AfterFunc(500*time.Millisecond, gate.Unlock)
		})
		gate.RLock()
		defer gate.RUnlock()
	})
	r := run(t, &Plan{Journeys: get(url), Open: Constant(200, time.Second)})
	// Half of the requests are due during the stall, and wait for half of it on
	// the average.
	if r.All.Took.P90 < 350 || r.All.Took.Max < 450 || r.All.Took.Avg < 80 {
		t.Errorf("p90 %.0f ms, max %.0f ms, average %.0f ms: the stall of 500 ms is hidden", r.All.Took.P90, r.All.Took.Max, r.All.Took.Avg)
	}
}

func TestWhatCannotBeSentIsDroppedAndVoidsTheRun(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) { time.Sleep(300 * time.Millisecond) })
	r := run(t, &Plan{Journeys: get(url), Open: Constant(100, 500*time.Millisecond), MaxUsers: 5})
	if r.Dropped < 30 || r.Dropped+r.Iterations != 50 || r.Passed() || !strings.Contains(r.Invalid, "dropped") {
		t.Errorf("%d dropped, %d carried out, invalid %q; want most of 50 dropped and the run void", r.Dropped, r.Iterations, r.Invalid)
	}
	if r.MostUsers != 5 {
		t.Errorf("%d users at once, want 5", r.MostUsers)
	}
}

func TestNoDataIsAFailure(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	r := run(t, &Plan{Journeys: get(url), Open: Constant(0.1, 10*time.Millisecond),
		Thresholds: []Threshold{mustThreshold(t, "checks", "rate>0.5")}})
	if r.Passed() || r.Thresholds[0].Holds {
		t.Errorf("%+v: a threshold without data holds", r.Thresholds)
	}
}

func TestJourneysTakeDataAlong(t *testing.T) {
	var wrong atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/login":
			w.Header().Set("X-Token", "t "+r.URL.Query().Get("n"))
			fmt.Fprintf(w, `{"user":{"ids":[7,%s]}}`, r.URL.Query().Get("n"))
		case "/cart":
			body, _ := io.ReadAll(r.Body)
			if r.Header.Get("Authorization") != "t "+string(body) || r.URL.Query().Get("id") != string(body) {
				wrong.Add(1)
				w.WriteHeader(http.StatusForbidden)
			}
		}
	})
	journey := Journey{Name: "buy", Steps: []Step{
		{Name: "login", URL: url + "/login?n={{iteration}}", Take: []Take{{Name: "id", JSON: "user.ids.1"}, {Name: "token", Header: "x-token"}},
			Checks: []Check{{Status: []int{200}}, {Contains: "ids"}}},
		{Name: "cart", URL: url + "/cart?id={{id}}", Body: "{{id}}", Headers: http.Header{"Authorization": {"{{token}}"}}},
	}}
	r := run(t, &Plan{Journeys: []Journey{journey}, Closed: Constant(4, 300*time.Millisecond)})
	if wrong.Load() > 0 || r.All.Failed > 0 || r.Iterations < 20 || r.Steps[1].Requests != r.Steps[0].Requests {
		t.Errorf("%d wrong, %d failed, %d iterations, steps %d and %d", wrong.Load(), r.All.Failed, r.Iterations, r.Steps[0].Requests, r.Steps[1].Requests)
	}
	if r.MostUsers != 4 || r.Steps[0].Checks != 2*r.Steps[0].Requests {
		t.Errorf("%d users, %d checks of %d logins", r.MostUsers, r.Steps[0].Checks, r.Steps[0].Requests)
	}
}

func TestFailuresAreToldApart(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/503":
			w.WriteHeader(503)
		case "/hang":
			<-r.Context().Done()
		case "/reset":
			c, _, _ := http.NewResponseController(w).Hijack()
			c.Close()
		}
	})
	for path, want := range map[string]string{"/503": "503", "/hang": "timeout", "/reset": "reset"} {
		r := run(t, &Plan{Journeys: get(url + path), Open: Constant(50, 200*time.Millisecond), Timeout: 100 * time.Millisecond})
		n := r.All.Class[want] + r.All.Status[503]
		if n != 10 || r.All.Failed != 10 {
			t.Errorf("%s: %v %v, want 10 %s", path, r.All.Status, r.All.Class, want)
		}
	}
	r := run(t, &Plan{Journeys: get("http://127.0.0.1:1/"), Open: Constant(50, 200*time.Millisecond)})
	if r.All.Class["refused"] != 10 {
		t.Errorf("%v, want 10 refused", r.All.Class)
	}
}

func TestABrokenThresholdAborts(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	th := mustThreshold(t, "http_req_failed", "rate<0.5")
	th.AbortOnFail = true
	begin := time.Now()
	r := run(t, &Plan{Journeys: get(url), Open: Constant(50, time.Minute), Thresholds: []Threshold{th}})
	if time.Since(begin) > 20*time.Second || r.Passed() || !strings.Contains(r.Aborted, "http_req_failed") {
		t.Errorf("after %v: aborted %q", time.Since(begin), r.Aborted)
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for _, p := range []*Plan{
		{Journeys: get(url), Open: Constant(50, time.Minute)},
		{Journeys: get(url), Closed: Constant(3, time.Minute)},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		p.Timeout = time.Second
		begin := time.Now()
		r, err := Run(ctx, p, nil)
		cancel()
		if err != nil || r.Aborted == "" || time.Since(begin) > 5*time.Second {
			t.Errorf("%v after %v: %+v", err, time.Since(begin), r)
		}
	}
}

func TestImpossiblePlansAreRefused(t *testing.T) {
	ok := func() *Plan { return &Plan{Journeys: get("http://h/"), Open: Constant(1, time.Second)} }
	for says, change := range map[string]func(*Plan){
		"either":         func(p *Plan) { p.Closed = Constant(1, time.Second) },
		"no journey":     func(p *Plan) { p.Journeys = nil },
		"want more than": func(p *Plan) { p.Open.Stages[0].For = 0 },
		"url":            func(p *Plan) { p.Journeys = get("ftp://h/") },
		"an earlier":     func(p *Plan) { p.Journeys = get("http://h/{{x}}") },
		"timeout":        func(p *Plan) { p.Timeout = time.Hour },
		"header":         func(p *Plan) { p.Journeys[0].Steps[0].Headers = http.Header{"A": {"b\r\nC: d"}} },
		"no step":        func(p *Plan) { p.Thresholds = []Threshold{{Metric: "http_req_duration{step:x}", Stat: "avg"}} },
	} {
		p := ok()
		change(p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error with %q", err, says)
		}
	}
	if err := ok().Check(); err != nil {
		t.Error(err)
	}
}

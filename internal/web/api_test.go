package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zdl/internal/arena"
	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/probe"
)

// ask makes one request and decodes the answer into out, unless it is nil.
func ask(t *testing.T, c *http.Client, method, url, body string, change func(*http.Request), out any) (int, Error) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(req)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var e Error
	if resp.StatusCode >= 400 {
		if json.Unmarshal(data, &e) != nil || e.Message == "" || e.Hint == "" {
			t.Errorf("%s %s: %d without sentence and hint: %s", method, url, resp.StatusCode, data)
		}
	} else if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			t.Errorf("%s %s: %v in %s", method, url, err, data)
		}
	}
	return resp.StatusCode, e
}

// socket serves the lab on a unix socket, as the owner reaches it.
func (l *lab) socket(t *testing.T) *http.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: l.handler}
	go srv.Serve(ln)
	t.Cleanup(func() { l.end(); srv.Close() })
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestReadsAnswerWithTheEnginesState(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	until(t, "the service is known to be up", func() bool { return l.deps.Probe.Summary().Up })
	var st Status
	if code, _ := ask(t, srv.Client(), "GET", srv.URL+"/api/v1/status", "", nil, &st); code != 200 || st.Name != "test" || !st.Service.Up || st.Nodes.Total != 6 || st.Target.Ready != 3 {
		t.Errorf("status %d %+v", code, st)
	}
	var snap cluster.Snapshot
	if ask(t, srv.Client(), "GET", srv.URL+"/api/v1/snapshot", "", nil, &snap); len(snap.Zones) != 3 || len(snap.TargetPods()) != 3 {
		t.Errorf("snapshot %+v", snap)
	}
	var p ProbeReply
	if ask(t, srv.Client(), "GET", srv.URL+"/api/v1/probe", "", nil, &p); p.Rate != 100 || p.Lane != "new" {
		t.Errorf("probe %+v", p)
	}
	var o []probe.Outage
	if code, _ := ask(t, srv.Client(), "GET", srv.URL+"/api/v1/outages?after=0", "", nil, &o); code != 200 || o == nil {
		t.Errorf("outages %d %v, want an empty list", code, o)
	}
	var a arena.State
	if ask(t, srv.Client(), "GET", srv.URL+"/api/v1/arena", "", nil, &a); len(a.Targets) != 3 || a.Level.Name != "pods" {
		t.Errorf("arena %+v", a)
	}
	for path, want := range map[string]int{"/api/v1/timeline?limit=5": 200, "/api/v1/timeline?since=x": 400, "/api/v1/outages?after=-1": 400, "/api/v1/nothing": 404, "/nothing": 404} {
		resp, err := srv.Client().Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestHitsAndTheirRefusals(t *testing.T) {
	l := newLab(t, 100*time.Millisecond)
	srv := l.serve(t)
	ada := l.visitor(t, srv, "")
	snap := l.cluster.Snapshot()
	pod := podTarget(&snap.TargetPods()[0])
	hit := func(c *http.Client, body string) (arena.HitResult, int, Error) {
		var r arena.HitResult
		code, e := ask(t, c, "POST", srv.URL+"/api/v1/hit", body, nil, &r)
		return r, code, e
	}
	r, code, _ := hit(ada, `{"target":"`+pod+`","visitor":"Ada"}`)
	if code != 200 || r.Health != 90 || r.Target != pod {
		t.Errorf("hit: %d %+v", code, r)
	}
	if s := l.game.State(); len(s.Players) != 1 || s.Players[0].Name != "Ada" {
		t.Errorf("players %+v", s.Players)
	}
	for body, want := range map[string]int{
		`{"target":"nobody"}`: 404, `{}`: 400, `{"target":""}`: 400, `[]`: 400, ``: 400, `{"target":"a","power":9}`: 400, `{"target":"a"}{"target":"b"}`: 400,
		`{"target":"` + strings.Repeat("x", 5000) + `"}`: 413, `{"target":7}`: 400, `{"target":"` + pod + `","weapon":"meteor"}`: 400,
	} {
		if _, code, e := hit(srv.Client(), body); code != want {
			t.Errorf("%.40s: %d %+v, want %d", body, code, e, want)
		}
	}
	tooFast := 0
	for range 20 {
		if _, code, _ := hit(ada, `{"target":"`+pod+`"}`); code == 429 {
			tooFast++
		}
	}
	if tooFast == 0 {
		t.Error("twenty hits at once were all taken")
	}
	friend := l.visitor(t, srv, "")
	for range 8 {
		if r, _, _ := hit(friend, `{"target":"`+pod+`"}`); r.Struck {
			break
		}
	}
	if len(l.cluster.deleted) != 1 || podTarget(&cluster.Pod{Namespace: "web", UID: l.cluster.deleted[0]}) != pod {
		t.Errorf("deleted %v, want exactly %s", l.cluster.deleted, pod)
	}
}

func TestAStrikeThatCannotBeMadeIsToldHonestly(t *testing.T) {
	l := newLab(t, time.Second)
	l.game.fail = arena.ErrFailed
	c := l.socket(t)
	snap := l.cluster.Snapshot()
	pod := podTarget(&snap.TargetPods()[0])
	var last Error
	for i := range 12 {
		body := `{"target":"` + pod + `","visitor":"` + string(rune('a'+i)) + `"}` // the owner plays under any name
		if code, e := ask(t, c, "POST", "http://zdl/api/v1/hit", body, nil, nil); code == 503 {
			last = e
		}
	}
	if !strings.Contains(last.Message, "could not be made") || !strings.Contains(last.Hint, "API server") {
		t.Errorf("it says %+v", last)
	}
	if len(l.cluster.deleted) > 0 {
		t.Error("the pod is gone")
	}
}

func TestVisitorsAreNotOwners(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/v1/attacks", `{"kind":"pod-kill","target":"any"}`},
		{"POST", "/api/v1/attacks/f1/heal", `{}`},
		{"POST", "/api/v1/heal", `{}`},
		{"POST", "/api/v1/nodes/worker-1/power", `{"on":false}`},
		{"GET", "/api/v1/kubeconfig", ""},
	} {
		if code, _ := ask(t, srv.Client(), c.method, srv.URL+c.path, c.body, nil, nil); code != 403 {
			t.Errorf("%s %s over TCP: %d, want 403", c.method, c.path, code)
		}
	}
	if len(l.cluster.deleted)+len(l.power.did)+len(l.faults.asked) != 0 {
		t.Error("something was done all the same")
	}
}

func TestTheOwnerMayDoMore(t *testing.T) {
	l := newLab(t, 50*time.Millisecond)
	c := l.socket(t)
	const base = "http://zdl/api/v1"
	var a fault.Attack
	if code, e := ask(t, c, "POST", base+"/attacks", `{"kind":"pod-kill","target":"any","for":1000000000,"params":{"grace":"0s"}}`, nil, &a); code != 200 || a.ID != "f1" || a.For != time.Second {
		t.Errorf("attack: %d %+v %+v", code, a, e)
	}
	for body, want := range map[string]int{`{"kind":"meteor"}`: 422, `{"kind":"stuck"}`: 500, `{"kind":"pod-kill","power":9}`: 400, `[]`: 400} {
		if code, e := ask(t, c, "POST", base+"/attacks", body, nil, nil); code != want {
			t.Errorf("%s: %d %+v, want %d", body, code, e, want)
		}
	}
	for path, want := range map[string]int{"/attacks/f1/heal": 200, "/attacks/f99/heal": 422, "/heal": 200} {
		if code, e := ask(t, c, "POST", base+path, `{}`, nil, nil); code != want {
			t.Errorf("%s: %d %+v, want %d", path, code, e, want)
		}
	}
	for path, want := range map[string]int{"/attacks": 200, "/attacks/f1": 200, "/attacks/f99": 404, "/faults": 200, "/faults/pod-kill": 200, "/faults/meteor": 422, "/openapi.yaml": 200} {
		resp, err := c.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestAPowerSwitchIsAFaultUntilItIsSwitchedOn(t *testing.T) {
	l := newLab(t, 50*time.Millisecond)
	c := l.socket(t)
	const base = "http://zdl/api/v1"
	var p PowerReply
	if code, _ := ask(t, c, "POST", base+"/nodes/worker-1/power", `{"on":false}`, nil, &p); code != 200 || p.On || p.Node != "worker-1" {
		t.Errorf("power off: %d %+v", code, p)
	}
	for path, want := range map[string]int{"/nodes/nobody/power": 404} {
		if code, _ := ask(t, c, "POST", base+path, `{"on":true}`, nil, nil); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	if code, _ := ask(t, c, "POST", base+"/nodes/worker-1/power", `{}`, nil, nil); code != 400 {
		t.Errorf("power without on: %d, want 400", code)
	}
	if code, _ := ask(t, c, "POST", base+"/nodes/worker-1/power", `{"on":false}`, nil, &p); code != 200 || p.Attack != "f1" || len(l.faults.asked) != 1 {
		t.Errorf("power off again: %d %+v, asked %v", code, p, l.faults.asked)
	}
	if code, _ := ask(t, c, "POST", base+"/nodes/worker-1/power", `{"on":true}`, nil, &p); code != 200 || !p.On {
		t.Errorf("power on: %d %+v", code, p)
	}
	if got := strings.Join(append(l.faults.asked, l.power.did...), ", "); got != "node-power-off worker-1, heal f1, on worker-1" {
		t.Errorf("did %q", got)
	}
	l.faults.Attack(t.Context(), fault.Request{Kind: "zone-power-off", Target: "worker-1"})
	if code, e := ask(t, c, "POST", base+"/nodes/worker-1/power", `{"on":true}`, nil, nil); code != 409 || !strings.Contains(e.Hint, "zdl heal f2") {
		t.Errorf("power on of a zone's machine: %d %+v", code, e)
	}
	l.faults.HealAll(t.Context())
	l.power.fail = errors.New("stuck")
	if code, e := ask(t, c, "POST", base+"/nodes/worker-1/power", `{"on":true}`, nil, nil); code != 500 || !strings.Contains(e.Message, "stuck") {
		t.Errorf("failing power: %d %+v", code, e)
	}
}

func TestTheKubeconfigIsTheOwners(t *testing.T) {
	l := newLab(t, 50*time.Millisecond)
	c := l.socket(t)
	const base = "http://zdl/api/v1"
	resp, err := c.Get(base + "/kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "kind: Config\n" {
		t.Errorf("kubeconfig %q", body)
	}
}

func TestForeignSitesAreKeptOut(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	hit := func(change func(*http.Request)) int {
		code, _ := ask(t, srv.Client(), "POST", srv.URL+"/api/v1/hit", `{"target":"nobody"}`, change, nil)
		return code
	}
	header := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"as usual":              {nil, 404},
		"rebound name":          {func(r *http.Request) { r.Host = "evil.example:8420" }, 421},
		"localhost":             {func(r *http.Request) { r.Host = "localhost:8420" }, 404},
		"IPv6 loopback":         {func(r *http.Request) { r.Host = "[::1]:8420" }, 404},
		"no host":               {func(r *http.Request) { r.Host = "-" }, 421},
		"foreign origin":        {header("Origin", "http://evil.example"), 403},
		"null origin":           {header("Origin", "null"), 403},
		"foreign site":          {header("Sec-Fetch-Site", "cross-site"), 403},
		"other port, same site": {header("Sec-Fetch-Site", "same-site"), 403},
		"a form":                {header("Content-Type", "text/plain"), 415},
		"own origin":            {header("Origin", srv.URL), 404},
	} {
		if got := hit(c.change); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if code, _ := ask(t, srv.Client(), "GET", srv.URL+"/api/v1/events", "", header("Sec-Fetch-Site", "cross-site"), nil); code != 403 {
		t.Errorf("an event stream for a foreign page: %d, want 403", code)
	}
}

func TestThePageAsksNobodyElse(t *testing.T) {
	l := newLab(t, time.Second)
	rec := httptest.NewRecorder()
	l.handler.ServeHTTP(rec, httptest.NewRequest("GET", "http://localhost/", nil))
	if csp := rec.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("content security policy %q", csp)
	}
	for k, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-cache"} {
		if got := rec.Header().Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
}

// stream reads events until f is content.
func stream(t *testing.T, c *http.Client, url string, f func(event string, data []byte) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s := bufio.NewScanner(resp.Body)
	s.Buffer(nil, 4<<20)
	event := ""
	for s.Scan() {
		if e, ok := strings.CutPrefix(s.Text(), "event: "); ok {
			event = e
		}
		if d, ok := strings.CutPrefix(s.Text(), "data: "); ok && f(event, []byte(d)) {
			return
		}
	}
	t.Fatalf("the stream ended: %v", s.Err())
}

func TestTheStreamTellsEveryRequestOnce(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	kinds := map[string]int{}
	seen := map[int64]bool{}
	doubled := 0
	first := true
	stream(t, srv.Client(), srv.URL+"/api/v1/events", func(event string, data []byte) bool {
		kinds[event]++
		if event != "probe" {
			return false
		}
		var p ProbeEvent
		if err := json.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Slots {
			if seen[s.Seq] && !first {
				doubled++
			}
			seen[s.Seq] = true
		}
		first = false
		return len(seen) > 150
	})
	for _, k := range []string{"status", "snapshot", "arena", "timeline", "attacks"} {
		if kinds[k] == 0 {
			t.Errorf("no %s event at the start", k)
		}
	}
	var low, high int64 = 1 << 62, 0
	for seq := range seen {
		low, high = min(low, seq), max(high, seq)
	}
	if missing := high - low + 1 - int64(len(seen)); missing > 5 {
		t.Errorf("%d of %d requests were not told", missing, high-low+1)
	}
	if doubled > 15 { // at most what completed between the greeting and the next tick
		t.Errorf("%d requests were told twice", doubled)
	}
}

func TestStreamsEndWithTheServer(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	resp, err := srv.Client().Get(srv.URL + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	l.end()
	done := make(chan struct{})
	go func() { io.Copy(io.Discard, resp.Body); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("the stream goes on")
	}
}

func TestTheStreamTellsWhatIsBroken(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	begun := false
	stream(t, srv.Client(), srv.URL+"/api/v1/events", func(event string, data []byte) bool {
		var now []fault.Attack
		if event != "attacks" {
			return false
		}
		if err := json.Unmarshal(data, &now); err != nil || now == nil {
			t.Fatalf("%v in %s", err, data)
		}
		if !begun {
			begun = true
			l.faults.Attack(t.Context(), fault.Request{Kind: "pod-kill", Target: "any"})
			return false
		}
		return len(now) == 1 && now[0].Kind == "pod-kill"
	})
}

func TestOnlyTheLatestOfWhatIsOverIsStreamed(t *testing.T) {
	var all []fault.Attack
	for i := range 50 {
		a := fault.Attack{Number: i, State: fault.Undone}
		if i == 3 {
			a.State = fault.Active
		}
		all = append(all, a)
	}
	got := recent(all)
	if len(got) != recentOver+1 || got[0].Number != 3 || got[1].Number != 30 || got[recentOver].Number != 49 {
		t.Errorf("%d attacks: %+v", len(got), got)
	}
}

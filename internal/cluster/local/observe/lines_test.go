package observe

import (
	"strings"
	"testing"
)

// The lines below are from a real lab.

func TestSkippersRoutesTakeEffectWhenTheyAreApplied(t *testing.T) {
	r := NewRoutes("web")
	var got []string
	for _, line := range strings.Split(`2026-11-21T13:07:44.796426017Z stderr F [APP]time="2026-11-21T13:07:44Z" level=info msg="diff taken, inserts/updates: 1, deletes: 0"
2026-11-21T13:07:44.796940151Z stderr F [APP]time="2026-11-21T13:07:44Z" level=info msg="route settings, update, route: kube_web__web_______web: PathSubtree(\"/\") -> status(502) -> inlineContent(\"no endpoints\") -> <shunt>"
2026-11-21T13:07:44.79694607Z stderr F [APP]time="2026-11-21T13:07:44Z" level=info msg="route settings received, id: 7"
2026-11-21T13:07:44.79735646Z stderr F [APP]time="2026-11-21T13:07:44Z" level=info msg="route settings applied, id: 7"
2026-11-21T13:07:45.543317284Z stderr F [APP]time="2026-11-21T13:07:45Z" level=info msg="route settings, update, route: kube_web__web_______web: PathSubtree(\"/\") -> <roundRobin, \"http://198.19.5.5:8080\", \"http://198.19.6.3:8080\">"
2026-11-21T13:07:45.543324034Z stderr F [APP]time="2026-11-21T13:07:45Z" level=info msg="route settings applied, id: 8"
2026-11-21T13:07:46.524448873Z stderr F [APP]time="2026-11-21T13:07:46Z" level=info msg="route settings, update, route: kube_shop__cart_______cart: PathSubtree(\"/\") -> \"http://198.19.4.4:8080\""
2026-11-21T13:07:46.524456133Z stderr F [APP]time="2026-11-21T13:07:46Z" level=info msg="route settings applied, id: 9"
2026-11-21T13:07:47.1Z stderr F [APP]time="2026-11-21T13:07:47Z" level=info msg="route settings, update, deleted id: kube_web__web_______web"
2026-11-21T13:07:47.2Z stderr F [APP]time="2026-11-21T13:07:47Z" level=info msg="route settings applied, id: 10"
`, "\n") {
		if endpoints, at, ok := r.Line(line); ok {
			got = append(got, at.Format("05.000")+" "+strings.Join(endpoints, ","))
		}
	}
	if g := strings.Join(got, "; "); g != "44.797 ; 45.543 198.19.5.5,198.19.6.3; 47.200 " {
		t.Errorf("got %q", g)
	}
}

func TestHAProxysVerdicts(t *testing.T) {
	for line, want := range map[string]Verdict{
		`Server apiservers/cp-2 is UP. 2 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.`: {"apiservers", "cp-2", "up", ""},
		`Server ingress/worker-1 is DOWN, reason: Layer4 timeout, check duration: 2001ms. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.`: {
			"ingress", "worker-1", "down", "Layer4 timeout"},
		`Health check for server apiservers/cp-3 failed, reason: Layer7 wrong status, code: 500, info: "Internal Server Error", check duration: 4ms, status: 1/2 UP.`: {
			"apiservers", "cp-3", "failing", `Layer7 wrong status, code: 500, info: "Internal Server Error"`},
		`Health check for server apiservers/cp-3 succeeded, reason: Layer7 check passed, code: 200, check duration: 4ms, status: 2/2 UP.`:  {},
		`[WARNING]  (13) : Server apiservers/cp-3 is UP. 3 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.`:     {},
		`198.18.254.10:32472 [21/Nov/2026:13:07:45.460] users ingress/worker-1 0/0/0/1/1 503 162 - - ---- 27/1/0/0/0 0/0 "GET / HTTP/1.1"`: {},
	} {
		if got, ok := HAProxyLine(line); got != want || ok != (want.Backend != "") {
			t.Errorf("%s\ngot %+v %v, want %+v", line, got, ok, want)
		}
	}
}

func TestStepsOfAnElection(t *testing.T) {
	for line, want := range map[string]string{
		`2026-11-21T13:05:16.950672331Z stderr F {"level":"info","ts":"2026-11-21T13:05:16.950647Z","logger":"raft","caller":"v3@v3.7.0/raft.go:970","msg":"592ebbf69f86d32e became leader at term 2"}`:                              "leader 2",
		`2026-11-21T13:05:16.950773101Z stderr F {"level":"info","ts":"2026-11-21T13:05:16.950742Z","logger":"raft","caller":"v3@v3.7.0/node.go:370","msg":"raft.node: 592ebbf69f86d32e elected leader 592ebbf69f86d32e at term 2"}`: "",
		`2026-11-21T13:05:16.950773101Z stderr F {"level":"info","ts":"2026-11-21T13:05:16.950742Z","logger":"raft","caller":"v3@v3.7.0/node.go:377","msg":"raft.node: 592ebbf69f86d32e lost leader 3feb6c1b7935c88b at term 3"}`:    "lost 3",
		`2026-11-21T13:05:16.950773101Z stderr F {"level":"info","ts":"2026-11-21T13:05:16.950742Z","logger":"raft","caller":"v3@v3.7.0/raft.go:1105","msg":"592ebbf69f86d32e is starting a new election at term 2"}`:                "election 2",
		`2026-11-21T13:07:07.621515928Z stderr F {"level":"info","ts":"2026-11-21T13:07:07.621421Z","caller":"traceutil/trace.go:195","msg":"trace","detail":"became leader at term 2"}`:                                             "",
		`became leader at term 2`: "",
	} {
		got := ""
		if r, ok := EtcdLine(line); ok {
			got = r.Step + " " + r.Term
			if r.At.Second() != 16 {
				t.Errorf("at %v", r.At)
			}
		}
		if got != want {
			t.Errorf("%s\ngot %q, want %q", line, got, want)
		}
	}
}

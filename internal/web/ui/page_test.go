package ui_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"zdl/internal/web/ui"
	"zdl/internal/web/ui/fixture"
	"zdl/test/browser"
)

func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }

// show opens the page with a made-up lab, on a laptop.
func show(t *testing.T, l *fixture.Lab) *browser.Page {
	t.Helper()
	srv := httptest.NewServer(l.Handler(ui.Files()))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	p := browser.Open(t)
	p.Visit(srv.URL, 1280, 800)
	p.Wait("the stage stands", `document.querySelector("#stage") && document.querySelector("#state").dataset.state !== "unknown"`)
	return p
}

func moment(t *testing.T, l *fixture.Lab, name string) *fixture.Lab {
	t.Helper()
	if err := l.Show(name); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestThePageShowsWhatTheLabSays(t *testing.T) {
	l := moment(t, fixture.HA(), "playing")
	l.Owner = true
	p := show(t, l)
	p.Wait("some seconds of answers are drawn", `/ [5-9]\d\d requests, 0 failed/.test(document.querySelector("#strip").getAttribute("aria-label")) || /1,?\d\d\d requests, 0 failed/.test(document.querySelector("#strip").getAttribute("aria-label"))`)
	for _, c := range []struct{ what, where, want string }{
		{"who answered", "#state-detail", "200 OK from web-"},
		{"the word", "#state .word", "Up"},
		{"percentiles", "#figures", "p99"},
		{"no failure", "#failures", "No request has failed"},
		{"the question", ".question", "Three replicas"},
		{"the phase", "#phase", "Playing"},
		{"who watches", "#watching", "You are watching with 3 others"},
		{"the timeline", "#timeline", "Grace killed web-"},
		{"hits and strikes", ".tally", "23 hits · 1 strike"},
		{"the holder of the virtual IP", `[data-machine="lb-1"]`, "holds users' IP + API IP"},
		{"the standby", `[data-machine="lb-2"]`, "standby"},
	} {
		if got := p.Text(c.where); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s says %q, want %q", c.what, c.where, got, c.want)
		}
	}
	if n := browser.JS[int](p, `document.querySelectorAll(".zone[data-zone]").length`); n != 3 {
		t.Errorf("%d zones, want 3", n)
	}
	if n := browser.JS[int](p, `document.querySelectorAll("[data-node]").length`); n != 6 {
		t.Errorf("%d nodes, want 6", n)
	}
	// Leaders are told in words, for those who do not see the mark.
	for _, name := range []string{"etcd-cp-2", "kube-scheduler-cp-1", "kube-controller-manager-cp-3"} {
		label := browser.JS[string](p, fmt.Sprintf(`document.querySelector('[data-tile="%s"]')?.getAttribute("aria-label") ?? "(no tile)"`, name))
		if !strings.Contains(label, "leader") {
			t.Errorf("the label of %s is %q, want it to be a leader", name, label)
		}
	}
	if n := browser.JS[int](p, `[...document.querySelectorAll('[data-tile^="etcd-"]')].filter((e) => /leader/.test(e.ariaLabel ?? e.getAttribute("aria-label"))).length`); n != 1 {
		t.Errorf("%d leaders of etcd, want 1", n)
	}
	p.Shot("page-1-playing")
	p.Quiet()
}

func TestEveryTargetIsAButtonWithAName(t *testing.T) {
	for _, c := range []struct {
		name string
		lab  *fixture.Lab
	}{{"ready", fixture.HA()}, {"edge", fixture.HA()}, {"zones", fixture.HA()}, {"free", fixture.Shop()}} {
		t.Run(c.name, func(t *testing.T) {
			l := moment(t, c.lab, c.name)
			p := show(t, l)
			got := browser.JS[map[string]string](p, `Object.fromEntries([...document.querySelectorAll("[data-target][role=button]")].map((e) => [e.dataset.target, e.getAttribute("aria-label")]))`)
			for _, target := range l.Arena.Targets {
				if label := got[target.ID]; !strings.Contains(label, "health 100 of 100") {
					t.Errorf("the button of %s has the name %q", target.ID, label)
				}
			}
			if len(got) != len(l.Arena.Targets) {
				t.Errorf("%d buttons, want %d", len(got), len(l.Arena.Targets))
			}
			p.Shot("page-targets-" + c.name)
			p.Quiet()
		})
	}
}

// What stands on the stage stands apart, within its node, and on the screen.
const misplaced = `(() => {
	const out = [];
	const box = (e) => e.getBoundingClientRect();
	const inside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
	const apart = (a, b) => a.right <= b.left + 0.5 || b.right <= a.left + 0.5 || a.bottom <= b.top + 0.5 || b.bottom <= a.top + 0.5;
	const name = (e) => e.getAttribute("aria-label") ?? e.dataset.node ?? e.dataset.machine;
	const nodes = [...document.querySelectorAll(".node, .machine")];
	const frames = nodes.map((n) => box(n.querySelector(":scope > .box")));
	frames.forEach((a, i) => frames.forEach((b, k) => { if (i < k && !apart(a, b)) out.push(name(nodes[i]) + " overlaps " + name(nodes[k])); }));
	nodes.forEach((n, i) => {
		const tiles = [...n.querySelectorAll(".tile")].map((t) => [t, box(t.querySelector(".body"))]);
		tiles.forEach(([t, a], j) => {
			if (!inside(a, frames[i])) out.push(name(t) + " is not within " + name(n));
			if (a.width < 60 || a.height < 30) out.push(name(t) + " is too small: " + a.width + " by " + a.height);
			tiles.forEach(([u, b], k) => { if (j < k && !apart(a, b)) out.push(name(t) + " overlaps " + name(u)); });
		});
		for (const text of n.querySelectorAll("text")) if (!inside(box(text), { ...frames[i].toJSON(), top: 0, bottom: 1e6 })) out.push("the text " + text.textContent + " leaves " + name(n));
	});
	if (document.documentElement.scrollWidth > innerWidth) out.push("the page is wider than the screen: " + document.documentElement.scrollWidth);
	return out;
})()`

func TestElevenNodesAndSixtyPodsFitALaptopAndAPhone(t *testing.T) {
	for _, name := range []string{"playing", "broken", "free", "edge"} {
		t.Run(name, func(t *testing.T) {
			l := moment(t, fixture.Shop(), name)
			pods := len(l.Snapshot.System) + len(l.Snapshot.TargetPods())
			if nodes := len(l.Snapshot.Nodes()); nodes != 11 || pods < 60 {
				t.Fatalf("the fixture has %d nodes and %d pods", nodes, pods)
			}
			p := show(t, l)
			for _, s := range browser.JS[[]string](p, misplaced) {
				t.Errorf("laptop: %s", s)
			}
			if name != "free" {
				if h := browser.JS[float64](p, `document.querySelector("#stage").getBoundingClientRect().bottom`); h > 800 {
					t.Errorf("the stage ends at %.0f of 800 pixels", h)
				}
			}
			p.Shot("page-shop-" + name)
			p.Phone(390, 844)
			p.Wait("the stage is that of a phone", `document.querySelector("#stage").getBoundingClientRect().width <= 390`)
			for _, s := range browser.JS[[]string](p, misplaced) {
				t.Errorf("phone: %s", s)
			}
			if n := browser.JS[int](p, `[...document.querySelectorAll(".tile.target .body")].filter((e) => e.getBoundingClientRect().height < 44).length`); n > 0 {
				t.Errorf("%d targets are too small for a finger", n)
			}
			p.Quiet()
		})
	}
}

func TestWhatIsBrokenIsToldInWordsAndShapes(t *testing.T) {
	p := show(t, moment(t, fixture.HA(), "broken"))
	for _, c := range []struct{ what, sel, state, says string }{
		{"a node without power", `[data-node="worker-1"]`, "off", "no power"},
		{"a frozen node", `[data-node="worker-2"]`, "frozen", "frozen"},
		{"a node that is cut off", `[data-node="cp-2"]`, "cut", "cut off"},
		{"a cordoned node", `[data-node="worker-3"]`, "closed", "cordoned"},
		{"a load balancer without power", `[data-machine="lb-1"]`, "off", "no power"},
		{"a pod in a crash loop", `[data-node="worker-3"] .tile[data-role="web"]`, "hurt", "crash loop"},
	} {
		if got := browser.JS[string](p, fmt.Sprintf("document.querySelector('%s')?.dataset.state ?? 'nowhere'", c.sel)); got != c.state {
			t.Errorf("%s has the state %q, want %q", c.what, got, c.state)
		}
		if got := p.Text(c.sel); !strings.Contains(got, c.says) {
			t.Errorf("%s says %q, want %q", c.what, got, c.says)
		}
		if n := browser.JS[int](p, fmt.Sprintf("document.querySelectorAll('%s .mark.%s').length", c.sel, c.state)); n == 0 {
			t.Errorf("%s has no mark of its state", c.what)
		}
	}
	if got := browser.JS[string](p, `document.querySelector('.wire[data-state="dead"]')?.dataset.state ?? "none"`); got != "dead" {
		t.Error("no line is dead")
	}
	p.Click("#tab-faults")
	for _, want := range []string{"node-power-off", "on worker-1 by Ada: proven, after 84 ms", "no process of the machine is left", "pod-kill"} {
		if got := p.Text("#faults"); !strings.Contains(got, want) {
			t.Errorf("the faults say %q, want %q", got, want)
		}
	}
	p.Shot("page-2-broken")
	p.Prefer("prefers-color-scheme", "dark")
	p.Shot("page-3-broken-dark")
	p.Quiet()
}

package web

import (
	"strings"
	"testing"
	"time"

	"zdl/test/browser"
)

// hitHealthiest clicks on the pod with the most health, so that all grow weak
// together.
const hitHealthiest = `(() => {
	const pods = [...document.querySelectorAll('[data-target^="pod/"][data-state="ready"]:not([aria-disabled])')];
	pods.sort((a, b) => b.dataset.health - a.dataset.health);
	pods[0]?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
	return pods.length;
})()`

// The page and this server understand each other: what the page shows is what
// the engine says, and what it sends does something. The page's own tests, with
// every state there is, are in ui.
func TestThePagePlaysThroughThisServer(t *testing.T) {
	l := newLab(t, 2500*time.Millisecond)
	srv := l.serve(t)
	p := browser.Open(t)
	p.Visit(srv.URL, 1280, 800)
	p.Wait("three pods are shown and the service is up",
		`document.querySelectorAll('.tile[data-role="web"][data-state="ready"][data-target]').length === 3 && document.querySelector("#state").dataset.state === "up"`)
	if s := p.Text("#state-detail"); !strings.Contains(s, "200 OK from web-") {
		t.Errorf("state says %q, want the status and who answered", s)
	}
	p.Wait("a name was given", `document.querySelector("#name").value !== ""`)
	pace := time.NewTicker(140 * time.Millisecond) // below the eight a second that count
	defer pace.Stop()
	down := `document.querySelector("#state").dataset.state === "down"`
	for deadline := time.Now().Add(time.Minute); !browser.JS[bool](p, down); <-pace.C {
		if time.Now().After(deadline) {
			p.Shot("web-not-down")
			t.Fatal("a minute of hits did not bring the service down")
		}
		browser.JS[int](p, hitHealthiest)
	}
	p.Wait("the failures are named", `/503/.test(document.querySelector("#failures").textContent)`)
	p.Wait("the service is up again", `document.querySelector("#state").dataset.state === "up"`)
	p.Click("#tab-outages")
	p.Wait("the outage is on record", `/503 × /.test(document.querySelector("#outages li[data-id]")?.textContent)`)
	if outages := l.deps.Probe.Outages(0); len(outages) == 0 || outages[0].ByClass["503"] == 0 {
		t.Errorf("the prober measured %+v, want an outage of 503s", outages)
	}
	for _, c := range p.Complaints() {
		if !strings.Contains(c, "40") && !strings.Contains(c, "429") { // a hit on a pod that was just killed
			t.Errorf("console: %s", c)
		}
	}
}

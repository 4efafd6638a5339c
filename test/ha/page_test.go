package ha

import (
	"os"
	"testing"
	"time"

	"zdl/test/browser"
)

// hitHealthiest clicks on the pod with the most health, so that all grow weak
// together and the last hits kill them in quick succession: replacements take
// seconds. It returns how many pods can be hit.
const hitHealthiest = `(() => {
  const pods = [...document.querySelectorAll('[data-target^="pod/"][data-state="ready"]:not([aria-disabled])')];
  pods.sort((a, b) => b.dataset.health - a.dataset.health);
  pods[0]?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  return pods.length;
})()`

// A newcomer's first minute, in a real browser on the real cluster: look, hit,
// see the service go down for real, and come back.
func TestAVisitorBringsTheServiceDownInTheBrowser(t *testing.T) {
	l := lab(t)
	p := browser.Open(t)
	p.Visit(l.Info.Page, 1280, 800)
	p.Wait("three zones, six nodes, three ready pods and a service that is up", `
		document.querySelectorAll(".zone[data-zone]").length === 3 && document.querySelectorAll("[data-node]").length === 6 &&
		document.querySelectorAll('.tile[data-role="web"][data-state="ready"]').length === 3 && document.querySelector("#state").dataset.state === "up"`)
	p.Wait("the strip fills with answers", `/ [2-9]\d\d+ requests|,\d\d\d requests/.test(document.querySelector("#strip").getAttribute("aria-label"))`)
	p.Shot("real-up")

	down := `document.querySelector("#state").dataset.state === "down"`
	hits := time.NewTicker(140 * time.Millisecond) // below the eight a second that count
	defer hits.Stop()
	for deadline := time.Now().Add(60 * time.Second); !browser.JS[bool](p, down); <-hits.C {
		if time.Now().After(deadline) {
			p.Shot("real-not-down")
			t.Fatal("a minute of hits did not bring the service down")
		}
		browser.JS[int](p, hitHealthiest)
	}
	p.Wait("the page says what users get", `/503/.test(document.querySelector("#failures").textContent)`)
	p.Shot("real-down")
	if os.Getenv("ZDL_UPDATE") != "" {
		p.Picture("../../docs/arena.png") // the one in the README
	}
	p.Wait("the service is up again by itself", `document.querySelector("#state").dataset.state === "up"`)
	p.Wait("the end screen tells the outage with its length", `/Brought down/.test(document.querySelector("#end")?.textContent) && /\d ms/.test(document.querySelector("#end").textContent)`)
	p.Shot("real-end")
	p.Click("#end .close")
	p.Click("#tab-outages")
	p.Wait("the outage is on record", `[...document.querySelectorAll("#outages li[data-id]")].some((li) => /\d ms/.test(li.textContent) && /503/.test(li.textContent))`)
	p.Wait("three pods are ready again", `document.querySelectorAll('.tile[data-role="web"][data-state="ready"]').length === 3`)
	p.Shot("real-recovered")
}

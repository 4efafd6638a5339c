package ui_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"zdl/internal/arena"
	"zdl/internal/probe"
	"zdl/internal/web/ui/fixture"
	"zdl/test/browser"
)

const focused = `document.activeElement?.getAttribute("data-target") ?? ""`

func hits(l *fixture.Lab) (out []string) {
	for _, p := range l.Posts() {
		if p.Path == "hit" {
			out = append(out, p.Body)
		}
	}
	return out
}

func TestTheKeyboardPlays(t *testing.T) {
	l := fixture.HA()
	l.FreePlay()
	p := show(t, l)
	place := func(id string) [2]float64 {
		return browser.JS[[2]float64](p, fmt.Sprintf(`(() => { const r = document.querySelector('[data-target="%s"]').getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; })()`, id))
	}
	p.Key(kb.ArrowRight)
	p.Wait("a target has the focus", focused)
	// Arrows lead where they point to, and each way there is a way back.
	for _, c := range []struct {
		key  string
		axis int
		sign float64
	}{{kb.ArrowDown, 1, 1}, {kb.ArrowDown, 1, 1}, {kb.ArrowDown, 1, 1}, {kb.ArrowRight, 0, 1}, {kb.ArrowRight, 0, 1}, {kb.ArrowUp, 1, -1}, {kb.ArrowLeft, 0, -1}} {
		before := browser.JS[string](p, focused)
		from := place(before)
		p.Key(c.key)
		p.Wait("the focus moves", fmt.Sprintf("(%s) !== %q", focused, before))
		to := place(browser.JS[string](p, focused))
		if (to[c.axis]-from[c.axis])*c.sign <= 0 {
			t.Errorf("%q led from %v to %v", c.key, from, to)
		}
	}
	// There is one stop for Tab in the whole stage.
	if n := browser.JS[int](p, `document.querySelectorAll('#stage [tabindex="0"]').length`); n != 1 {
		t.Errorf("%d stops for Tab, want 1", n)
	}
	id := browser.JS[string](p, focused)
	before := l.TargetOf(id).Health
	p.Key(" ")
	p.Wait("the hit shows", fmt.Sprintf(`document.querySelector('[data-target="%s"]').dataset.health === "%.0f"`, id, before-10))
	time.Sleep(100 * time.Millisecond) // within 60 ms it would be a key that bounces
	p.Key("\r")
	p.Wait("so does the next", fmt.Sprintf(`document.querySelector('[data-target="%s"]').dataset.health === "%.0f"`, id, before-20))
	if got := hits(l); len(got) != 2 || !strings.Contains(got[0], id) || !strings.Contains(got[0], `"weapon"`) && !strings.Contains(got[0], `"target"`) {
		t.Errorf("hits sent: %q", got)
	}
	p.Key("h")
	p.Wait("healing what nothing holds is answered", `/Nothing holds/.test(document.querySelector("#message").textContent)`)
	for _, c := range [][2]string{{"?", "help"}, {"l", "levels"}} {
		p.Key(c[0])
		p.Wait(c[1]+" opens", fmt.Sprintf(`document.querySelector("dialog#%s")?.open`, c[1]))
		p.Key(kb.Escape)
		p.Wait(c[1]+" closes", `!document.querySelector("dialog")`)
		if got := browser.JS[string](p, focused); got != id {
			t.Errorf("after %s the focus is on %q, want it back on %q", c[1], got, id)
		}
	}
	p.Quiet()
}

func TestDigitsTakeAWeaponAndHitsNameIt(t *testing.T) {
	l := fixture.HA()
	p := show(t, l)
	p.Key("2")
	p.Wait("the second weapon is in hand", `document.querySelector('[data-weapon="freeze"]').getAttribute("aria-checked") === "true"`)
	p.Click(`.tile.target`)
	p.Wait("the hit shows", `document.querySelector('.tile.target[data-health="90"]')`)
	if got := hits(l); len(got) != 1 || !strings.Contains(got[0], `"weapon":"freeze"`) {
		t.Errorf("hits sent: %q", got)
	}
	p.Key("h")
	p.Wait("visitors are told why they cannot heal", `/Only in free play/.test(document.querySelector("#message").textContent)`)
	p.Quiet()
}

func TestARefusalIsToldAndChangesNothing(t *testing.T) {
	l := fixture.HA()
	l.Hit = func(*fixture.Lab, string, string) (int, any) {
		return http.StatusTooManyRequests, map[string]string{"error": "At most 8 hits a second count.", "hint": "Slower."}
	}
	p := show(t, l)
	p.Click(".tile.target")
	p.Wait("the refusal is shown", `document.querySelector("#message").textContent === "At most 8 hits a second count. Slower."`)
	if n := browser.JS[int](p, `document.querySelectorAll('.tile.target[data-health="100"]').length`); n != 3 {
		t.Errorf("%d targets are unhurt, want 3", n)
	}
	for _, c := range p.Complaints() { // the browser itself reports the status
		if !strings.Contains(c, "429") {
			t.Errorf("console: %s", c)
		}
	}
}

// A pod that is killed leaves a mark, its replacement comes in its place, and
// whoever plays by keyboard goes on with the nearest target.
func TestADeadPodIsReplacedInItsPlace(t *testing.T) {
	l := fixture.HA()
	p := show(t, l)
	victim := l.Arena.Targets[1]
	p.Key(kb.ArrowRight)
	p.Wait("a target has the focus", focused)
	for range 4 {
		if browser.JS[string](p, focused) == victim.ID {
			break
		}
		p.Key(kb.ArrowRight)
	}
	if got := browser.JS[string](p, focused); got != victim.ID {
		t.Fatalf("arrows lead to %q, not to %q", got, victim.ID)
	}
	was := browser.JS[[2]float64](p, fmt.Sprintf(`(() => { const r = document.querySelector('[data-target="%s"] .body').getBoundingClientRect(); return [r.left, r.top]; })()`, victim.ID))
	l.Change(func(l *fixture.Lab) {
		n := &l.Snapshot.Zones[1].Nodes[1]
		n.Pods = n.Pods[:0]
		l.Arena.Targets = append(l.Arena.Targets[:1:1], l.Arena.Targets[2])
	})
	p.Wait("the dead pod's place is marked", `/deleted/.test(document.querySelector(".tile.ghost")?.getAttribute("aria-label"))`)
	p.Wait("another target has the focus", fmt.Sprintf(`(%s) !== "" && (%s) !== %q`, focused, focused, victim.ID))
	l.Change(func(l *fixture.Lab) {
		n := &l.Snapshot.Zones[1].Nodes[1]
		fresh := l.Snapshot.Zones[0].Nodes[1].Pods[0]
		fresh.Name, fresh.UID, fresh.Node, fresh.Ready, fresh.Phase = "web-6f7d9c4b5-fresh", "uid-fresh", n.Name, false, "Pending"
		n.Pods = append(n.Pods, fresh)
		l.Arena.Targets = append(l.Arena.Targets, arena.Target{ID: "pod/web/uid-fresh", Kind: "pod", Name: fresh.Name, Title: fresh.Name, Node: n.Name, Health: 50, Max: 100, Weapons: []string{"kill"}})
	})
	p.Wait("its replacement starts", `document.querySelector('[data-target="pod/web/uid-fresh"]')?.dataset.state === "starting"`)
	now := browser.JS[[2]float64](p, `(() => { const r = document.querySelector('[data-target="pod/web/uid-fresh"] .body').getBoundingClientRect(); return [r.left, r.top]; })()`)
	if dx, dy := now[0]-was[0], now[1]-was[1]; dx*dx+dy*dy > 4 {
		t.Errorf("the replacement stands at %v, the dead pod stood at %v", now, was)
	}
	p.Quiet()
}

func TestAnOutageIsSeenHeardAndOnRecord(t *testing.T) {
	l := fixture.HA()
	p := show(t, l)
	l.Change((*fixture.Lab).Down)
	p.Wait("the page says down", `document.querySelector("#state").dataset.state === "down" && /ms/.test(document.querySelector("#state").textContent)`)
	p.Wait("it is said aloud", `document.querySelector("#spoken").textContent === "The service is down."`)
	p.Wait("failures are named", `/503 Service Unavailable/.test(document.querySelector("#failures").textContent)`)
	p.Wait("the strip counts them", `/ [1-9]\d* failed/.test(document.querySelector("#strip").getAttribute("aria-label"))`)
	p.Click("#tab-outages")
	p.Wait("the open outage grows", `/ms so far/.test(document.querySelector("#outages .open").textContent)`)
	p.Wait("the title says so", `document.title.startsWith("✕ Down")`)
	p.Shot("page-4-down")
	l.Change((*fixture.Lab).Up)
	p.Wait("the page says up", `document.querySelector("#state").dataset.state === "up"`)
	p.Wait("its end is said aloud, with both bounds", `/It was down for [\d,]+ to [\d,]+ milliseconds/.test(document.querySelector("#spoken").textContent)`)
	p.Wait("it is on record", `/[\d,]+ to [\d,]+ ms/.test(document.querySelector("#outages li[data-id]").textContent) && /503 × /.test(document.querySelector("#outages li[data-id]").textContent)`)
	p.Quiet()
}

func TestDegradedIsNotDown(t *testing.T) {
	l := fixture.HA()
	l.Answer = func(seq int64, pods []string) (probe.Class, int, string, float64) {
		return probe.Stale, 200, pods[0], 9
	}
	p := show(t, l)
	p.Wait("the page says degraded", `document.querySelector("#state").dataset.state === "degraded"`)
	if got := p.Text("#state"); !strings.Contains(got, "served, but stale") {
		t.Errorf("it says %q", got)
	}
	p.Quiet()
}

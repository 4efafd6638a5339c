package ui_test

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"testing"

	"zdl/internal/web/ui/fixture"
	"zdl/test/browser"
)

// axe-core as npm has it, at the version of package.json; MPL-2.0, only for tests.
//
//go:embed testdata/axe.min.js.gz
var axeZipped []byte

func axe(t *testing.T) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(axeZipped))
	if err != nil {
		t.Fatal(err)
	}
	source, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// violations of WCAG 2.2 AA and of axe's best practices, one line each.
const violations = `axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.map((v) => v.id + " (" + v.impact + "): " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + " " + (n.any[0]?.message ?? "")).join(" | ")))`

func TestEveryViewIsAccessible(t *testing.T) {
	source := axe(t)
	for _, c := range []struct{ moment, open string }{
		{"playing", ""}, {"broken", "#tab-faults"}, {"down", "#tab-outages"}, {"edge", ""}, {"free", "#tab-players"}, {"won", ""}, {"held", ""},
		{"replayed", `[data-open="defend"]`}, {"playing", `[data-open="fame"]`}, {"playing", `[data-open="help"]`}, {"playing", ".level.on"},
	} {
		t.Run(strings.Trim(c.moment+" "+strings.Trim(c.open, `[]#."`), " "), func(t *testing.T) {
			l := moment(t, fixture.HA(), c.moment)
			l.Owner = c.moment != "free"
			p := show(t, l)
			if c.moment == "won" || c.moment == "held" || c.moment == "replayed" {
				p.Wait("the end screen comes", `document.querySelector("dialog#end")?.open`)
			}
			if c.moment == "replayed" {
				p.Click("#end .main")
			} else if c.open != "" {
				p.Click(c.open)
			}
			browser.JS[bool](p, "("+`(() => {`+source+`; return true; })()`+")")
			for _, scheme := range []string{"light", "dark"} {
				p.Prefer("prefers-color-scheme", scheme, "prefers-reduced-motion", "reduce")
				for _, v := range browser.JS[[]string](p, violations) {
					t.Errorf("%s: %s", scheme, v)
				}
			}
			p.Quiet()
		})
	}
}

// The colours of text and marks against what they stand on; axe does not look
// into SVG.
func TestColoursOfTheStageHaveContrast(t *testing.T) {
	p := show(t, fixture.HA())
	for _, scheme := range []string{"light", "dark"} {
		p.Prefer("prefers-color-scheme", scheme)
		for _, c := range []struct {
			fore, back string
			least      float64
		}{
			{"--ink", "--paper", 7}, {"--soft", "--paper", 4.5}, {"--soft", "--ground", 4.5}, {"--soft", "--sunk", 4.5}, {"--bad", "--paper", 4.5}, {"--bad", "--sunk", 4.5}, {"--bad", "--bad-wash", 4.5},
			{"--warn", "--paper", 4.5}, {"--ok", "--paper", 4.5}, {"--lead", "--paper", 4.5}, {"--ice", "--paper", 3}, {"--heat", "--paper", 3}, {"--aim", "--paper", 4.5}, {"--dot", "--ground", 3},
			{"--ink", "--ok-wash", 4.5}, {"--ink", "--warn-wash", 4.5}, {"--ink", "--bad-wash", 4.5},
		} {
			got := browser.JS[float64](p, fmt.Sprintf(`(() => {
				const css = getComputedStyle(document.documentElement);
				const g = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
				const light = (name) => {
					g.fillStyle = css.getPropertyValue(name).trim(); g.fillRect(0, 0, 1, 1);
					const [r, gr, b] = [...g.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
					return 0.2126 * r + 0.7152 * gr + 0.0722 * b;
				};
				const [a, b] = [light(%q), light(%q)];
				return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
			})()`, c.fore, c.back))
			if got < c.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", scheme, c.fore, c.back, got, c.least)
			}
		}
	}
}

func TestNothingMovesForWhoWantsNoMotion(t *testing.T) {
	l := fixture.HA()
	l.Rate = 300
	p := show(t, l)
	painted := `document.querySelector(".traffic").traffic.dots.length > 0`
	p.Wait("requests flow", painted)
	p.Prefer("prefers-reduced-motion", "reduce")
	p.Wait("they flow no longer", "!("+painted+")")
	p.Quiet()
}

// Nothing that was seen moves by itself while the page loads and fills.
func TestNothingJumpsWhileThePageLoads(t *testing.T) {
	for _, width := range []int64{1280, 390} {
		l := moment(t, fixture.HA(), "playing")
		p := show(t, l)
		if width < 700 {
			p.Phone(width, 844)
		}
		url := browser.JS[string](p, "location.href")
		p.Visit(url, width, 844)
		p.Wait("the page is full", `document.querySelector("#stage") && document.querySelectorAll("#timeline li").length > 2 && document.querySelector(".u-wrap")`)
		shifts := browser.JS[[]string](p, `new Promise((done) => { const out = []; new PerformanceObserver((list) => {
			for (const e of list.getEntries()) out.push(e.value.toFixed(4) + ": " + e.sources.map((s) => (s.node?.parentElement?.className ?? "") + " > " + (s.node?.className ?? "") + " " + s.node?.textContent?.slice(0, 30) + " from " + s.previousRect.x + "," + s.previousRect.y + " to " + s.currentRect.x + "," + s.currentRect.y).join("; "));
		}).observe({ type: "layout-shift", buffered: true }); setTimeout(() => done(out), 1500); })`)
		for _, s := range shifts {
			t.Errorf("at %d pixels the layout shifts by %s", width, s)
		}
		p.Quiet()
	}
}

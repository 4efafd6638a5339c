package web

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"zdl/internal/cluster"
)

// browser opens a headless Chromium, and gathers what its console complains of.
func browser(t *testing.T) (context.Context, func() []string) {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium in PATH: apt-get install chromium")
	}
	o := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), o...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() { cancel(); cancelAlloc() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	var mu sync.Mutex
	var complaints []string
	go func() {
		for m, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			mu.Lock()
			complaints = append(complaints, m.String())
			mu.Unlock()
		}
	}()
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, complaints...)
	}
}

func do(t *testing.T, ctx context.Context, what string, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func get[T any](t *testing.T, ctx context.Context, what string, a chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return v
}

// js evaluates an expression, which the page's own content security policy does
// not hinder.
func js[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	return get(t, ctx, expression, chromedp.Evaluate[T](expression))
}

// shot saves a picture where ZDL_SCREENSHOTS says; without it none.
func shot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("ZDL_SCREENSHOTS")
	if dir == "" {
		return
	}
	png := get(t, ctx, "take a picture", chromedp.CaptureScreenshot())
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, ctx context.Context, sel string) string {
	t.Helper()
	return js[string](t, ctx, fmt.Sprintf("document.querySelector(%q).textContent", sel))
}

func waitFor(t *testing.T, ctx context.Context, what, condition string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !js[bool](t, ctx, condition); time.Sleep(30 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s until %s: %s", what, condition)
		}
	}
}

const clickPod = `(n) => { const b = document.querySelectorAll("button.pod:not([aria-disabled])")[n]; b.click(); return b.dataset.uid; }`

func TestPageShowsHitsDeletionsAndAMeasuredOutage(t *testing.T) {
	l := newLab(t, 2500*time.Millisecond)
	srv := l.serve(t)
	ctx, complaints := browser(t)
	do(t, ctx, "open the page", chromedp.EmulateViewport(1280, 800), chromedp.Navigate(srv.URL))
	waitFor(t, ctx, "three pods are shown and the service is up",
		`document.querySelectorAll("button.pod[data-state=ready]").length === 3 && document.querySelector("#state").dataset.state === "up"`)
	if s := text(t, ctx, "#state-detail"); !strings.Contains(s, "200 OK from web-") {
		t.Errorf("state says %q, want the status and who answered", s)
	}
	waitFor(t, ctx, "some seconds of answers were drawn", `/ [2-9]\d\d requests, 0 failed/.test(document.querySelector("#strip").getAttribute("aria-label"))`)
	shot(t, ctx, "1-up")

	// By keyboard: focus the first pod and press Enter until it is deleted.
	do(t, ctx, "focus a pod", chromedp.Focus(chromedp.CSS("button.pod")))
	do(t, ctx, "hit by keyboard", chromedp.KeyEvent("\r"))
	waitFor(t, ctx, "its health falls", `/^9\d \/ 100/.test(document.querySelector("button.pod .pod-health").textContent)`)
	do(t, ctx, "go to the next pod", chromedp.KeyEvent(kb.ArrowRight))
	shot(t, ctx, "2-hit")

	// Weaken each, then finish all three, at most 8 hits a second.
	for n := range 3 {
		for range 8 {
			js[string](t, ctx, fmt.Sprintf("(%s)(%d)", clickPod, n))
			time.Sleep(135 * time.Millisecond) // the pace of a visitor
		}
	}
	shot(t, ctx, "3-weak")
	for range 3 {
		waitFor(t, ctx, "the first living pod is dead", killWeakest)
	}
	waitFor(t, ctx, "the page says DOWN", `document.querySelector("#state").dataset.state === "down" && document.querySelectorAll("#outages .open").length === 1`)
	shot(t, ctx, "4-down")
	waitFor(t, ctx, "the service is up again", `document.querySelector("#state").dataset.state !== "down"`)
	waitFor(t, ctx, "the win is told", `!document.querySelector("#win").hidden`)
	waitFor(t, ctx, "all pods are replaced", `document.querySelectorAll("button.pod[data-state=ready]").length === 3`)
	shot(t, ctx, "5-won")
	if snap := l.cluster.Snapshot(); len(snap.TargetPods()) != 3 {
		t.Errorf("%d pods, want 3", len(snap.TargetPods()))
	}
	outages := l.deps.Probe.Outages(0)
	if len(outages) == 0 || outages[0].ByClass["503"] == 0 {
		t.Fatalf("the prober measured %+v, want an outage of 503s", outages)
	}
	if s := text(t, ctx, "#win-line"); !strings.Contains(s, "ms of downtime") || !strings.Contains(s, "3 kills") {
		t.Errorf("the win says %q", s)
	}
	if s := text(t, ctx, "#outages"); !strings.Contains(s, "503 × ") {
		t.Errorf("outage list says %q", s)
	}

	// The API server falls silent: the page says how old its picture is.
	l.cluster.change(func(s *cluster.Snapshot) {
		s.Stale, s.AgeMS, s.Trouble = true, 12_000, "no answer"
		n := &s.Zones[1].Nodes[1]
		n.Ready, n.Reason, n.Power = false, "NodeStatusUnknown", cluster.PowerOff
	})
	waitFor(t, ctx, "the page says how old its picture is", `document.querySelector("#stale").textContent.includes("12 s old")`)
	shot(t, ctx, "6-stale")
	l.cluster.change(func(s *cluster.Snapshot) { s.Stale, s.AgeMS, s.Trouble = false, 0, "" })

	// A phone, in the dark.
	do(t, ctx, "become a phone", chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
			return err
		}))
	waitFor(t, ctx, "nothing is wider than the screen", `document.documentElement.scrollWidth <= 390`)
	shot(t, ctx, "7-phone")
	js[bool](t, ctx, `(document.querySelector(".cluster").scrollIntoView(), true)`)
	shot(t, ctx, "8-phone-cluster")
	do(t, ctx, "become a desktop again", chromedp.EmulateViewport(1280, 800))
	shot(t, ctx, "9-dark")
	for _, c := range complaints() {
		t.Errorf("console: %s", c)
	}
}

// killWeakest hits the living pod with the least health once per poll, and is
// true when that one is gone. It waits for each answer: a second hit while the
// one that kills is under way would rightly be answered with 404.
const killWeakest = `(() => {
	if (!window.underWay) {
		const send = window.fetch;
		window.underWay = new Set();
		window.fetch = (...a) => {
			const p = send(...a);
			window.underWay.add(p);
			const done = () => setTimeout(() => window.underWay.delete(p), 50); // the page reads the body first
			p.then(done, done);
			return p;
		};
	}
	if (window.underWay.size > 0) return false;
	const alive = [...document.querySelectorAll("button.pod:not([aria-disabled])[data-state=ready]")];
	const n = (b) => parseInt(b.querySelector(".pod-health").textContent, 10);
	alive.sort((a, b) => n(a) - n(b));
	window.prey ??= alive[0]?.dataset.uid;
	const prey = document.querySelector("button.pod[data-uid='" + window.prey + "']:not([aria-disabled])");
	if (!prey) { window.prey = undefined; return true; }
	if (Date.now() - (window.lastHit ?? 0) > 130) { window.lastHit = Date.now(); prey.click(); }
	return false;
})()`

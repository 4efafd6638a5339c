package ha

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// hitHealthiest clicks on the pod with the most health, so that all grow weak
// together and the last three hits kill them in quick succession: replacements
// take seconds. It returns how many pods can be hit.
const hitHealthiest = `(() => {
  const pods = [...document.querySelectorAll("button.pod:not([aria-disabled])")];
  const health = (b) => parseInt(b.querySelector(".pod-health").textContent) || 100;
  pods.sort((a, b) => health(b) - health(a));
  pods[0]?.click();
  return pods.length;
})()`

// A newcomer's first minute, in a real browser on the real cluster: look, hit,
// see the service go down for real, and come back.
func TestAVisitorBringsTheServiceDownInTheBrowser(t *testing.T) {
	l := lab(t)
	ctx := browser(t)
	page := func(expression string) bool {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		return ok
	}
	until := func(what, expression string, limit time.Duration) {
		t.Helper()
		waitFor(t, what, limit, func(context.Context) error {
			if !page(expression) {
				return fmt.Errorf("not yet: %s", expression)
			}
			return nil
		})
	}
	openCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(openCtx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(l.Info.Page)); err != nil {
		t.Fatal(err)
	}
	until("three zones, six nodes, three ready pods and a service that is up", `
		document.querySelectorAll(".zone").length === 3 && document.querySelectorAll("[data-node]").length === 6 &&
		document.querySelectorAll("button.pod[data-state=ready]").length === 3 && document.querySelector("#state").dataset.state === "up"`, 20*time.Second)
	until("the strip fills with answers", `/ [2-9]\d\d requests/.test(document.querySelector("#strip").getAttribute("aria-label"))`, 20*time.Second)
	picture(t, ctx, "up")

	down := `document.querySelector("#state").dataset.state === "down"`
	hits := time.NewTicker(140 * time.Millisecond) // below the eight a second that count
	defer hits.Stop()
	for deadline := time.Now().Add(60 * time.Second); !page(down); <-hits.C {
		if time.Now().After(deadline) {
			picture(t, ctx, "not-down")
			t.Fatal("a minute of hits did not bring the service down")
		}
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[int](hitHealthiest)); err != nil {
			t.Fatal(err)
		}
	}
	until("the page says what users get", `/503/.test(document.querySelector("#failures").textContent)`, 5*time.Second)
	picture(t, ctx, "down")
	until("the service is up again by itself", `document.querySelector("#state").dataset.state === "up"`, 30*time.Second)
	until("the outage and its length are on record", `[...document.querySelectorAll("#outages li[data-id]")].some(li => /\d ms/.test(li.textContent) && /503/.test(li.textContent))`, 10*time.Second)
	until("the victory is told", `!document.querySelector("#win").hidden && /downtime/.test(document.querySelector("#win-line").textContent)`, 10*time.Second)
	until("three pods are ready again", `document.querySelectorAll("button.pod[data-state=ready]").length === 3`, 30*time.Second)
	picture(t, ctx, "recovered")
}

// browser opens a headless Chromium.
func browser(t *testing.T) context.Context {
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
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() { cancel(); cancelAlloc() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// picture saves what the page shows where ZDL_SCREENSHOTS says.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("ZDL_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "real-"+name+".png"), png, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

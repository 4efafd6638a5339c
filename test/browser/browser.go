// Package browser looks at pages as visitors do: in a headless Chromium, by
// mouse, touch and keyboard. It knows nothing of what the pages are about.
package browser

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
)

// patience is how long an action or a condition may take: the machine may be
// busy with a lab and with other tests.
const patience = 60 * time.Second

// Page is one tab of a browser.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// shared is the browser of a package's tests, if that has called Main.
var shared struct {
	use  bool
	once sync.Once
	ctx  context.Context
	end  func()
	err  error
}

// Main runs the tests of a package whose pages share one browser: to start it
// takes longer than most tests.
func Main(m *testing.M) int {
	shared.use = true
	defer func() {
		if shared.end != nil {
			shared.end()
		}
	}()
	return m.Run()
}

// Open opens a tab that ends with the test, and skips the test where there is no
// Chromium. The browser is a new one, unless the package's tests share one.
func Open(t testing.TB) *Page {
	t.Helper()
	path := Chromium()
	if path == "" {
		t.Skip("no Chromium in PATH: apt-get install chromium")
	}
	var ctx context.Context
	var cancel context.CancelFunc
	var err error
	if shared.use {
		ctx, cancel, err = tab(path)
	} else {
		ctx, cancel, err = Start(path, t.TempDir())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	p := &Page{t: t, ctx: ctx}
	go func() {
		for m, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.complaints = append(p.complaints, m.String())
			p.mu.Unlock()
		}
	}()
	return p
}

// tab opens a tab of the shared browser.
func tab(path string) (context.Context, context.CancelFunc, error) {
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "zdl-browser-")
		if err != nil {
			shared.err = err
			return
		}
		end := func() {}
		if shared.ctx, end, err = Start(path, dir); err != nil {
			os.RemoveAll(dir)
			shared.err = err
			return
		}
		shared.end = func() {
			end()
			os.RemoveAll(dir)
		}
	})
	if shared.err != nil {
		return nil, nil, shared.err
	}
	ctx, cancel := chromedp.NewContext(shared.ctx)
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		return nil, nil, fmt.Errorf("open a tab: %w", err)
	}
	return ctx, cancel, nil
}

// Chromium is where the browser is, "" where there is none.
func Chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Start starts a Chromium that keeps its files in dir, without a test. It asks
// nobody else for anything.
func Start(path, dir string) (context.Context, context.CancelFunc, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(dir),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	all := func() { cancel(); cancelAlloc() }
	if err := chromedp.Do(ctx); err != nil {
		all()
		return nil, nil, fmt.Errorf("start Chromium: %w", err)
	}
	return ctx, all, nil
}

// Context is for chromedp's own functions.
func (p *Page) Context() context.Context { return p.ctx }

// Complaints is what the console said since the page was opened; a good page
// says nothing.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.complaints...)
}

// Quiet fails the test if the console said anything.
func (p *Page) Quiet() {
	p.t.Helper()
	for _, c := range p.Complaints() {
		p.t.Errorf("console: %s", c)
	}
}

// Do does one thing after the other.
func (p *Page) Do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// Visit opens an address on a screen of so many CSS pixels.
func (p *Page) Visit(url string, width, height int64) {
	p.t.Helper()
	p.Do("open the page", chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
}

// Phone makes the screen one of a telephone, with touch.
func (p *Page) Phone(width, height int64) {
	p.t.Helper()
	p.Do("become a phone", chromedp.EmulateViewport(width, height, chromedp.EmulateMobile, chromedp.EmulateTouch))
}

// Desktop makes the screen one of a computer.
func (p *Page) Desktop(width, height int64) {
	p.t.Helper()
	p.Do("become a desktop", chromedp.EmulateViewport(width, height))
}

// Prefer sets what the visitor prefers: "prefers-color-scheme", "dark",
// "prefers-reduced-motion", "reduce", … in pairs. What is not named is reset.
func (p *Page) Prefer(pairs ...string) {
	p.t.Helper()
	var features []*emulation.MediaFeature
	for i := 0; i+1 < len(pairs); i += 2 {
		features = append(features, &emulation.MediaFeature{Name: pairs[i], Value: pairs[i+1]})
	}
	p.Do("set preferences", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return err
	}))
}

// Key presses keys, one after the other; named ones are in chromedp/kb.
func (p *Page) Key(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		p.Do("press "+fmt.Sprintf("%q", k), chromedp.KeyEvent(k))
	}
}

// Click clicks into the middle of the first element that a CSS selector finds.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.Do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// JS evaluates an expression, which the page's content security policy does not
// hinder. A promise is waited for.
func JS[T any](p *Page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Text is what an element says.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	return JS[string](p, fmt.Sprintf("document.querySelector(%q)?.textContent.replace(/\\s+/g, ' ').trim() ?? '(there is no such element)'", selector))
}

// Wait waits until an expression is true.
func (p *Page) Wait(what, condition string) {
	p.t.Helper()
	p.WaitFor(what, condition, patience)
}

// WaitFor waits so long at most.
func (p *Page) WaitFor(what, condition string, limit time.Duration) {
	p.t.Helper()
	for deadline := time.Now().Add(limit); !JS[bool](p, "!!("+condition+")"); time.Sleep(30 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.Shot("waited-in-vain-" + strings.ReplaceAll(p.t.Name(), "/", "-"))
			p.t.Fatalf("waited %s until %s: %s", limit, what, condition)
		}
	}
}

// Shot saves a picture of what is seen where ZDL_SCREENSHOTS says; without it
// none.
func (p *Page) Shot(name string) {
	p.t.Helper()
	if dir := os.Getenv("ZDL_SCREENSHOTS"); dir != "" {
		p.Picture(filepath.Join(dir, name+".png"))
	}
}

// Picture saves what is seen, as PNG.
func (p *Page) Picture(path string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(path, png, 0o644)
	}
	if err != nil {
		p.t.Fatalf("take a picture: %v", err)
	}
}

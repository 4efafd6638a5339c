package arena

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"zdl/internal/arena"
	"zdl/test/browser"
	"zdl/test/harness"
)

// watch sits down in front of the page in a real browser, and chooses the level
// there. Hits are then clicks.
func watch(t *testing.T, level string) *table {
	t.Helper()
	l := theLab.Whole(t)
	p := &table{t: t, lab: l, client: connect(t, l), page: browser.Open(t)}
	t.Cleanup(func() { p.post("/api/v1/arena/reset", struct{}{}, nil) })
	p.page.Visit(l.Info.Page, 1280, 800)
	button := fmt.Sprintf(".levels [data-level=%q]", level)
	p.page.Wait("the level can be chosen", fmt.Sprintf("document.querySelector(%q) !== null", button))
	if p.state().Level.Name != level {
		p.page.Click(button)
		p.page.Wait("the level's text", `document.querySelector("#levels [data-act=level]") !== null`)
		p.page.Click("#levels [data-act=level]")
	}
	harness.Eventually(t, "the level "+level+" is ready", 4*time.Minute, func(context.Context) error {
		s := p.state()
		if s.Preparing != nil && s.Preparing.Failed != "" {
			t.Fatalf("it could not be prepared: %s", s.Preparing.Failed)
		}
		if s.Level.Name != level || s.Phase != arena.PhaseReady {
			return fmt.Errorf("it is %s in phase %s", s.Level.Name, s.Phase)
		}
		return nil
	})
	p.page.Wait("the page shows the level", fmt.Sprintf("document.querySelector(%q)?.getAttribute('aria-current') === 'step' && document.querySelectorAll('[data-target]').length > 0", button))
	p.round = p.state().Round + 1
	return p
}

// click takes a weapon in hand and clicks on a target; it tells whether the
// target has been struck since the round began.
func (p *table) click(target, weapon string) bool {
	there := browser.JS[bool](p.page, fmt.Sprintf(`(() => {
		const t = document.querySelector('[data-target=%[1]q]');
		if (!t) return false;
		t.focus();
		const w = document.querySelector('[data-weapon=%[2]q]');
		if (w && w.getAttribute("aria-checked") !== "true") w.click();
		t.dispatchEvent(new MouseEvent("click", { bubbles: true }));
		return true;
	})()`, target, weapon))
	return there && slices.ContainsFunc(p.state().Strikes, func(k arena.Strike) bool { return k.Target == target && k.Weapon == weapon })
}

// toldOnPage waits until the page tells how the round ended, as the API did.
func (p *table) toldOnPage(e arena.End) {
	p.t.Helper()
	words := "held"
	if e.Won {
		words = "Brought down"
	}
	p.page.Wait("the end screen", fmt.Sprintf(`(document.querySelector("#end")?.textContent ?? "").includes(%q)`, words))
	p.page.Shot("end-of-" + e.Level)
	for _, c := range p.page.Complaints() {
		p.t.Errorf("the browser complains: %s", c)
	}
}

// Every level is won in a real browser, by what visitors have there: a mouse. The
// first one is in test/ha, with the rest of a newcomer's first minute.
func TestEveryLevelIsWonInTheBrowser(t *testing.T) {
	harness.Require(t)
	of := func(fits func(arena.Target) bool) func(p *table) []string {
		return func(p *table) []string { return p.ids(fits) }
	}
	for _, c := range []struct {
		level, weapon, subject string
		targets                func(p *table) []string
	}{
		{"ingress", "freeze", arena.SubjectService, of(nil)},
		{"dns", "freeze", arena.SubjectDNS, of(nil)},
		{"nodes", "power", arena.SubjectService, func(p *table) []string { return p.nodesOf("ingress", false) }},
		{"zones", "switch", arena.SubjectService, func(p *table) []string { return p.nodesOf("ingress", true) }},
		{"edge", "power", arena.SubjectService, func(*table) []string { return []string{"machine/lb-1", "machine/lb-2"} }},
		{"control-plane", "freeze", arena.SubjectAPI, of(component("kube-apiserver"))},
		{"etcd", "freeze", arena.SubjectAPI, func(p *table) []string { return p.ids(nil)[:2] }},
		{"database", "freeze", arena.SubjectDatabase, of(nil)},
	} {
		t.Run(c.level, func(t *testing.T) {
			p := watch(t, c.level)
			p.fell(c.weapon, c.targets(p)...)
			e := p.ended(5 * time.Minute)
			p.won(e, c.subject)
			noticed := !slices.ContainsFunc(e.Protected, func(l string) bool { return strings.HasPrefix(l, "Users noticed nothing") })
			if (c.subject == arena.SubjectService) != noticed {
				t.Errorf("users noticed something: %v; what held: %q", noticed, e.Protected)
			}
			p.toldOnPage(e)
		})
	}
}

func TestAFaultOfFreePlayIsMadeInTheBrowser(t *testing.T) {
	p := watch(t, "free-play")
	p.fell("dns-nxdomain", "lab/web")
	if active := p.attacks(); len(active) != 1 {
		t.Fatalf("what is broken: %v", active)
	}
	p.page.Click("[data-act=reset]")
	harness.Eventually(t, "the lab is put right", time.Minute, func(context.Context) error {
		if active := p.attacks(); len(active) > 0 {
			return errors.New(fmt.Sprint(active))
		}
		return nil
	})
}

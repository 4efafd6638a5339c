package ui_test

import (
	"fmt"
	"strings"
	"testing"

	"zdl/internal/arena"
	"zdl/internal/web/ui/fixture"
	"zdl/test/browser"
)

func TestTheEndScreenTellsWhatHappenedAndLeadsToDefence(t *testing.T) {
	l := moment(t, fixture.HA(), "playing")
	p := show(t, l)
	l.Change(func(l *fixture.Lab) { l.Ended(true) })
	p.Wait("the end screen comes by itself", `document.querySelector("dialog#end")?.open`)
	for _, want := range []string{"Brought down", "1,240 ms", "41", "812", "1,240 to 1,272 ms: 503 × 118, reset × 6", "the first user's request failed", "412 ms until the ReplicaSet", "two replicas went on", "one blow at a time", "Grace (27 hits, 3 strikes)"} {
		if got := p.Text("#end"); !strings.Contains(got, want) {
			t.Errorf("the end screen lacks %q: %s", want, got)
		}
	}
	if href := browser.JS[string](p, `document.querySelector("#end .lesson a")?.getAttribute("href") ?? ""`); href != "docs/faults.md" {
		t.Errorf("the lesson links to %q", href)
	}
	p.Shot("page-5-won")
	p.Click("#end .main")
	p.Wait("defences open", `document.querySelector("dialog#defend")?.open && !document.querySelector("dialog#end")`)
	p.Click(`[data-defence="spread"] button`)
	p.Wait("the defence is applied", `document.querySelector('[data-defence="spread"]').dataset.applied === "true"`)
	p.Click(`[data-act="replay"]`)
	l.Change(func(l *fixture.Lab) { l.Arena.Replay = &arena.Replay{Running: true, Round: 3, Progress: 0.4} })
	p.Wait("the replay's progress shows", `/40 %/.test(document.querySelector("#replay svg")?.getAttribute("aria-label"))`)
	l.Change((*fixture.Lab).Replayed)
	p.Wait("both sides show", `document.querySelectorAll("#replay [data-side]").length === 2`)
	for side, want := range map[string]string{"before": "1,240 ms", "after": "0 ms"} {
		if got := p.Text(fmt.Sprintf(`[data-side="%s"]`, side)); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q", side, got, want)
		}
	}
	p.Shot("page-6-defend")
	var asked []string
	for _, post := range l.Posts() {
		asked = append(asked, post.Path+" "+post.Body)
	}
	for _, want := range []string{`arena/defend {"defence":"spread","on":true}`, `arena/replay {}`} {
		if !strings.Contains(strings.Join(asked, "\n"), want) {
			t.Errorf("the page asked %q, want %q", asked, want)
		}
	}
	p.Quiet()
}

func TestAHeldClusterIsNoVictory(t *testing.T) {
	l := moment(t, fixture.HA(), "playing")
	p := show(t, l)
	l.Change(func(l *fixture.Lab) { l.Ended(false) })
	p.Wait("the end screen comes", `document.querySelector("dialog#end")?.open`)
	for _, want := range []string{"The cluster held", "users noticed nothing", "each was replaced within 1.6 s", "Two replicas were ready at every moment"} {
		if got := p.Text("#end"); !strings.Contains(got, want) {
			t.Errorf("the end screen lacks %q: %s", want, got)
		}
	}
	p.Shot("page-7-held")
	p.Quiet()
}

func TestLevelsSayWhatTheyAskAndWhyNot(t *testing.T) {
	l := fixture.HA()
	p := show(t, l)
	if n := browser.JS[int](p, `document.querySelectorAll(".levels .level").length`); n != 10 {
		t.Errorf("%d levels, want 10", n)
	}
	p.Click(`.level[data-level="database"]`)
	p.Wait("the levels open", `document.querySelector("dialog#levels")?.open`)
	if got := p.Text("#levels .prose"); !strings.Contains(got, "needs a database") {
		t.Errorf("the level that cannot be played says %q", got)
	}
	if browser.JS[bool](p, `!!document.querySelector('[data-act="level"], [data-act="pause"]')`) {
		t.Error("a visitor is offered the owner's controls")
	}
	p.Click(".index li:first-child button")
	p.Wait("the present level's text shows", `/kubectl delete pod/.test(document.querySelector("#levels code")?.textContent)`)
	p.Shot("page-8-levels")
	p.Quiet()
}

func TestTheOwnerDirects(t *testing.T) {
	l := fixture.HA()
	l.Owner = true
	p := show(t, l)
	p.Wait("the controls are there", `document.querySelector('[data-act="pause"]')`)
	for _, act := range []string{"pause", "reset", "autopilot"} {
		p.Click(fmt.Sprintf(`[data-act="%s"]`, act))
	}
	p.Click(`.level[data-level="dns"]`)
	p.Wait("the level is offered", `document.querySelector('[data-act="level"]')`)
	p.Click(`[data-act="level"]`)
	p.Wait("the dialog closes", `!document.querySelector("dialog")`)
	var asked []string
	for _, post := range l.Posts() {
		asked = append(asked, post.Path+" "+post.Body)
	}
	want := `arena/pause {"paused":true}, arena/reset {}, arena/autopilot {"on":true}, arena/level {"name":"dns"}`
	if got := strings.Join(asked, ", "); got != want {
		t.Errorf("the page asked %s, want %s", got, want)
	}
	p.Quiet()
}

func TestNamesPlayersAndFame(t *testing.T) {
	l := moment(t, fixture.HA(), "playing")
	p := show(t, l)
	p.Wait("the name is there", `document.querySelector("#name").value === "Ada"`)
	p.Click("#tab-players")
	if got := p.Text("#players"); !strings.Contains(got, "Ada (you)") || !strings.Contains(got, "Grace") {
		t.Errorf("players: %q", got)
	}
	p.Click(`[data-open="fame"]`)
	p.Wait("the hall of fame opens", `document.querySelector("dialog#fame")?.open`)
	if got := p.Text("#fame"); !strings.Contains(got, "Grace, Ada, Linus and 2 more") || !strings.Contains(got, "2,210 ms") {
		t.Errorf("fame: %q", got)
	}
	p.Quiet()
}

// What others wrote is text, whatever it looks like.
func TestNothingThatIsShownIsRun(t *testing.T) {
	evil := `<img src=x onerror="window.owned=1"> <script>window.owned=1</script> [x](javascript:window.owned=1)`
	l := moment(t, fixture.HA(), "playing")
	l.Arena.Text, l.Arena.Players[0].Name, l.Arena.Level.Question, l.Arena.Targets[0].Title = evil, evil, evil, evil
	l.Ended(true)
	l.Arena.End.Lesson, l.Arena.End.Headline = evil, evil
	p := show(t, l)
	p.Wait("the end screen comes", `document.querySelector("dialog#end")?.open`)
	p.Click("#end .close")
	p.Key("l")
	p.Wait("the level's text shows", `/onerror/.test(document.querySelector("#levels .prose")?.textContent)`)
	if browser.JS[bool](p, `!!window.owned || [...document.querySelectorAll("a")].some((a) => !/^(docs\/|$)/.test(a.getAttribute("href") ?? "")) || !!document.querySelector("img")`) {
		t.Error("what others wrote became part of the page")
	}
	p.Quiet()
}

package arena

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"zdl/internal/fault"
	"zdl/internal/probe"
)

var epoch = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * 1e9)) }

// small is a level of pods with the rules that tests expect.
const small = `
apiVersion: zdl/v1
kind: Level
number: 1
name: small
title: Small
question: Does it hold?
targets:
- {kind: pod, select: {of: service}, weapons: [kill, freeze], health: 100, fresh: 50, healPerSecond: 5, healAfter: 3s}
- {kind: node, weapons: [power], health: 100}
weapons:
- {name: kill, key: k, fault: pod-kill}
- {name: freeze, key: f, fault: pod-freeze, for: 5s, damage: 5}
- {name: power, key: p, fault: node-power-off, for: 20s}
rules: {damage: 10, hitsPerSecond: 8, burst: 8, all: 200}
win: [{outage: 500ms}]
giveUp: 60s
idle: 20s
recoverAfter: 10s
lesson: None.
`

// kinds are as much of the catalogue as tests need.
func kinds() []fault.Kind {
	return []fault.Kind{
		{Name: "pod-kill", Targets: "pod", Instant: true, Params: []fault.Param{{Name: "grace"}}},
		{Name: "pod-freeze", Targets: "pod"},
		{Name: "node-power-off", Targets: "node"},
	}
}

func level(t testing.TB, change ...string) *Level {
	t.Helper()
	l, err := ReadLevel([]byte(strings.NewReplacer(change...).Replace(small)), "small.yaml", "Text.")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func start(t testing.TB, change ...string) *game {
	t.Helper()
	l := level(t, change...)
	arms, err := arm(l, kinds(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return newGame(at(0), l, arms)
}

func pods(up bool, names ...string) []seen {
	var out []seen
	for _, n := range names {
		out = append(out, seen{id: "pod/web/uid-" + n, kind: KindPod, name: n, title: n, node: "node-" + n, pod: "web/uid-" + n, part: "web/web", created: epoch, up: up})
	}
	return out
}

func node(name string, up bool) seen {
	return seen{id: "node/" + name, kind: KindNode, name: name, title: name, node: name, group: 1, up: up}
}

func visitor1(name string) Visitor { return Visitor{ID: "session-" + name, Name: name} }

func (g *game) target(t testing.TB, now time.Time, name string) Target {
	t.Helper()
	for _, v := range g.state(now).Targets {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no target %s", name)
	return Target{}
}

// fell hits a target until its fault is to be made.
func fell(t testing.TB, g *game, now time.Time, who, name string) *strike {
	t.Helper()
	for i := range 100 {
		_, k, err := g.hitting(now, visitor1(fmt.Sprintf("%s-%d", who, i)), name, "")
		if err != nil {
			t.Fatal(err)
		}
		if k != nil {
			return k
		}
	}
	t.Fatalf("%s does not fall", name)
	return nil
}

func TestHitsTakeHealthAndRestGivesItBack(t *testing.T) {
	g := start(t)
	g.sync(at(0), pods(true, "a", "b"))
	for i := range 4 {
		if _, k, err := g.hitting(at(0.2*float64(i)), visitor1("ann"), "a", ""); err != nil || k != nil {
			t.Fatalf("hit %d: strike %v, err %v", i, k, err)
		}
	}
	for _, c := range []struct{ seconds, want float64 }{{0.6, 60}, {3.6, 60}, {4.6, 65}, {7.6, 80}, {60, 100}} {
		if got := g.target(t, at(c.seconds), "a").Health; got != c.want {
			t.Errorf("health after %g s is %g, want %g", c.seconds, got, c.want)
		}
	}
	if got := g.target(t, at(60), "b").Health; got != 100 {
		t.Errorf("the other pod has %g", got)
	}
}

func TestHealingDoesNotDependOnHowOftenOneLooks(t *testing.T) {
	often, once := start(t), start(t)
	for _, g := range []*game{often, once} {
		g.sync(at(0), pods(true, "a"))
		for range 5 {
			g.hitting(at(0), visitor1("ann"), "a", "")
		}
	}
	for i := range 400 {
		often.state(at(float64(i) / 100))
	}
	a, b := often.find("a"), once.find("a")
	often.heal(at(4), a)
	once.heal(at(4), b)
	if math.Abs(a.health-b.health) > 1e-6 || math.Abs(a.health-55) > 1e-6 {
		t.Errorf("looked at often %g, once %g, want 55", a.health, b.health)
	}
}

func TestTheLastHitStrikesOnceWithItsWeapon(t *testing.T) {
	g := start(t)
	g.sync(at(0), pods(true, "a"))
	var k *strike
	for i := range 11 {
		weapon := "kill"
		if i >= 9 {
			weapon = "freeze" // of half the damage
		}
		r, got, err := g.hitting(at(0.2*float64(i)), visitor1("ann"), "uid-a", weapon)
		if err != nil {
			t.Fatal(err)
		}
		if (got != nil) != (i == 10) || r.Struck != (i == 10) || r.First != (i == 0) {
			t.Fatalf("hit %d: strike %+v, %+v", i+1, got, r)
		}
		k = got
	}
	if k.Weapon != "freeze" || k.Fault != "pod-freeze" || k.Hits != 11 || k.By != "ann" || k.Node != "node-a" || k.Visitors != 1 {
		t.Errorf("strike %+v", k.Strike)
	}
	if _, _, err := g.hitting(at(3), visitor1("bob"), "a", ""); !errors.Is(err, ErrDying) {
		t.Errorf("a hit on a pod that is being struck: %v, want %v", err, ErrDying)
	}
	g.failed(at(3), k, "no API server")
	if got := g.target(t, at(3), "a"); got.Health != 20 || got.Dying || k.State != StrikeFailed || k.Trouble == "" {
		t.Errorf("after the fault failed: %+v, %+v; want 20 health", got, k.Strike)
	}
	if _, _, err := g.hitting(at(3), visitor1("bob"), "a", ""); err != nil {
		t.Errorf("it can be hit again: %v", err)
	}
}

func TestHitsOnNothingAndWithWrongWeaponsAreRefused(t *testing.T) {
	g := start(t)
	leaving := pods(true, "l")
	leaving[0].refused = "It is being deleted already."
	g.sync(at(0), append(append(pods(true, "a"), leaving...), node("n", true)))
	for _, c := range []struct {
		target, weapon string
		want           error
	}{
		{"", "", ErrNoTarget}, {"b", "", ErrNoTarget}, {"pod/web/uid-b", "", ErrNoTarget}, {"uid-b", "", ErrNoTarget},
		{"a", "power", ErrNoWeapon}, {"a", "meteor", ErrNoWeapon}, {"n", "kill", ErrNoWeapon}, {"l", "", ErrRefused},
	} {
		if _, _, err := g.hitting(at(0), visitor1("ann"), c.target, c.weapon); !errors.Is(err, c.want) {
			t.Errorf("%q with %q: %v, want %v", c.target, c.weapon, err, c.want)
		}
	}
	if g.phase != PhaseReady || g.hits != 0 {
		t.Errorf("refused hits began a round: %s, %d hits", g.phase, g.hits)
	}
}

func TestEachVisitorHasALimitAndAllTogetherHaveOne(t *testing.T) {
	g := start(t, "health: 100", "health: 10000", "fresh: 50", "fresh: 10000")
	g.sync(at(0), pods(true, "a"))
	hits := map[string]int{}
	for i := range 1000 { // ten seconds, 100 attempts a second each
		for _, who := range []string{"ann", "bob"} {
			if _, _, err := g.hitting(at(float64(i)/100), visitor1(who), "a", ""); err == nil {
				hits[who]++
			} else if !errors.Is(err, ErrTooFast) {
				t.Fatal(err)
			}
		}
	}
	for who, n := range hits {
		if n < 85 || n > 88 {
			t.Errorf("%s got %d hits in, want 8 a second and 8 at once", who, n)
		}
	}
	n := 0
	for i := range 5000 {
		if _, _, err := g.hitting(at(20), visitor1(fmt.Sprint(i)), "a", ""); err == nil {
			n++
		}
	}
	if n != 200 {
		t.Errorf("%d hits in one moment, want 200", n)
	}
	if len(g.visitors) > keepVisitors || len(g.players) > keepPlayers {
		t.Errorf("%d visitors and %d players are remembered", len(g.visitors), len(g.players))
	}
}

func TestAReplacementIsToldApartFromOtherNewPods(t *testing.T) {
	g := start(t)
	g.sync(at(0), pods(true, "a", "b"))
	k := fell(t, g, at(10), "ann", "a")
	fresh := pods(false, "c")
	fresh[0].created = at(10)
	// The news of the replacement overtakes the proof of the strike.
	g.sync(at(10.1), append(pods(true, "b"), fresh...))
	g.proven(at(10.2), k, "f1", nil)
	if k.Replacement != "c" {
		t.Fatalf("replacement %q, want c", k.Replacement)
	}
	if got := g.target(t, at(10.1), "c").Health; got != 50 {
		t.Errorf("a replacement starts with %g, want 50", got)
	}
	fresh[0].up = true
	news := g.sync(at(12.5), append(pods(true, "b"), fresh...))
	if len(news) != 1 || news[0].ReadyMS != 2500 {
		t.Errorf("news %+v, want c after 2500 ms", news)
	}
	if again := g.sync(at(13), append(pods(true, "b", "d"), fresh...)); len(again) != 0 {
		t.Errorf("replaced again: %+v", again)
	}
	if got := g.target(t, at(13), "d").Health; got != 100 {
		t.Errorf("a pod that replaces nobody has %g, want 100", got)
	}
}

func TestATargetThatWasStruckIsBackWhenItsFaultIsOverAndItWorks(t *testing.T) {
	g := start(t)
	g.sync(at(0), []seen{node("n", true)})
	k := fell(t, g, at(1), "ann", "n")
	g.proven(at(1.1), k, "f1", []string{"off"})
	g.sync(at(2), []seen{node("n", false)})
	if got := g.target(t, at(2), "n"); !got.Down || got.Attack != "f1" || got.Refused == "" {
		t.Fatalf("struck: %+v", got)
	}
	g.sync(at(10), []seen{node("n", true)}) // Kubernetes has not noticed, or it flaps
	if got := g.target(t, at(10), "n"); !got.Down {
		t.Fatalf("back although the fault lasts: %+v", got)
	}
	g.ended(k)
	g.sync(at(21), []seen{node("n", false)})
	if !g.target(t, at(21), "n").Down {
		t.Fatal("back although it does not work")
	}
	g.sync(at(26), []seen{node("n", true)})
	if got := g.target(t, at(26), "n"); got.Down || got.Health != 100 || k.ReadyMS != 25000 || k.State != StrikeHealed {
		t.Errorf("back: %+v after %g ms, %s", got, k.ReadyMS, k.State)
	}
}

func TestNoMoreThanTheCapIsStruckAtOnce(t *testing.T) {
	g := start(t, "all: 200}", "all: 200, simultaneous: 2}")
	g.sync(at(0), pods(true, "a", "b", "c"))
	fell(t, g, at(0), "ann", "a")
	g.proven(at(0.1), fell(t, g, at(0), "bob", "b"), "f2", nil)
	if _, _, err := g.hitting(at(1), visitor1("ann"), "c", ""); !errors.Is(err, ErrRefused) {
		t.Errorf("a third at once: %v", err)
	}
	g.sync(at(2), pods(true, "a", "c")) // b is gone
	if _, _, err := g.hitting(at(2), visitor1("ann"), "c", ""); err != nil {
		t.Errorf("one has left: %v", err)
	}
}

func outage(id int, from, to float64, open bool) probe.Outage {
	o := probe.Outage{ID: id, Began: at(from), Failed: 9, Open: open, LowerMS: (to - from) * 1000, ByClass: map[string]int{"503": 9}}
	if !open {
		o.Ended, o.UpperMS = at(to), o.LowerMS+20
	}
	return o
}

// struckAt is a game whose only pod was struck at a second.
func struckAt(t *testing.T, second float64, change ...string) *game {
	g := start(t, change...)
	g.sync(at(0), pods(true, "a"))
	g.proven(at(second+0.01), fell(t, g, at(second), "ann", "a"), "f1", nil)
	if g.phase != PhasePlaying || g.number != 1 {
		t.Fatalf("phase %s, round %d", g.phase, g.number)
	}
	return g
}

func TestARoundIsWonByAnOutageThatLasts(t *testing.T) {
	g := struckAt(t, 5)
	g.measured(SubjectService, outage(1, 5.1, 5.3, true))
	if g.tick(at(5.4)) || g.phase != PhaseDown {
		t.Fatalf("phase %s, want down", g.phase)
	}
	g.measured(SubjectService, outage(1, 5.1, 5.4, false))
	if g.tick(at(5.5)) || g.phase != PhasePlaying {
		t.Fatalf("an outage of 300 ms: phase %s, want playing", g.phase)
	}
	g.measured(SubjectService, outage(2, 8, 9, true))
	if g.tick(at(9.1)) || g.phase != PhaseDown {
		t.Fatalf("phase %s, want down: how long it lasts is still to be seen", g.phase)
	}
	g.measured(SubjectService, outage(2, 8, 9.2, false))
	if !g.tick(at(9.3)) || g.phase != PhaseRecovering || g.outcome != endedWon {
		t.Fatalf("phase %s, outcome %s, want won", g.phase, g.outcome)
	}
	if _, _, err := g.hitting(at(9.4), visitor1("ann"), "a", ""); !errors.Is(err, ErrClosed) {
		t.Errorf("a hit while recovering: %v", err)
	}
	e := g.endScreen(served{sent: 1000, failed: 140}, nil)
	if !e.Won || e.Outage.ID != 2 || e.Score.DownMS != 1500 || e.Score.Hits != 10 || e.Score.Strikes != 1 {
		t.Errorf("end %+v", e)
	}
	story := strings.Join(e.Story, "\n")
	for _, want := range []string{"+0.00 s: ann-9 struck a on node-a with pod-kill after 10 hits of 10 visitors; proven after 10 ms", "+0.10 s: The service stopped answering.", "between 1200 and 1220 ms: 503 × 9"} {
		if !strings.Contains(story, want) {
			t.Errorf("the story lacks %q:\n%s", want, story)
		}
	}
	if !strings.Contains(e.Headline, "brought the service down for 1.20 s with 10 hits and 1 strike") {
		t.Errorf("headline %q", e.Headline)
	}
	g.finish(at(12), e)
	if g.tick(at(12+endFor.Seconds()+0.1)) || g.phase != PhaseReady || g.end != e || len(g.strikes) != 0 {
		t.Errorf("after the end screen: phase %s", g.phase)
	}
}

func TestAnOutageThatDoesNotEndIsEnded(t *testing.T) {
	g := struckAt(t, 5)
	for s := 6.0; s < 15.9; s += 0.5 {
		g.measured(SubjectService, outage(1, 6, s, true))
		if g.tick(at(s)) {
			t.Fatalf("healed after %g s, want 10", s-6)
		}
	}
	g.measured(SubjectService, outage(1, 6, 16, true))
	if !g.tick(at(16)) || g.outcome != endedWon {
		t.Fatalf("phase %s after 10 s", g.phase)
	}
	// What the repair takes is not the visitors' doing, but it is measured.
	g.measured(SubjectService, outage(1, 6, 19, false))
	if s := g.score(); s.DownMS != 13000 || s.Points != math.Round(10000.0/10*100/110) {
		t.Errorf("score %+v", s)
	}
}

func TestTheClusterHoldsWhenTimeIsUpOrNobodyHits(t *testing.T) {
	for name, c := range map[string]struct {
		hits    float64 // the last one
		until   float64
		outcome string
	}{"time": {60, 65.2, endedTime}, "idle": {5, 25.2, endedIdle}} {
		t.Run(name, func(t *testing.T) {
			g := struckAt(t, 5)
			for s := 6.0; s < c.hits; s++ {
				g.sync(at(s), pods(true, fmt.Sprint("p", s)))
				g.hitting(at(s), visitor1("ann"), fmt.Sprint("p", s), "")
			}
			if g.tick(at(c.until - 0.5)) {
				t.Fatalf("it ended early: %s", g.outcome)
			}
			if !g.tick(at(c.until)) || g.outcome != c.outcome {
				t.Fatalf("phase %s, outcome %q, want %s", g.phase, g.outcome, c.outcome)
			}
			e := g.endScreen(served{sent: 100}, nil)
			if e.Won || e.Score.Points != 0 || e.Outage != nil || !strings.Contains(e.Headline, "held") || e.Score.Resisted != 1 {
				t.Errorf("end %+v", e)
			}
		})
	}
}

func TestOutagesThatNoStrikeCanHaveCausedDoNotCount(t *testing.T) {
	unbounded, single := outage(1, 6, 9, false), outage(1, 6, 9, false)
	unbounded.Unbounded, single.Failed = true, 1
	for name, o := range map[string]probe.Outage{
		"began long before the first strike": outage(1, 1, 9, false), "nothing had ever succeeded": unbounded, "a single request": single,
	} {
		g := struckAt(t, 5)
		g.measured(SubjectService, o)
		if g.won() || len(g.roundOutages()) != 0 {
			t.Errorf("%s: it counts", name)
		}
	}
	g := struckAt(t, 5)
	g.measured(SubjectDNS, outage(1, 6, 9, false))
	if g.won() || g.tick(at(10)) {
		t.Error("an outage of another subject wins")
	}
	g.measured(SubjectService, outage(1, 4.5, 9, false)) // its requests were under way
	if !g.won() {
		t.Error("an outage whose first request was under way does not count")
	}
}

func TestAPauseStopsTheClock(t *testing.T) {
	g := struckAt(t, 5)
	g.pause(at(10), true)
	if _, _, err := g.hitting(at(11), visitor1("ann"), "a", ""); !errors.Is(err, ErrClosed) || g.state(at(11)).Phase != PhasePaused {
		t.Errorf("a hit while paused: %v, phase %s", err, g.state(at(11)).Phase)
	}
	if g.tick(at(1000)) {
		t.Error("the round ended while paused")
	}
	g.pause(at(1000), false)
	if g.tick(at(1010)) || g.phase != PhasePlaying {
		t.Errorf("after the pause: %s", g.phase)
	}
	if !g.tick(at(1020)) || g.outcome != endedIdle {
		t.Errorf("idle time goes on: %s %s", g.phase, g.outcome)
	}
}

func TestScoreIsDowntimeForFewHitsAgainstAClusterThatResists(t *testing.T) {
	for _, c := range []struct {
		hits, resisted int
		down           float64
		want           float64
	}{
		{0, 0, 1, 100}, {100, 0, 1, 50}, {100, 2, 1, 55}, {300, 0, 4, 100}, {0, 30, 1, 150}, {10, 0, 0.4, 0},
	} {
		g := struckAt(t, 200)
		g.hits = c.hits
		for i := range c.resisted {
			g.strikes = append([]*strike{{Strike: Strike{State: StrikeProven, At: at(float64(i))}}}, g.strikes...)
		}
		g.measured(SubjectService, outage(1, 200.1, 200.1+c.down, false))
		if s := g.score(); s.Points != c.want || s.Resisted != c.resisted {
			t.Errorf("%+v: %+v", c, s)
		}
	}
}

// play simulates visitors with a plan against pods that are replaced readyAfter
// seconds after their kill, and returns for how long none was ready.
func play(t *testing.T, visitors int, clicksPerSecond, readyAfter float64, plan func(v int, alive []Target) string) float64 {
	g := start(t, "giveUp: 60s", "giveUp: 10m")
	here := pods(true, "a", "b", "c")
	g.sync(at(0), here)
	births := map[string]float64{}
	serial, downFor := 0, 0.0
	next := make([]float64, visitors)
	const step = 0.01
	for now := 0.0; now < 60; now += step {
		ready := 0
		for i := range here {
			if when, young := births[here[i].id]; young && now >= when {
				here[i].up = true
			}
			if here[i].up {
				ready++
			}
		}
		g.sync(at(now), here)
		if ready == 0 {
			downFor += step
		}
		for v := range visitors {
			if now < next[v] {
				continue
			}
			next[v] = now + 1/clicksPerSecond
			_, k, err := g.hitting(at(now), visitor1(fmt.Sprint(v)), plan(v, g.state(at(now)).Targets), "")
			if err != nil || k == nil {
				continue
			}
			g.proven(at(now), k, "f", nil)
			serial++
			fresh := pods(false, fmt.Sprintf("n%d", serial))[0]
			fresh.created = at(now)
			for j := range here {
				if here[j].id == k.Target {
					here[j] = fresh
				}
			}
			births[fresh.id] = now + readyAfter
			g.sync(at(now), here)
		}
	}
	return downFor
}

// oneByOne hits one pod until it is gone, then the next.
func oneByOne() func(int, []Target) string {
	i, last := 0, ""
	return func(_ int, alive []Target) string {
		if slices.ContainsFunc(alive, func(p Target) bool { return p.ID == last && !p.Dying }) {
			return last
		}
		i++
		last = alive[i%len(alive)].ID
		return last
	}
}

// weakenAll hits whichever pod has the most health until all are weak, and then
// finishes them one after another.
func weakenAll() func(int, []Target) string {
	finish := false
	return func(_ int, alive []Target) string {
		most, least := alive[0], alive[0]
		for _, p := range alive {
			if p.Health > most.Health {
				most = p
			}
			if !p.Dying && p.Health < least.Health {
				least = p
			}
		}
		finish = finish || most.Health <= 20
		if finish {
			return least.ID
		}
		return most.ID
	}
}

func TestTheRulesMakeItHardButPossible(t *testing.T) {
	const readyAfter = 1.3 // seconds from a kill to its replacement's readiness on an idle lab
	for _, clicks := range []float64{3, 6, 8} {
		if d := play(t, 1, clicks, readyAfter, oneByOne()); d > 0 {
			t.Errorf("one visitor at %g hits a second who goes one by one took the service down for %.2f s, want not at all", clicks, d)
		}
	}
	if d := play(t, 1, 6, readyAfter, weakenAll()); d < 0.5 {
		t.Errorf("one quick visitor with a plan took the service down for %.2f s, want half a second at least", d)
	}
	alone := func(v int, alive []Target) string { return alive[v%len(alive)].ID }
	if d := play(t, 3, 4, readyAfter, alone); d < 0.5 {
		t.Errorf("three visitors with a pod each took it down for %.2f s, want half a second at least", d)
	}
}

func TestVisitorNamesAreFitToBeShown(t *testing.T) {
	for in, want := range map[string]string{
		"": "somebody", "  Ada ": "Ada", "a\nb\x00c": "abc", strings.Repeat("ä", 30): strings.Repeat("ä", 24), "\u202eevil": "evil",
	} {
		if got := visitorName(in); got != want {
			t.Errorf("visitorName(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzGame throws moves at a game in any order: whatever happens, health stays in
// its bounds, the cap holds, and a round always comes to an end.
func FuzzGame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbccccccccccccc!!!!!!????zzzz"))
	f.Fuzz(func(t *testing.T, moves []byte) {
		if len(moves) > 2000 {
			return
		}
		g := start(t, "all: 200}", "all: 200, simultaneous: 2}", "idle: 20s", "idle: 5s")
		now := 0.0
		names := []string{"a", "b", "c", "n"}
		here := append(pods(true, "a", "b", "c"), node("n", true))
		g.sync(at(now), here)
		var open []*strike
		for i, m := range moves {
			now += float64(m%7) / 10
			switch m / 32 {
			case 0, 1, 2, 3:
				if _, k, err := g.hitting(at(now), visitor1(fmt.Sprint(m%5)), names[m%4], ""); err == nil && k != nil {
					open = append(open, k)
				}
			case 4:
				if len(open) > 0 {
					if m%2 == 0 {
						g.proven(at(now), open[0], fmt.Sprint("f", i), nil)
						g.ended(open[0])
					} else {
						g.failed(at(now), open[0], "no")
					}
					open = open[1:]
				}
			case 5:
				here[m%4].up = !here[m%4].up
				g.sync(at(now), here)
			case 6:
				g.measured(SubjectService, outage(int(m%4)+1, now-1, now, m%2 == 0))
			case 7:
				g.tick(at(now))
				if g.phase == PhaseRecovering && m%3 == 0 {
					g.finish(at(now), g.endScreen(served{}, nil))
				}
				g.pause(at(now), m%16 == 0)
			}
			struck := 0
			for _, v := range g.state(at(now)).Targets {
				if v.Health < 0 || v.Health > v.Max || math.IsNaN(v.Health) {
					t.Fatalf("health %g of %g", v.Health, v.Max)
				}
				if v.Dying || v.Down {
					struck++
				}
			}
			if struck > 2 {
				t.Fatalf("%d targets are struck, the cap is 2", struck)
			}
			if s := g.score(); s.Points < 0 || math.IsNaN(s.Points) || s.Resisted > s.Strikes {
				t.Fatalf("score %+v", s)
			}
		}
	})
}

package arena

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/probe"
)

var epoch = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * 1e9)) }

func pods(ready bool, names ...string) []cluster.Pod {
	var out []cluster.Pod
	for _, n := range names {
		out = append(out, cluster.Pod{Namespace: "web", Name: n, UID: "uid-" + n, Node: "node-" + n, Ready: ready, Phase: "Running", Created: epoch})
	}
	return out
}

func health(t *testing.T, g *game, now time.Time, name string) float64 {
	t.Helper()
	for _, p := range g.state(now).Pods {
		if p.Name == name {
			return p.Health
		}
	}
	t.Fatalf("no pod %s", name)
	return 0
}

func TestHitsTakeHealthAndRestGivesItBack(t *testing.T) {
	g := newGame(DefaultRules())
	g.sync(at(0), pods(true, "a", "b"))
	for i := range 4 {
		if _, k, err := g.strike(at(0.2*float64(i)), "ann", "a"); err != nil || k != nil {
			t.Fatalf("hit %d: kill %v, err %v", i, k, err)
		}
	}
	for _, c := range []struct{ seconds, want float64 }{{0.6, 60}, {3.6, 60}, {4.6, 65}, {7.6, 80}, {60, 100}} {
		if got := health(t, g, at(c.seconds), "a"); got != c.want {
			t.Errorf("health after %g s is %g, want %g", c.seconds, got, c.want)
		}
	}
	if got := health(t, g, at(60), "b"); got != 100 {
		t.Errorf("the other pod has %g", got)
	}
}

func TestHealingDoesNotDependOnHowOftenOneLooks(t *testing.T) {
	often, once := newGame(DefaultRules()), newGame(DefaultRules())
	for _, g := range []*game{often, once} {
		g.sync(at(0), pods(true, "a"))
		for range 5 {
			g.strike(at(0), "ann", "a")
		}
	}
	for i := range 400 {
		often.state(at(float64(i) / 100))
	}
	a, b := often.pods["uid-a"], once.pods["uid-a"]
	often.heal(at(4), a)
	once.heal(at(4), b)
	if math.Abs(a.health-b.health) > 1e-6 || math.Abs(a.health-55) > 1e-6 {
		t.Errorf("looked at often %g, once %g, want 55", a.health, b.health)
	}
}

func TestTheLastHitKillsOnce(t *testing.T) {
	g := newGame(DefaultRules())
	g.sync(at(0), pods(true, "a"))
	var kill *Kill
	for i := range 10 {
		_, k, err := g.strike(at(0.2*float64(i)), "ann", "uid-a")
		if err != nil {
			t.Fatal(err)
		}
		if (k != nil) != (i == 9) {
			t.Fatalf("hit %d: kill %+v", i+1, k)
		}
		kill = k
	}
	if kill.Pod != "a" || kill.UID != "uid-a" || kill.Hits != 10 || kill.By != "ann" || kill.Node != "node-a" {
		t.Errorf("kill %+v", kill)
	}
	if _, _, err := g.strike(at(3), "bob", "a"); !errors.Is(err, ErrDying) {
		t.Errorf("a hit on a dying pod: %v, want %v", err, ErrDying)
	}
	g.spared(at(3), kill)
	if got := health(t, g, at(3), "a"); got != 20 || len(g.kills) != 0 {
		t.Errorf("a pod whose deletion failed has %g, %d kills; want 20 and none", got, len(g.kills))
	}
	if _, _, err := g.strike(at(3), "bob", "a"); err != nil {
		t.Errorf("it can be hit again: %v", err)
	}
}

func TestHitsOnNothingAreRefused(t *testing.T) {
	g := newGame(DefaultRules())
	g.sync(at(0), pods(true, "a"))
	for _, name := range []string{"", "b", "uid-b", "kube-apiserver"} {
		if _, _, err := g.strike(at(0), "ann", name); !errors.Is(err, ErrNoTarget) {
			t.Errorf("hit on %q: %v", name, err)
		}
	}
	leaving := pods(true, "a")
	leaving[0].Deleting = at(0)
	g.sync(at(1), leaving)
	if _, _, err := g.strike(at(1), "ann", "a"); !errors.Is(err, ErrDying) {
		t.Errorf("hit on a pod that Kubernetes is deleting: %v", err)
	}
}

func TestEachVisitorHasALimit(t *testing.T) {
	r := DefaultRules()
	r.Health = 1e9
	g := newGame(r)
	g.sync(at(0), pods(true, "a"))
	hits := map[string]int{}
	for i := range 1000 { // ten seconds, 100 attempts a second each
		for _, who := range []string{"ann", "bob"} {
			if _, _, err := g.strike(at(float64(i)/100), who, "a"); err == nil {
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
}

func TestManyVisitorsShareALimitAndAreForgotten(t *testing.T) {
	r := DefaultRules()
	r.Health = 1e9
	g := newGame(r)
	g.sync(at(0), pods(true, "a"))
	n := 0
	for i := range 5000 {
		if _, _, err := g.strike(at(0), fmt.Sprintf("v%d", i), "a"); err == nil {
			n++
		}
	}
	if n != 200 {
		t.Errorf("%d hits in one moment, want 200", n)
	}
	if len(g.visitors) > keepVisitors {
		t.Errorf("%d visitors are remembered, want at most %d", len(g.visitors), keepVisitors)
	}
}

func TestAReplacementIsToldApartFromOtherNewPods(t *testing.T) {
	g := newGame(DefaultRules())
	g.sync(at(0), pods(true, "a", "b"))
	k := g.kill(at(10), "ann", "uid-a", g.pods["uid-a"])
	// The news of the replacement overtakes the confirmation of the deletion.
	g.sync(at(10.1), append(pods(true, "b"), pods(false, "c")...))
	g.deleted(at(10.2), k)
	if k.Replacement != "c" {
		t.Fatalf("replacement %q, want c", k.Replacement)
	}
	if got := health(t, g, at(10.1), "c"); got != 50 {
		t.Errorf("a replacement starts with %g, want 50", got)
	}
	replaced := g.sync(at(12.5), append(pods(true, "b"), pods(true, "c")...))
	if len(replaced) != 1 || replaced[0].ReadyMS != 2500 {
		t.Errorf("replaced %+v, want c after 2500 ms", replaced)
	}
	if again := g.sync(at(13), append(pods(true, "b"), pods(true, "c", "d")...)); len(again) != 0 {
		t.Errorf("replaced again: %+v", again)
	}
	if got := health(t, g, at(13), "d"); got != 100 {
		t.Errorf("a pod that replaces nobody has %g, want 100", got)
	}
}

// play simulates visitors with a plan against pods that are replaced readyAfter
// seconds after their kill, and returns for how long none was ready.
func play(visitors int, clicksPerSecond, readyAfter float64, plan func(v int, alive []PodState) string) float64 {
	g := newGame(DefaultRules())
	here := pods(true, "a", "b", "c")
	g.sync(at(0), here)
	type birth struct {
		when float64
		uid  string
	}
	var births []birth
	serial, downFor := 0, 0.0
	next := make([]float64, visitors)
	const step = 0.01
	for now := 0.0; now < 60; now += step {
		for i := range births {
			if births[i].when > 0 && now >= births[i].when {
				for j := range here {
					if here[j].UID == births[i].uid {
						here[j].Ready = true
					}
				}
				births[i].when = 0
			}
		}
		g.sync(at(now), here)
		ready := 0
		for _, p := range here {
			if p.Ready {
				ready++
			}
		}
		if ready == 0 {
			downFor += step
		}
		for v := range visitors {
			if now < next[v] {
				continue
			}
			next[v] = now + 1/clicksPerSecond
			_, k, err := g.strike(at(now), fmt.Sprint(v), plan(v, g.state(at(now)).Pods))
			if err != nil || k == nil {
				continue
			}
			g.deleted(at(now), k)
			serial++
			fresh := pods(false, fmt.Sprintf("n%d", serial))[0]
			for j := range here {
				if here[j].UID == k.UID {
					here[j] = fresh
				}
			}
			births = append(births, birth{now + readyAfter, fresh.UID})
			g.sync(at(now), here)
		}
	}
	return downFor
}

// oneByOne hits one pod until it is gone, then the next.
func oneByOne() func(int, []PodState) string {
	i, last := 0, ""
	return func(_ int, alive []PodState) string {
		for _, p := range alive {
			if p.UID == last && !p.Dying {
				return last
			}
		}
		i++
		last = alive[i%len(alive)].UID
		return last
	}
}

// weakenAll hits whichever pod has the most health until all are weak, and then
// finishes them one after another.
func weakenAll() func(int, []PodState) string {
	finish := false
	return func(_ int, alive []PodState) string {
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
			return least.UID
		}
		return most.UID
	}
}

func TestTheRulesMakeItHardButPossible(t *testing.T) {
	const readyAfter = 1.3 // seconds from a kill to its replacement's readiness on an idle lab
	for _, clicks := range []float64{3, 6, 8} {
		if d := play(1, clicks, readyAfter, oneByOne()); d > 0 {
			t.Errorf("one visitor at %g hits a second who goes one by one took the service down for %.2f s, want not at all", clicks, d)
		}
	}
	if d := play(1, 6, readyAfter, weakenAll()); d < 0.5 {
		t.Errorf("one quick visitor with a plan took the service down for %.2f s, want half a second at least", d)
	}
	alone := func(v int, alive []PodState) string { return alive[v%len(alive)].UID }
	if d := play(3, 4, readyAfter, alone); d < 0.5 {
		t.Errorf("three visitors with a pod each took it down for %.2f s, want half a second at least", d)
	}
}

func TestJudgeWantsAMeasuredOutageAndAKill(t *testing.T) {
	g := newGame(DefaultRules())
	g.sync(at(0), pods(true, "a", "b", "c"))
	for i, name := range []string{"a", "b", "c"} {
		g.strike(at(90+float64(i)), "ann", name)
		g.strike(at(90.2+float64(i)), "bob", name)
		k := g.kill(at(97+float64(i)), "ann", "uid-"+name, g.pods["uid-"+name])
		g.deleted(at(97.02+float64(i)), k)
	}
	outage := func(from, to, lower float64) probe.Outage {
		return probe.Outage{ID: 1, Began: at(from), Ended: at(to), LowerMS: lower, UpperMS: lower + 20, Failed: 9, ByClass: map[string]int{"503": 9}}
	}
	w, won := g.judge(outage(100, 102, 1980))
	if !won {
		t.Fatal("three kills and two seconds of outage are no win")
	}
	if len(w.Kills) != 3 || w.Hits != 6 || len(w.Visitors) != 2 || w.Score != 330 {
		t.Errorf("%d kills, %d hits, %d visitors, score %g; want 3, 6, 2, 330", len(w.Kills), w.Hits, len(w.Visitors), w.Score)
	}
	if w.Visitors[0].Name != "ann" || w.Visitors[0].Kills != 3 {
		t.Errorf("visitors %+v, want ann first with 3 kills", w.Visitors)
	}
	story := strings.Join(w.Story, "\n")
	for _, want := range []string{"-3.00 s: a on node-a was deleted", "+2.00 s: the first user's request succeeded", "between 1980 and 2000 ms", "503 × 9"} {
		if !strings.Contains(story, want) {
			t.Errorf("the story lacks %q:\n%s", want, story)
		}
	}
	for name, o := range map[string]probe.Outage{
		"too short":                 outage(100, 100.05, 40),
		"long after every kill":     outage(200, 203, 3000),
		"over before the first":     outage(80, 82, 2000),
		"still open, so unmeasured": {ID: 2, Open: true, Began: at(100), LowerMS: 5000},
	} {
		if _, won := g.judge(o); won {
			t.Errorf("an outage that is %s counts as a win", name)
		}
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

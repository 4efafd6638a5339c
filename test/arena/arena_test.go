// Package arena plays the levels on a real highly available lab, through the API
// that the page uses: each to a win, or to the proof that the cluster holds.
package arena

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	levels "zdl/arena"
	"zdl/internal/arena"
	"zdl/internal/cluster"
	"zdl/internal/lab"
	"zdl/test/browser"
	"zdl/test/harness"
)

// theLab has the timings of a real cluster: the levels are made for them.
var theLab = harness.New("t-arena")

func TestMain(m *testing.M) {
	os.Exit(harness.Share(m, theLab, "--profile", "ha"))
}

// table is a game on the lab, as a player sees it.
type table struct {
	t      *testing.T
	lab    *harness.Lab
	client *lab.Client
	page   *browser.Page // where hits are clicks; nil: they go to the API
	round  int           // that is played
	names  int
}

// sit chooses a level on a lab that is whole.
func sit(t *testing.T, level string) *table {
	t.Helper()
	l := theLab.Whole(t)
	p := &table{t: t, lab: l, client: connect(t, l)}
	t.Cleanup(func() { p.post("/api/v1/arena/reset", struct{}{}, nil) })
	if err := p.post("/api/v1/arena/level", map[string]string{"name": level}, nil); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the level "+level+" is ready", 30*time.Second, func(context.Context) error {
		if s := p.state(); s.Level.Name != level || s.Phase != arena.PhaseReady {
			return fmt.Errorf("it is %s in phase %s", s.Level.Name, s.Phase)
		}
		return nil
	})
	p.round = p.state().Round + 1
	return p
}

// impatient makes a level of the built-in one whose rounds end soon when nobody
// hits, puts it where an owner puts levels, and chooses it.
func impatient(t *testing.T, level string) *table {
	t.Helper()
	l := theLab.Whole(t)
	dir := filepath.Join(l.StateDir(), "levels")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(levels.Files(), "*-"+level+".*")
	if err != nil || len(files) != 2 {
		t.Fatalf("files of the level %s: %v, %v", level, files, err)
	}
	for _, name := range files {
		data, err := fs.ReadFile(levels.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.NewReplacer("name: "+level+"\n", "name: impatient-"+level+"\nidle: 20s\n").Replace(string(data))
		path := filepath.Join(dir, "impatient-"+name)
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
	}
	return sit(t, "impatient-"+level)
}

func (p *table) post(path string, in, out any) error {
	return p.client.Do(context.Background(), http.MethodPost, path, in, out)
}

func (p *table) state() (s arena.State) {
	p.t.Helper()
	if err := p.client.Do(context.Background(), http.MethodGet, "/api/v1/arena", nil, &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *table) snapshot() (s cluster.Snapshot) {
	p.t.Helper()
	if err := p.client.Do(context.Background(), http.MethodGet, "/api/v1/snapshot", nil, &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// pace is that of a quick player, below the eight hits a second that count.
const pace = 140 * time.Millisecond

// hit is one hit; it tells whether it struck.
func (p *table) hit(target, weapon string) bool {
	if p.page != nil {
		return p.click(target, weapon)
	}
	var r arena.HitResult
	err := p.post("/api/v1/hit", map[string]string{"target": target, "weapon": weapon, "visitor": "Player"}, &r)
	return err == nil && r.Struck
}

// fell hits targets in turn until all have been struck, the strongest first, so
// that all fall at about the same time.
func (p *table) fell(weapon string, ids ...string) {
	p.t.Helper()
	left := slices.Clone(ids)
	for deadline := time.Now().Add(90 * time.Second); len(left) > 0; time.Sleep(pace) {
		if time.Now().After(deadline) {
			p.t.Fatalf("a minute and a half of hits did not strike %v: %s", left, p.told())
		}
		s := p.state()
		if s.Phase != arena.PhaseReady && s.Phase != arena.PhasePlaying && s.Phase != arena.PhaseDown {
			return // it is decided already
		}
		health := map[string]float64{}
		for _, v := range s.Targets {
			health[v.ID] = v.Health
		}
		slices.SortStableFunc(left, func(a, b string) int { return cmp.Compare(health[b], health[a]) })
		if p.hit(left[0], weapon) {
			left = left[1:]
		}
	}
}

// ended waits for the end screen, and for a lab that is whole again.
func (p *table) ended(limit time.Duration) arena.End {
	p.t.Helper()
	var e arena.End
	harness.Eventually(p.t, "the end screen", limit, func(context.Context) error {
		s := p.state()
		if s.End == nil || s.End.Round < p.round {
			return fmt.Errorf("phase %s, %d strikes, outages %s", s.Phase, len(s.Strikes), text(s.Outages))
		}
		e = *s.End
		return nil
	})
	p.t.Logf("%s\nscore %+v\nstory:\n  %s\nwhy:\n  %s\nheld:\n  %s", e.Headline, e.Score, strings.Join(e.Story, "\n  "), strings.Join(e.Why, "\n  "), strings.Join(e.Protected, "\n  "))
	p.lab.WaitHealthy(p.t, 2*time.Minute)
	for _, a := range p.attacks() {
		p.t.Errorf("the round left the fault %s", a)
	}
	return e
}

// attacks lists what is still broken.
func (p *table) attacks() (active []string) {
	var all []struct{ ID, Kind, State string }
	if err := p.client.Do(context.Background(), http.MethodGet, "/api/v1/attacks", nil, &all); err != nil {
		p.t.Fatal(err)
	}
	for _, a := range all {
		if !slices.Contains([]string{"undone", "happened", "failed"}, a.State) {
			active = append(active, a.ID+" "+a.Kind+" "+a.State)
		}
	}
	return active
}

func (p *table) told() string {
	s := p.state()
	return fmt.Sprintf("phase %s, strikes %s, targets %s", s.Phase, text(s.Strikes), text(s.Targets))
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// ids lists the targets that fit.
func (p *table) ids(fits func(arena.Target) bool) []string {
	var out []string
	for _, v := range p.state().Targets {
		if fits == nil || fits(v) {
			out = append(out, v.ID)
		}
	}
	return out
}

func (p *table) won(e arena.End, subject string) {
	p.t.Helper()
	if !e.Won || e.Outage == nil || e.Outage.Subject != subject || e.Score.Points <= 0 || len(e.Story) < 3 || e.Lesson == "" {
		p.t.Errorf("it was not won by the %s: %s", subject, text(e))
	}
	if s := p.state(); len(s.Fame) == 0 || s.Level.Best == nil {
		p.t.Errorf("the hall of fame lacks it: %s", text(s.Fame))
	}
}

func TestPodsAreDeletedFasterThanTheyAreReplaced(t *testing.T) {
	p := sit(t, "pods")
	e := arena.End{}
	for range 8 { // a replacement may be quicker than we are
		p.fell("delete", p.ids(nil)...)
		err := harness.Until(t.Context(), "the round is decided", 3*time.Second, func(context.Context) error {
			if ph := p.state().Phase; ph != arena.PhaseRecovering && ph != arena.PhaseEnded && ph != arena.PhaseDown {
				return errors.New("phase " + ph)
			}
			return nil
		})
		if err == nil {
			break
		}
	}
	e = p.ended(2 * time.Minute)
	p.won(e, arena.SubjectService)
	if len(e.Why) == 0 {
		t.Error("it is not explained")
	}
}

// nodesOf lists nodes, or with zones their zones, on which a pod of an app runs.
func (p *table) nodesOf(app string, zones bool) []string {
	var out []string
	s := p.snapshot()
	for _, pod := range s.System {
		if pod.App != app {
			continue
		}
		if zones {
			out = append(out, "zone/"+s.Node(pod.Node).Zone)
		} else {
			out = append(out, "node/"+pod.Node)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestTheClusterHoldsWhenOneNodeIsLost(t *testing.T) {
	p := impatient(t, "nodes")
	p.fell("power", p.nodesOf("ingress", false)[0])
	e := p.ended(4 * time.Minute)
	if e.Won || e.Score.Points != 0 || !strings.Contains(e.Headline, "held") {
		t.Errorf("one node was enough: %s", text(e))
	}
}

func TestTheServiceSurvivesAZone(t *testing.T) {
	p := impatient(t, "zones")
	p.fell("switch", p.nodesOf("ingress", true)[0])
	e := p.ended(4 * time.Minute)
	if e.Won || e.Score.Points != 0 {
		t.Errorf("one zone was enough: %s", text(e))
	}
}

func TestOneFailoverOfALoadBalancerIsTooShortToWin(t *testing.T) {
	p := impatient(t, "edge")
	s := p.snapshot()
	for _, m := range s.Machines {
		if slices.Contains(m.Holds, "users") {
			p.fell("power", "machine/"+m.Name)
		}
	}
	e := p.ended(4 * time.Minute)
	if e.Won || e.Score.Strikes != 1 {
		t.Errorf("one load balancer was enough: %s", text(e))
	}
}

func TestBothRoutersAreLost(t *testing.T) {
	p := sit(t, "edge")
	p.fell("router", "machine/router-1", "machine/router-2")
	p.won(p.ended(3*time.Minute), arena.SubjectService)
}

func component(name string) func(arena.Target) bool {
	return func(v arena.Target) bool { return v.Kind == arena.KindComponent && v.Name == name }
}

func TestNothingIsReplacedWithoutAControllerManager(t *testing.T) {
	p := sit(t, "control-plane")
	p.fell("freeze", p.ids(component("kube-controller-manager"))...)
	for _, id := range p.ids(func(v arena.Target) bool { return v.Kind == arena.KindPod }) {
		p.fell("delete", id) // one by one, without any haste
	}
	e := p.ended(4 * time.Minute)
	p.won(e, arena.SubjectService)
}

func TestTheLossOfOneEtcdMemberIsSurvived(t *testing.T) {
	p := impatient(t, "etcd")
	p.fell("crash", p.ids(nil)[0])
	e := p.ended(4 * time.Minute)
	if e.Won {
		t.Errorf("one member was enough: %s", text(e))
	}
}

func TestInFreePlayAFaultWithoutAPlaceIsMadeAndHealed(t *testing.T) {
	p := sit(t, "free-play")
	p.fell("dns-nxdomain", "lab/web")
	if active := p.attacks(); len(active) != 1 || !strings.Contains(active[0], "dns-nxdomain") {
		t.Fatalf("what is broken: %v", active)
	}
	if err := p.post("/api/v1/arena/heal", map[string]string{"target": "lab/web"}, nil); err != nil {
		t.Fatal(err)
	}
	if active := p.attacks(); len(active) != 0 {
		t.Errorf("after it was healed: %v", active)
	}
	if s := p.state(); s.Strikes[0].State != arena.StrikeHealed && s.Strikes[0].State != arena.StrikeProven || s.Strikes[0].AttackID == "" {
		t.Errorf("the strike: %s", text(s.Strikes))
	}
}

func TestWhatADeadDaemonsVisitorsStruckIsPutRight(t *testing.T) {
	p := sit(t, "nodes")
	p.fell("power", p.ids(nil)[0])
	if len(p.attacks()) != 1 {
		t.Fatalf("struck: %v", p.attacks())
	}
	daemon, err := p.lab.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.FindProcess(daemon.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.lab.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "it is healed and the game is fresh", time.Minute, func(context.Context) error {
		if s := p.state(); len(p.attacks()) > 0 || s.Phase != arena.PhaseReady || len(s.Strikes) > 0 {
			return fmt.Errorf("%v, phase %s", p.attacks(), s.Phase)
		}
		return nil
	})
	p.lab.WaitHealthy(t, 2*time.Minute)
}

func connect(t *testing.T, l *harness.Lab) *lab.Client {
	t.Helper()
	c, err := lab.Connect(l.Dirs(), l.Name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

package arena

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"zdl/internal/cause"
	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/probe"
	"zdl/internal/timeline"
)

// snapshot is a cluster of three nodes in three zones with so many pods.
func snapshot(n int) cluster.Snapshot {
	s := cluster.Snapshot{Synced: true, Target: cluster.Target{Namespace: "web", Service: "web", Desired: n}}
	for i := range 3 {
		s.Zones = append(s.Zones, cluster.Zone{Name: fmt.Sprint("zone-", i), Nodes: []cluster.Node{{Name: fmt.Sprint("worker-", i), Zone: fmt.Sprint("zone-", i), Ready: true, Power: cluster.PowerOn}}})
	}
	for i := range n {
		node := &s.Zones[i%3].Nodes[0]
		node.Pods = append(node.Pods, cluster.Pod{Namespace: "web", Name: fmt.Sprint("web-", i), UID: fmt.Sprint("uid-", i), App: "web", Node: node.Name, Phase: "Running", Ready: true, Created: time.Now()})
	}
	return s
}

// world is a cluster, its faults and its users at once.
type world struct {
	mu      sync.Mutex
	snap    cluster.Snapshot
	wake    chan struct{}
	attacks []fault.Attack
	asked   []fault.Request
	refuse  error
	hold    chan struct{} // attacks wait for it; nil: they don't
	outages []probe.Outage
	sent    int64
}

func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.snap.Version++
	close(w.wake)
	w.wake = make(chan struct{})
}

func (w *world) Snapshot() cluster.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.snap
	s.Zones = nil
	for _, z := range w.snap.Zones {
		z.Nodes = slices.Clone(z.Nodes)
		for i := range z.Nodes {
			z.Nodes[i].Pods = slices.Clone(z.Nodes[i].Pods)
		}
		s.Zones = append(s.Zones, z)
	}
	return s
}

func (w *world) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wake
}

func (w *world) Capabilities() []cluster.Capability { return nil }
func (w *world) Catalogue() []fault.Kind            { return kinds() }

func (w *world) Attack(_ context.Context, r fault.Request) (fault.Attack, error) {
	w.mu.Lock()
	refuse, hold := w.refuse, w.hold
	w.asked = append(w.asked, r)
	w.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if refuse != nil {
		return fault.Attack{}, refuse
	}
	a := fault.Attack{Kind: r.Kind, By: r.By, State: fault.Active, Evidence: []string{"seen"}}
	w.change(func() {
		a.ID = fmt.Sprint("f", len(w.attacks)+1)
		switch r.Kind {
		case "pod-kill":
			a.State = fault.Happened
			w.remove(strings.TrimPrefix(r.Target, "web/"))
		case "node-power-off":
			w.node(r.Target).Power = cluster.PowerOff
		}
		w.attacks = append(w.attacks, a)
	})
	return a, nil
}

func (w *world) remove(uid string) {
	for i := range w.snap.Zones {
		n := &w.snap.Zones[i].Nodes[0]
		n.Pods = slices.DeleteFunc(n.Pods, func(p cluster.Pod) bool { return p.UID == uid })
	}
}

func (w *world) node(name string) *cluster.Node {
	for i := range w.snap.Zones {
		if n := &w.snap.Zones[i].Nodes[0]; n.Name == name {
			return n
		}
	}
	return &cluster.Node{}
}

func (w *world) Heal(_ context.Context, id string) (fault.Attack, error) {
	w.change(func() {
		for i := range w.attacks {
			if w.attacks[i].ID == id && !w.attacks[i].State.Over() {
				w.attacks[i].State = fault.Undone
				for j := range w.snap.Zones {
					w.snap.Zones[j].Nodes[0].Power = cluster.PowerOn
				}
			}
		}
	})
	a, _ := w.Get(id)
	return a, nil
}

func (w *world) Get(id string) (fault.Attack, bool) {
	for _, a := range w.Attacks() {
		if a.ID == id {
			return a, true
		}
	}
	return fault.Attack{}, false
}

func (w *world) Attacks() []fault.Attack {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.attacks)
}

func (w *world) Outages(after int) []probe.Outage {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []probe.Outage
	for _, o := range w.outages {
		if o.ID > after {
			out = append(out, o)
		}
	}
	return out
}

func (w *world) Summary() probe.Summary {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent += 10
	up := len(w.outages) == 0 || !w.outages[len(w.outages)-1].Open
	return probe.Summary{Up: up, Known: true, Sent: w.sent}
}

// down is what the prober says next.
func (w *world) down(o probe.Outage) {
	w.change(func() {
		w.outages = append(slices.DeleteFunc(w.outages, func(p probe.Outage) bool { return p.ID == o.ID }), o)
	})
}

// opens runs an arena on a world of three pods until the test ends.
func opens(t *testing.T, w *world, change func(*Config)) *Arena {
	t.Helper()
	w.wake, w.snap = make(chan struct{}), snapshot(3)
	log, err := timeline.Open("")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("name: small", "name: other", "number: 1", "number: 2").Replace(small)
	c := Config{Cluster: w, Faults: w, Service: w, Timeline: log, Levels: fstest.MapFS{
		"01-small.yaml": {Data: []byte(small)}, "01-small.md": {Data: []byte("Text.")},
		"02-other.yaml": {Data: []byte(other)}, "02-other.md": {Data: []byte("Text.")},
		"03-wrong.yaml": {Data: []byte("x: 1")}, "03-wrong.md": {Data: []byte("Text.")}}}
	if change != nil {
		change(&c)
	}
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	until(t, "the arena is open", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.ctx != nil && len(a.game.targets) > 0
	})
	return a
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 15 s until %s", what)
		}
	}
}

// strikeDown hits a target with many visitors until it is struck.
func strikeDown(t *testing.T, a *Arena, target, weapon string) HitResult {
	t.Helper()
	for i := range 40 {
		r, err := a.Hit(t.Context(), Visitor{ID: fmt.Sprint("s", i), Name: fmt.Sprint("v", i)}, target, weapon)
		if err != nil {
			t.Fatal(err)
		}
		if r.Strike != nil {
			return r
		}
	}
	t.Fatalf("%s does not fall", target)
	return HitResult{}
}

func TestARoundIsPlayedWonAndPutRight(t *testing.T) {
	w := &world{}
	why := cause.Breakdown{EndedBy: "A new pod was ready.", Parts: []cause.Part{{MS: 900, What: "the new pod is ready", Owners: []cause.Setting{{Name: "periodSeconds", Value: "1", Where: "Deployment web"}}}}}
	fame := filepath.Join(t.TempDir(), "arena.json")
	a := opens(t, w, func(c *Config) {
		c.Fame = fame
		c.Cause = func(_ context.Context, subject string, id int) (cause.Breakdown, bool) {
			return why, subject == SubjectService && id == 1
		}
	})
	r := strikeDown(t, a, "pod/web/uid-0", "")
	if !r.Struck || r.Strike.State != StrikeProven || r.Strike.AttackID != "f1" || r.Strike.Evidence[0] != "seen" {
		t.Fatalf("struck: %+v %+v", r, r.Strike)
	}
	strikeDown(t, a, "worker-1", "power")
	if got := w.asked; len(got) != 2 || got[0].Kind != "pod-kill" || got[0].Target != "web/uid-0" || got[0].By != "arena: v9" || got[0].For != 0 ||
		got[1].Target != "worker-1" || got[1].For != 20*time.Second {
		t.Fatalf("the engine was asked for %+v", got)
	}
	s := a.State()
	if s.Phase != PhasePlaying || s.Round != 1 || len(s.Strikes) != 2 || s.Hits != 20 || len(s.Players) != 10 {
		t.Errorf("state %+v", s)
	}
	now := time.Now().Add(-900 * time.Millisecond)
	o := probe.Outage{ID: 1, Open: true, Began: now, Failed: 40, LowerMS: 400, ByClass: map[string]int{"503": 40}}
	w.down(o)
	until(t, "it is down", func() bool { return a.State().Phase == PhaseDown })
	o.Open, o.LowerMS, o.UpperMS, o.Ended = false, 900, 920, now.Add(900*time.Millisecond)
	w.down(o)
	until(t, "everything is put right, but for the pod", func() bool { return w.Attacks()[1].State == fault.Undone })
	if s := a.State(); s.Phase != PhaseRecovering {
		t.Errorf("phase %s although a pod is missing", s.Phase)
	}
	w.change(func() {
		w.snap.Zones[0].Nodes[0].Pods = append(w.snap.Zones[0].Nodes[0].Pods, cluster.Pod{Namespace: "web", Name: "web-new", UID: "uid-new", App: "web", Node: "worker-0", Phase: "Running", Ready: true, Created: time.Now()})
	})
	until(t, "the end screen", func() bool { return a.State().Phase == PhaseEnded })
	s = a.State()
	e := s.End
	if !e.Won || e.Outage.LowerMS != 900 || e.Score.Points == 0 || len(e.Why) != 2 || !strings.Contains(e.Why[0], "periodSeconds = 1 (Deployment web)") || e.Lesson != "None." {
		t.Errorf("end %+v", e)
	}
	if !slices.ContainsFunc(e.Protected, func(l string) bool { return strings.Contains(l, "Kubernetes replaced 1 pod") }) {
		t.Errorf("protected: %q", e.Protected)
	}
	if len(s.Fame) != 1 || s.Level.Best == nil || s.Fame[0].Points != e.Score.Points || len(s.Fame[0].Names) != fameNames || s.Fame[0].Others != 5 {
		t.Errorf("fame %+v", s.Fame)
	}
	h, err := openHall(fame)
	if err != nil || len(h.of("small")) != 1 || h.rounds("small") != 1 {
		t.Errorf("on disk: %v, %+v", err, h.data)
	}
	var kinds []string
	for _, entry := range a.Timeline.Since(0, 0) {
		kinds = append(kinds, entry.Kind)
	}
	for _, want := range []string{EntryRound, timeline.KindHit, timeline.KindWin} {
		if !slices.Contains(kinds, want) {
			t.Errorf("the timeline lacks %s: %v", want, kinds)
		}
	}
}

func TestAFaultThatCannotBeMadeIsToldAndSparesTheTarget(t *testing.T) {
	w := &world{}
	a := opens(t, w, nil)
	w.mu.Lock()
	w.refuse = errors.New("connection refused")
	w.mu.Unlock()
	var last error
	for i := range 10 {
		_, last = a.Hit(t.Context(), Visitor{ID: fmt.Sprint(i), Name: "ann"}, "uid-0", "")
	}
	if !errors.Is(last, ErrFailed) || !strings.Contains(last.Error(), "web-0 could not be struck with pod-kill: connection refused") {
		t.Errorf("it says %v", last)
	}
	s := a.State()
	i := slices.IndexFunc(s.Targets, func(p Target) bool { return p.ID == "pod/web/uid-0" })
	if i < 0 || s.Targets[i].Health != 20 || s.Strikes[0].State != StrikeFailed || s.Strikes[0].Trouble == "" {
		t.Errorf("state %+v", s)
	}
}

func TestAFaultThatComesTooLateIsHealedAtOnce(t *testing.T) {
	w := &world{}
	a := opens(t, w, nil)
	hold := make(chan struct{})
	w.mu.Lock()
	w.hold = hold
	w.mu.Unlock()
	hit := make(chan struct{})
	go func() {
		defer close(hit)
		for i := range 10 {
			_, _ = a.Hit(context.Background(), Visitor{ID: fmt.Sprint(i), Name: "ann"}, "worker-0", "power")
		}
	}()
	until(t, "the fault is on its way", func() bool { s := a.State(); return len(s.Strikes) == 1 })
	a.Reset()
	if s := a.State(); s.Phase != PhaseRecovering {
		t.Fatalf("phase %s: the fault is still on its way", s.Phase)
	}
	close(hold)
	<-hit
	until(t, "it is healed and the game is fresh", func() bool {
		s := a.State()
		return s.Phase == PhaseReady && w.Attacks()[0].State == fault.Undone && len(s.Strikes) == 0
	})
	if a.State().End != nil {
		t.Error("a round that the owner ended has an end screen")
	}
}

func TestWhatADeadDaemonLeftIsHealedAndOthersFaultsAreNot(t *testing.T) {
	w := &world{attacks: []fault.Attack{{ID: "f1", By: "arena: ann", State: fault.Active}, {ID: "f2", By: "owner", State: fault.Active}}}
	a := opens(t, w, nil)
	until(t, "it is healed", func() bool { return w.Attacks()[0].State == fault.Undone })
	if w.Attacks()[1].State != fault.Active || a.State().Phase != PhaseReady {
		t.Errorf("%+v", w.Attacks())
	}
}

func TestLevelsAreListedChosenAndRefused(t *testing.T) {
	w := &world{}
	user := t.TempDir()
	a := opens(t, w, func(c *Config) { c.UserLevels = user })
	s := a.State()
	if len(s.Levels) != 3 || s.Level.Name != "small" || !s.Levels[1].Playable || s.Levels[2].Playable || !strings.Contains(s.Levels[2].Why, "03-wrong.yaml: line 1") {
		t.Fatalf("levels %+v", s.Levels)
	}
	if err := a.SetLevel("nothing"); !errors.Is(err, ErrNoLevel) {
		t.Errorf("a level that is not there: %v", err)
	}
	if err := a.SetLevel("03-wrong"); !errors.Is(err, ErrUnplayable) {
		t.Errorf("a level that is wrong: %v", err)
	}
	text := strings.NewReplacer("name: small", "name: mine", "number: 1", "number: 50").Replace(small)
	for name, data := range map[string]string{"50-mine.yaml": text, "50-mine.md": "Mine."} {
		if err := os.WriteFile(filepath.Join(user, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.SetLevel("mine"); err != nil {
		t.Fatal(err)
	}
	version := s.Version
	if s = a.State(); s.Level.Name != "mine" || s.Text != "Mine." || s.Version <= version || s.Phase != PhaseReady {
		t.Errorf("state %+v", s)
	}
	// In the middle of a round everything is put right first.
	strikeDown(t, a, "worker-2", "power")
	if err := a.SetLevel("other"); err != nil {
		t.Fatal(err)
	}
	if s := a.State(); s.Phase != PhaseRecovering || s.Level.Name != "mine" {
		t.Errorf("at once %s in phase %s", s.Level.Name, s.Phase)
	}
	until(t, "the other level", func() bool { s := a.State(); return s.Level.Name == "other" && s.Phase == PhaseReady })
	if w.Attacks()[0].State != fault.Undone {
		t.Error("the fault outlived its level")
	}
}

func TestSubjectsAreMeasuredOnlyWhileARoundNeedsThem(t *testing.T) {
	w := &world{}
	other := &world{wake: make(chan struct{})}
	var mu sync.Mutex
	started, running := 0, 0
	api := strings.NewReplacer("name: small", "name: api", "number: 1", "number: 0x1", "lesson:", "subject: api\nlesson:", "idle: 20s", "idle: 5s").Replace(small)
	a := opens(t, w, func(c *Config) {
		c.Levels = fstest.MapFS{"01.yaml": {Data: []byte(api)}, "01.md": {Data: []byte("Text.")}}
		c.Probe = func(ctx context.Context, subject string) (Prober, error) {
			mu.Lock()
			defer mu.Unlock()
			if started++; started == 1 {
				return nil, errors.New("no node has power")
			}
			running++
			context.AfterFunc(ctx, func() { mu.Lock(); running--; mu.Unlock() })
			return other, nil
		}
	})
	if started != 0 {
		t.Error("it is measured although nobody plays")
	}
	if _, err := a.Hit(t.Context(), Visitor{ID: "a", Name: "ann"}, "uid-0", ""); err != nil {
		t.Fatal(err)
	}
	until(t, "the trouble is told", func() bool {
		s := a.State()
		return len(s.Troubles) == 1 && strings.Contains(s.Troubles[0], "no node has power")
	})
	until(t, "it is tried again", func() bool { mu.Lock(); defer mu.Unlock(); return running == 1 })
	a.Reset()
	until(t, "it is not measured any more", func() bool { mu.Lock(); defer mu.Unlock(); return running == 0 })
}

func TestWhatALevelNeedsIsInstalledWhenItIsChosen(t *testing.T) {
	w := &world{}
	installs, fail := make(chan error), errors.New("no disk has room")
	a := opens(t, w, func(c *Config) {
		stateful := strings.NewReplacer("name: small", "name: stateful", "number: 1", "number: 2\ninstall: database", "{of: service}", "{namespace: database, app: postgres}").Replace(small)
		c.Levels = fstest.MapFS{
			"01-small.yaml": {Data: []byte(small)}, "01-small.md": {Data: []byte("Text.")},
			"02-stateful.yaml": {Data: []byte(stateful)}, "02-stateful.md": {Data: []byte("Text.")}}
		c.Installable = map[string]Installable{"database": {Title: "a database", Install: func(ctx context.Context) error { return <-installs }}}
	})
	info := func() LevelInfo { return a.State().Levels[1] }
	if l := info(); !l.Playable || l.Installs != "a database" || l.Why != "" {
		t.Fatalf("before, the level is %+v", l)
	}
	if err := a.SetLevel("stateful"); err != nil {
		t.Fatal(err)
	}
	if p := a.State().Preparing; p == nil || p.Level != "stateful" || p.Failed != "" || a.State().Level.Name != "small" {
		t.Errorf("while it is installed: %+v", p)
	}
	if err := a.SetLevel("stateful"); !errors.Is(err, ErrUnplayable) {
		t.Errorf("chosen twice: %v", err)
	}
	installs <- fail
	until(t, "the failure is told", func() bool { p := a.State().Preparing; return p != nil && p.Failed != "" })
	if p := a.State().Preparing; p.Failed != fail.Error() || a.State().Level.Name != "small" {
		t.Errorf("after it failed: %+v", p)
	}
	if err := a.SetLevel("stateful"); err != nil { // another try
		t.Fatal(err)
	}
	installs <- nil
	w.change(func() {
		w.snap.System = append(w.snap.System, cluster.Pod{Namespace: "database", Name: "postgres-0", UID: "db-0", App: "postgres", Node: "worker-0", Phase: "Running", Ready: true, Created: time.Now()})
	})
	until(t, "the level is played", func() bool { return a.State().Level.Name == "stateful" })
	if s := a.State(); s.Preparing != nil || info().Installs != "" {
		t.Errorf("once it is there: %+v, %+v", s.Preparing, info())
	}
}

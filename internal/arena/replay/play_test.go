package replay

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/probe"
)

// fakeLab notes what is done to it.
type fakeLab struct {
	mu       sync.Mutex
	pods     []string
	struck   []string
	at       []time.Time
	healed   int
	why      string
	fail     error
	outages  []probe.Outage
	onHeal   func()
	onStrike func()
}

func (f *fakeLab) Snapshot() cluster.Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *snapshot(f.pods...)
}
func (f *fakeLab) Leader(string) string { return "" }
func (f *fakeLab) Unsteady() string     { f.mu.Lock(); defer f.mu.Unlock(); return f.why }
func (f *fakeLab) Outages(time.Time) []probe.Outage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outages
}

func (f *fakeLab) Strike(_ context.Context, target, weapon string, _ uint64, atMost time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if atMost <= 0 {
		panic("a fault without an end")
	}
	f.struck = append(f.struck, target+" "+weapon)
	f.at = append(f.at, time.Now())
	if f.onStrike != nil {
		f.onStrike()
	}
	return f.fail
}

func (f *fakeLab) Heal(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.healed++
	if f.onHeal != nil {
		f.onHeal()
	}
	return nil
}

var quick = limits{steadyBefore: 200 * time.Millisecond, steadyAfter: 200 * time.Millisecond, healWithin: time.Second, quiet: 20 * time.Millisecond, look: time.Millisecond}

// recorded is an attack on the oldest pods of zones a and b, 60 ms apart.
func recorded(t *testing.T) *Recording {
	t.Helper()
	r := Begin("pods", 4, 42)
	s := snapshot("x a 1", "y b 2")
	for i, uid := range []string{"uid-x", "uid-y"} {
		role, err := RoleOf("pod/web/"+uid, s, nobody)
		if err != nil {
			t.Fatal(err)
		}
		r.Struck(birth.Add(time.Duration(i)*60*time.Millisecond), "kill", role)
	}
	r.Healed(birth.Add(100 * time.Millisecond))
	return r
}

func TestAReplayStrikesTheSameRolesAtTheSameMomentsAndEndsHealed(t *testing.T) {
	lab := &fakeLab{pods: []string{"new1 a 5", "new2 b 6", "new3 a 7"}}
	var last float64
	began := time.Now()
	m, err := play(context.Background(), lab, recorded(t), func(p float64) {
		if p < last || p > 1 {
			t.Errorf("progress %g after %g", p, last)
		}
		last = p
	}, quick)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"pod/web/uid-new1 kill", "pod/web/uid-new2 kill"}; !reflect.DeepEqual(lab.struck, want) {
		t.Errorf("struck %q", lab.struck)
	}
	if apart := lab.at[1].Sub(lab.at[0]); apart < 50*time.Millisecond {
		t.Errorf("the strikes were %v apart, not 60 ms", apart)
	}
	if lab.healed != 1 || m.Strikes != 2 || m.Failed != 0 || m.SteadyMS != 0 || last != 1 || time.Since(began) < 100*time.Millisecond {
		t.Errorf("healed %d times, progress %g, %+v", lab.healed, last, m)
	}
}

func TestTheTimeToSteadyEndsWithTheLastThingThatIsWrong(t *testing.T) {
	lab := &fakeLab{pods: []string{"new1 a 5", "new2 b 6"}}
	lab.onStrike = func() { lab.why = "1 of 2 pods are ready" }
	lab.onHeal = func() { lab.why = "" }
	m, err := play(context.Background(), lab, recorded(t), func(float64) {}, quick)
	// What is wrong is looked for now and then, on a busy machine rarely.
	if err != nil || m.SteadyMS < 20 || m.SteadyMS > 5000 {
		t.Errorf("%v: steady after %g ms, but something was wrong from 0 to 100 ms", err, m.SteadyMS)
	}
}

func TestAReplayThatIsEndedIsHealed(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	lab := &fakeLab{pods: []string{"new1 a 5", "new2 b 6"}}
	r := recorded(t)
	r.HealMS = 60_000
	time.AfterFunc(80*time.Millisecond, cancel)
	if _, err := play(ctx, lab, r, func(float64) {}, quick); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if lab.healed != 1 {
		t.Error("it was not healed")
	}
}

func TestAnUnsteadyClusterIsNotStruck(t *testing.T) {
	lab := &fakeLab{why: "2 of 3 replicas are ready"}
	if _, err := play(context.Background(), lab, recorded(t), func(float64) {}, quick); err == nil || !strings.Contains(err.Error(), "2 of 3 replicas") {
		t.Errorf("got %v", err)
	}
	if len(lab.struck) != 0 || lab.healed != 0 {
		t.Errorf("struck %v", lab.struck)
	}
}

func TestWhatCannotBeStruckIsToldAndTheRestGoesOn(t *testing.T) {
	lab := &fakeLab{pods: []string{"new2 b 6"}, fail: errors.New("refused")}
	m, err := play(context.Background(), lab, recorded(t), func(float64) {}, quick)
	if err != nil || m.Failed != 2 || m.Strikes != 0 || len(m.Notes) != 3 {
		t.Errorf("%v %+v", err, m)
	}
}

func TestAClusterThatStaysUnsteadyIsTold(t *testing.T) {
	lab := &fakeLab{pods: []string{"new1 a 5", "new2 b 6"}}
	lab.onHeal = func() { lab.why = "a node is not Ready" }
	m, err := play(context.Background(), lab, recorded(t), func(float64) {}, quick)
	if err == nil || m.Strikes != 2 || m.SteadyMS != 0 {
		t.Errorf("%v %+v", err, m)
	}
}

func TestOnlyOutagesOfTheAttackAreMeasured(t *testing.T) {
	at := func(s float64) time.Time { return birth.Add(time.Duration(s * float64(time.Second))) }
	all := []probe.Outage{
		{ID: 1, Began: at(-5), Ended: at(-4), LowerMS: 900, UpperMS: 1000, Failed: 90},
		{ID: 2, Began: at(-0.5), Ended: at(1), LowerMS: 400, UpperMS: 450, Failed: 40}, // under way when it struck
		{ID: 3, Began: at(2), LowerMS: 1000, Open: true, Failed: 100},
		{ID: 4, Began: at(11), Ended: at(12), LowerMS: 1, UpperMS: 2, Failed: 1},
	}
	m := Measure(all, at(0), at(10))
	if len(m.Outages) != 2 || m.DownMS != 1400 || m.UpperMS != 8450 || m.LongestMS != 1000 || m.LongestUpperMS != 8000 || m.FailedRequests != 140 {
		t.Errorf("%+v", m)
	}
	if m := Measure(nil, at(0), at(1)); m.Outages == nil || m.DownMS != 0 {
		t.Errorf("nothing: %+v", m)
	}
}

func TestARecordingIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "arena", "pods.json")
	if r, err := Load(path); r != nil || err != nil {
		t.Errorf("before: %v %v", r, err)
	}
	r := recorded(t)
	if err := r.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil || !reflect.DeepEqual(got.Strikes, r.Strikes) || got.HealMS != 100 || got.Seed != 42 {
		t.Errorf("%+v %v", got, err)
	}
	if err := Begin("pods", 1, 1).Check(); err == nil {
		t.Error("an attack without strikes can be played")
	}
}

func TestARecordingIsBounded(t *testing.T) {
	r := Begin("pods", 1, 1)
	for i := range maxStrikes + 10 {
		r.Struck(birth.Add(time.Duration(i)*time.Second), "kill", Role{Kind: "zone", Name: "a"})
	}
	r.Struck(birth.Add(maxLength+time.Hour), "kill", Role{})
	if len(r.Strikes) != maxStrikes || r.Check() != nil {
		t.Errorf("%d strikes, %v", len(r.Strikes), r.Check())
	}
	if h := r.heal(); h != (maxStrikes-1)*time.Second+healAfter {
		t.Errorf("it heals after %v", h)
	}
}

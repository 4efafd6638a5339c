package arena

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"k8s.io/client-go/dynamic"

	"zdl/internal/arena/defence"
	"zdl/internal/probe"
)

const withDefences = `defences:
- name: six-replicas
  title: Six replicas
  why: More must fall.
  patches:
  - {kind: Deployment, namespace: web, name: web, merge: {spec: {replicas: 6}}, settled: rollout}
- name: five-members
  title: Five members
  why: Two may fall.
  unavailable: Another lab has them.
lesson:`

// defended is an arena with defences, whose API server is away.
func defended(t *testing.T, w *world, dir string) *Arena {
	t.Helper()
	keeper, err := defence.New(defence.Config{Dir: filepath.Join(dir, "defences"), Facts: func() defence.Facts { return defence.Facts{} },
		Client: func() (dynamic.Interface, error) { return nil, errors.New("connection refused") }})
	if err != nil {
		t.Fatal(err)
	}
	a := opens(t, w, func(c *Config) {
		c.Levels = fstest.MapFS{"01-small.yaml": {Data: []byte(strings.Replace(small, "lesson:", withDefences, 1))}, "01-small.md": {Data: []byte("Text.")}}
		c.Defend = &Defending{Keeper: keeper, Recordings: filepath.Join(dir, "attacks")}
	})
	w.change(func() { w.snap.Target.Ready = 3 })
	return a
}

// lostRound cuts a worker's power by the hits of a visitor until the round is won.
func lostRound(t *testing.T, w *world, a *Arena, hit func(i int) Visitor) {
	t.Helper()
	for i := range 40 {
		r, err := a.Hit(t.Context(), hit(i), "worker-1", "power")
		if errors.Is(err, ErrTooFast) {
			time.Sleep(150 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Strike != nil {
			break
		}
	}
	now := time.Now()
	w.down(probe.Outage{ID: 1, Began: now, Ended: now.Add(900 * time.Millisecond), Failed: 40, LowerMS: 900, UpperMS: 920, ByClass: map[string]int{"503": 40}})
	until(t, "the end screen", func() bool { return a.State().Phase == PhaseEnded })
}

func person(i int) Visitor { return Visitor{ID: fmt.Sprint("s", i), Name: fmt.Sprint("v", i)} }

func TestTheAttackOfARoundIsPlayedOnceMore(t *testing.T) {
	w, dir := &world{}, t.TempDir()
	a := defended(t, w, dir)
	if err := a.Replay(person(1)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "nothing to play") {
		t.Errorf("without a round: %v", err)
	}
	lostRound(t, w, a, person)
	if s := a.State(); s.Replay == nil || s.Replay.Before == nil || s.Replay.Before.DownMS != 900 || s.Replay.Before.FailedRequests != 40 || s.Replay.After != nil {
		t.Fatalf("before: %+v", s.Replay)
	}
	a.Reset() // nobody has to wait for the end screen
	if err := a.Replay(person(1)); err != nil {
		t.Fatal(err)
	}
	if err := a.Replay(person(1)); !errors.Is(err, ErrRefused) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := a.Hit(t.Context(), person(1), "worker-1", "power"); !errors.Is(err, ErrClosed) {
		t.Errorf("a hit meanwhile: %v", err)
	}
	if err := a.Defend(t.Context(), person(1), "six-replicas", true); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "once more") {
		t.Errorf("a defence meanwhile: %v", err)
	}
	until(t, "the attack was played", func() bool { return !a.State().Replay.Running })
	r := a.State().Replay
	if r.Trouble != "" || r.After == nil || r.After.Strikes != 1 || r.After.DownMS != 0 || r.Progress != 1 || r.Before.DownMS != 900 {
		t.Errorf("after: %+v %+v", r, r.After)
	}
	last := w.asked[len(w.asked)-1]
	if len(w.asked) != 2 || last.Kind != "node-power-off" || last.Target != "worker-1" || last.By != "arena: replay" || last.For == 0 || last.Seed == 0 {
		t.Errorf("the engine was asked for %+v", w.asked)
	}
	for _, attack := range w.Attacks() {
		if !attack.State.Over() {
			t.Errorf("%s is left: %+v", attack.ID, attack)
		}
	}
	until(t, "hits count again", func() bool {
		_, err := a.Hit(t.Context(), person(1), "worker-1", "power")
		return err == nil
	})
	if left, err := os.ReadDir(filepath.Join(dir, "attacks")); err != nil || len(left) != 1 {
		t.Errorf("kept are %v, %v", left, err)
	}
}

func TestDefencesAreRefusedWithAReason(t *testing.T) {
	w := &world{}
	a := defended(t, w, t.TempDir())
	until(t, "it runs", func() bool {
		err := a.Defend(t.Context(), person(1), "six-replicas", true)
		return err != nil && !strings.Contains(err.Error(), "starting")
	})
	for _, c := range []struct {
		name string
		sort *Error
		says string
	}{
		{"six-replicas", ErrRefused, "API server cannot be reached"},
		{"five-members", ErrRefused, "Another lab has them"},
		{"none", ErrNoLevel, "no defence"},
	} {
		err := a.Defend(t.Context(), person(1), c.name, true)
		var rule *Error
		if !errors.Is(err, c.sort) || !strings.Contains(err.Error(), c.says) || !errors.As(err, &rule) || rule.Hint == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	s := a.State()
	if len(s.Defences) != 2 || s.Defences[0].Name != "six-replicas" || s.Defences[1].Unavailable == "" {
		t.Errorf("shown are %+v", s.Defences)
	}
	if _, err := a.Hit(t.Context(), person(1), "worker-1", "power"); err != nil {
		t.Fatal(err)
	}
	if err := a.Defend(t.Context(), person(1), "six-replicas", true); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "a round is being played") {
		t.Errorf("in a round: %v", err)
	}
}

func TestTheAutopilotHasNoPlaceInTheHallOfFame(t *testing.T) {
	w := &world{}
	a := defended(t, w, t.TempDir())
	if err := a.Autopilot(true); err != nil || !a.State().Autopilot {
		t.Fatalf("it is not on: %v", err)
	}
	lostRound(t, w, a, func(int) Visitor { return robot })
	s := a.State()
	if !s.End.Won || len(s.Fame) != 0 || len(s.End.Players) != 1 || s.End.Players[0].Name != "autopilot" {
		t.Errorf("won %v, fame %+v, players %+v", s.End.Won, s.Fame, s.End.Players)
	}
	a.Reset() // nobody has to wait for the end screen
	if _, err := a.Hit(t.Context(), Visitor{ID: "x", Name: " AutoPilot "}, "worker-1", "power"); err != nil {
		t.Fatal(err)
	}
	if p := a.State().Players; len(p) != 1 || strings.EqualFold(p[0].Name, "autopilot") {
		t.Errorf("somebody took its name: %+v", p)
	}
}

package web

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"zdl/internal/arena"
	"zdl/internal/cluster"
	"zdl/internal/fault"
)

// fakeGame stands in for an arena: its targets are the fake cluster's pods, ten
// hits kill one, and visitors may hit eight times a second.
type fakeGame struct {
	cluster *fakeCluster
	faults  *fakeFaults

	mu      sync.Mutex
	health  map[string]float64 // by target
	players map[string]*arena.Player
	hits    map[string][]time.Time // of each visitor, the latest
	level   string
	paused  bool
	resets  int
	healed  []string
	strikes []arena.Strike
	version int64
	all     int
	fail    error // what a strike comes to
}

const fakeDamage = 10

func podTarget(p *cluster.Pod) string { return "pod/" + p.Namespace + "/" + p.UID }

func (g *fakeGame) State() arena.State {
	snap := g.cluster.Snapshot()
	g.mu.Lock()
	defer g.mu.Unlock()
	level := arena.LevelInfo{Number: 1, Name: "pods", Title: "Pods", Playable: true, Subject: "service"}
	if g.level != "" {
		level.Name = g.level
	}
	s := arena.State{Version: g.version + snap.Version, Level: level, Levels: []arena.LevelInfo{level}, Phase: "playing", Hits: g.all, Strikes: slices.Clone(g.strikes),
		Targets: []arena.Target{}, Players: []arena.Player{}, Text: strings.Repeat("What a replica is. ", 100)}
	if g.paused {
		s.Phase = "paused"
	}
	for _, p := range snap.TargetPods() {
		s.Targets = append(s.Targets, arena.Target{ID: podTarget(&p), Kind: "pod", Name: p.Name, Title: p.Name, Node: p.Node, Health: 100 - g.health[podTarget(&p)], Max: 100})
	}
	for _, a := range g.faults.Attacks() {
		if !a.State.Over() {
			s.Targets = append(s.Targets, arena.Target{ID: "attack/" + a.ID, Attack: a.ID, Down: true})
		}
	}
	for _, p := range g.players {
		s.Players = append(s.Players, *p)
	}
	slices.SortFunc(s.Players, func(a, b arena.Player) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func (g *fakeGame) Hit(ctx context.Context, who arena.Visitor, target, weapon string) (arena.HitResult, error) {
	var pod *cluster.Pod
	snap := g.cluster.Snapshot()
	for _, p := range snap.TargetPods() {
		if podTarget(&p) == target {
			pod = &p
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case pod == nil:
		return arena.HitResult{}, arena.ErrNoTarget
	case weapon != "" && weapon != "kill":
		return arena.HitResult{}, arena.ErrNoWeapon
	case g.paused:
		return arena.HitResult{}, arena.ErrClosed
	}
	if g.hits == nil {
		g.hits, g.health, g.players = map[string][]time.Time{}, map[string]float64{}, map[string]*arena.Player{}
	}
	now := time.Now()
	mine := slices.DeleteFunc(g.hits[who.ID], func(t time.Time) bool { return now.Sub(t) > time.Second })
	if len(mine) >= 8 {
		return arena.HitResult{}, arena.ErrTooFast
	}
	g.hits[who.ID] = append(mine, now)
	if g.players[who.ID] == nil {
		g.players[who.ID] = &arena.Player{Name: who.Name}
	}
	g.players[who.ID].Hits++
	g.health[target] += fakeDamage
	g.all++
	g.version++
	r := arena.HitResult{Target: target, Health: 100 - g.health[target]}
	if r.Health > 0 {
		return r, nil
	}
	if g.fail != nil {
		g.health[target] -= 2 * fakeDamage
		return r, g.fail
	}
	if err := g.cluster.DeletePod(ctx, pod.Namespace, pod.Name, pod.UID, 0); err != nil {
		return r, err
	}
	r.Struck = true
	r.Strike = &arena.Strike{ID: len(g.strikes) + 1, Target: target, By: who.Name, State: arena.StrikeProven, At: now, VerifyMS: 1}
	g.strikes = append(g.strikes, *r.Strike)
	return r, nil
}

func (g *fakeGame) HealHit(ctx context.Context, who arena.Visitor, target string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	id, ok := strings.CutPrefix(target, "attack/")
	if !ok {
		return arena.ErrNoTarget
	}
	if !who.Owner && g.level != "free" {
		return arena.ErrRefused
	}
	g.healed = append(g.healed, target)
	_, err := g.faults.Heal(ctx, id)
	return err
}

func (g *fakeGame) Rename(who arena.Visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.players[who.ID]; p != nil {
		p.Name = who.Name
		g.version++
	}
}

func (g *fakeGame) SetLevel(name string) error {
	if name != "pods" && name != "free" {
		return arena.ErrNoLevel
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.level = name
	g.version++
	return nil
}

func (g *fakeGame) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.resets++
	g.health = map[string]float64{}
	g.version++
}

func (g *fakeGame) Pause(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused = on
	g.version++
}

// broken makes an attack that holds something down.
func (l *lab) broken(ctx context.Context) string {
	a, _ := l.faults.Attack(ctx, fault.Request{Kind: "node-power-off", Target: fmt.Sprint("worker-", 1+len(l.faults.asked)%3)})
	return a.ID
}

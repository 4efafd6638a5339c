package autopilot

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func pods(health ...float64) []Target {
	var out []Target
	for i, h := range health {
		out = append(out, Target{ID: fmt.Sprintf("pod/web/%d", i), Kind: "pod", Zone: fmt.Sprintf("zone-%d", i%3), Health: h, Max: 100, Weapons: []string{"kill"}})
	}
	return out
}

// fight lets a pilot hit targets until n are gone, and gives the order of the
// hits and those in which they went.
func fight(s Strategy, seed uint64, all []Target) (hits, gone []string) {
	p := New(s, seed)
	for len(hits) < 1000 {
		id, _, ok := p.Next(all, 10)
		if !ok {
			return hits, gone
		}
		hits = append(hits, id)
		for i := range all {
			if all[i].ID == id {
				if all[i].Health -= 10; all[i].Health <= 0 {
					gone = append(gone, id)
				}
			}
		}
	}
	return hits, gone
}

func TestEqualSeedsAttackInTheSameWay(t *testing.T) {
	for _, s := range Strategies() {
		a, _ := fight(s, 7, pods(100, 100, 100))
		reversed := pods(100, 100, 100)
		reversed[0], reversed[2] = reversed[2], reversed[0]
		b, _ := fight(s, 7, reversed)
		c, _ := fight(s, 8, pods(100, 100, 100))
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: equal seeds differ", s)
		}
		if reflect.DeepEqual(a, c) {
			t.Errorf("%s: seeds make no difference", s)
		}
		if len(a) != 30 {
			t.Errorf("%s: %d hits for three targets of ten", s, len(a))
		}
	}
}

func TestTogetherFinishesOnlyWhenAllAreWeak(t *testing.T) {
	all := pods(100, 100, 100)
	p := New(Together, 1)
	for n := 0; ; n++ {
		id, _, ok := p.Next(all, 10)
		if !ok {
			t.Fatal("nothing left before the end")
		}
		for i := range all {
			if all[i].ID == id {
				all[i].Health -= 10
				if all[i].Health <= 0 {
					for _, o := range all {
						if o.Health > 20 {
							t.Errorf("%s went after %d hits while %s has %g", id, n, o.ID, o.Health)
						}
					}
					return
				}
			}
		}
	}
}

func TestByZoneFinishesAZoneFirst(t *testing.T) {
	_, gone := fight(ByZone, 3, pods(20, 20, 20, 20, 20, 20)) // 0 and 3 share a zone
	if len(gone) != 6 {
		t.Fatalf("gone are %v", gone)
	}
	for i := 0; i < 6; i += 2 {
		var a, b int
		fmt.Sscanf(gone[i], "pod/web/%d", &a)
		fmt.Sscanf(gone[i+1], "pod/web/%d", &b)
		if a%3 != b%3 {
			t.Errorf("zones are mixed: %v", gone)
		}
	}
}

func TestNothingIsHitThatCannotBe(t *testing.T) {
	all := pods(100, 0, 100)
	all[0].Refused, all[2].Weapons = true, nil
	for _, s := range Strategies() {
		if id, _, ok := New(s, 1).Next(all, 10); ok {
			t.Errorf("%s hits %s", s, id)
		}
	}
}

func FuzzNext(f *testing.F) {
	f.Add(uint64(1), []byte{100, 50, 3})
	f.Fuzz(func(t *testing.T, seed uint64, health []byte) {
		var h []float64
		for _, b := range health[:min(len(health), 60)] {
			h = append(h, float64(b))
		}
		all := pods(h...)
		for _, s := range Strategies() {
			p := New(s, seed)
			for range 5 {
				id, weapon, ok := p.Next(all, 10)
				hit := false
				for _, t := range all {
					hit = hit || t.ID == id && t.Health > 0 && weapon == "kill"
				}
				if ok != hit {
					t.Fatalf("%s: %q %q %v of %v", s, id, weapon, ok, h)
				}
			}
		}
	})
}

// played counts hits.
type played struct {
	mu   sync.Mutex
	hits []time.Time
	open bool
}

func (g *played) View() View {
	g.mu.Lock()
	defer g.mu.Unlock()
	return View{Level: "pods", Round: 1, Open: g.open, Damage: 10, Targets: pods(100, 100, 100)}
}

func (g *played) Hit(context.Context, string, string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hits = append(g.hits, time.Now())
	return nil
}

func (g *played) count() int { g.mu.Lock(); defer g.mu.Unlock(); return len(g.hits) }

func TestItPlaysOnlyWhenNobodyElseDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &played{open: true}
		a := Of(g, Settings{PerSecond: 5})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go a.Run(ctx)
		time.Sleep(time.Hour)
		if n := g.count(); n != 0 {
			t.Errorf("%d hits while it is off", n)
		}
		a.Set(true)
		time.Sleep(2*time.Minute - time.Second)
		if n := g.count(); n != 0 {
			t.Errorf("%d hits before 2 min were over", n)
		}
		time.Sleep(11 * time.Second)
		if n := g.count(); n < 45 || n > 55 {
			t.Errorf("%d hits in 10 s at 5 a second", n)
		}
		a.Person()
		synctest.Wait()
		n := g.count()
		time.Sleep(2*time.Minute - time.Second)
		if more := g.count() - n; more != 0 {
			t.Errorf("%d hits after a person hit", more)
		}
		time.Sleep(5 * time.Second)
		if g.count() == n {
			t.Error("it does not come back when the person is gone")
		}
		g.mu.Lock()
		g.open = false
		g.mu.Unlock()
		time.Sleep(time.Second)
		n = g.count()
		time.Sleep(time.Minute)
		if g.count() != n {
			t.Error("it hits while nothing may be hit")
		}
		a.Set(false)
		if a.On() {
			t.Error("it is still on")
		}
	})
}

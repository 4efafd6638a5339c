package arena

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"zdl/internal/cluster"
)

// Error is a refusal by the rules.
type Error struct{ Message, Hint string }

func (e *Error) Error() string { return e.Message }

var (
	// ErrTooFast means that the visitor, or all together, hit faster than the rules allow.
	ErrTooFast = &Error{"Too many hits.", "Slow down a little: hits beyond the limit do not count."}
	// ErrNoTarget means that the pod is not one that may be hit.
	ErrNoTarget = &Error{"There is no such pod to hit.", "It may just have been replaced: choose one that is shown now."}
	// ErrDying means that the pod is being deleted already.
	ErrDying = &Error{"That pod is already being deleted.", "Choose another one: its replacement comes under a new name."}
)

// game is the state of play. It is pure: it is told the time and does no I/O.
// It is not safe for concurrent use.
type game struct {
	rules    Rules
	pods     map[string]*pod // by UID
	visitors map[string]*visitor
	all      bucket
	acts     []act // recent hits and kills, oldest first
	kills    []*Kill
	hits     int
	version  int64
}

// pod is a target with its health as of the moment `at`.
type pod struct {
	name, node string
	created    time.Time
	ready      bool
	dying      bool // its deletion is on its way
	leaving    bool // Kubernetes is deleting it
	health     float64
	at         time.Time // when health was last worked out
	hit        time.Time // last hit
	hits       int
	by         map[string]int // hits per visitor
}

type visitor struct {
	bucket bucket
	seen   time.Time
	hits   int
}

// bucket is a token bucket.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if b.at.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+rate*max(0, now.Sub(b.at).Seconds()))
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// act is something a visitor did.
type act struct {
	at      time.Time
	visitor string
	pod     string
	kill    bool
}

const (
	keepActs     = 4096
	keepVisitors = 512
	keepKills    = 50
	// replacedWithin is how long after a kill a new pod counts as its
	// replacement: the ReplicaSet controller acts within seconds, unless the
	// control plane is down.
	replacedWithin = time.Minute
)

func newGame(r Rules) *game {
	return &game{rules: r, pods: map[string]*pod{}, visitors: map[string]*visitor{}}
}

// sync takes over which pods exist. It returns the kills whose replacement
// became ready with this.
func (g *game) sync(now time.Time, pods []cluster.Pod) (replaced []Kill) {
	here := map[string]bool{}
	for i := range pods {
		p := &pods[i]
		here[p.UID] = true
		t := g.pods[p.UID]
		if t == nil {
			t = &pod{name: p.Name, created: p.Created, health: g.rules.Health, at: now, by: map[string]int{}}
			if g.assign(now, p) {
				t.health = g.rules.FreshHealth
			}
			g.pods[p.UID] = t
			g.version++
		}
		if p.Ready && !t.ready {
			if k := g.replacedBy(p.UID); k != nil && k.ReadyMS == 0 {
				k.ReadyMS = sinceMS(k.At, now)
				replaced = append(replaced, *k)
			}
		}
		if t.node != p.Node || t.ready != p.Ready || t.leaving == p.Alive() {
			g.version++
		}
		t.node, t.ready, t.leaving = p.Node, p.Ready, !p.Alive()
	}
	for uid := range g.pods {
		if !here[uid] {
			delete(g.pods, uid)
			g.version++
		}
	}
	return replaced
}

// assign notes a new pod as the replacement of the oldest recent kill that has
// none. The news of it may overtake the confirmation of the kill.
func (g *game) assign(now time.Time, p *cluster.Pod) bool {
	for _, k := range g.kills {
		if k.Replacement == "" && now.Sub(k.At) < replacedWithin {
			k.Replacement, k.replacementUID = p.Name, p.UID
			return true
		}
	}
	return false
}

func (g *game) replacedBy(uid string) *Kill {
	for _, k := range g.kills {
		if k.replacementUID == uid {
			return k
		}
	}
	return nil
}

// strike lets a visitor hit a pod, by name or UID. A non-nil Kill means that the
// pod's health is gone and it must now be deleted; deleted or spared must follow.
func (g *game) strike(now time.Time, who, name string) (HitResult, *Kill, error) {
	uid, p := g.find(name)
	switch {
	case p == nil:
		return HitResult{}, nil, ErrNoTarget
	case p.dying || p.leaving:
		return HitResult{}, nil, ErrDying
	}
	v := g.visitor(now, who)
	if !v.bucket.take(now, g.rules.HitsPerSecond, g.rules.Burst) ||
		!g.all.take(now, g.rules.AllHitsPerSecond, g.rules.AllHitsPerSecond) {
		return HitResult{}, nil, ErrTooFast
	}
	g.heal(now, p)
	first := p.health >= g.rules.Health
	p.health = max(0, p.health-g.rules.Damage)
	p.hit, p.at = now, now
	p.hits++
	p.by[who]++
	v.hits++
	g.hits++
	g.version++
	g.note(act{at: now, visitor: who, pod: p.name})
	r := HitResult{Pod: p.name, UID: uid, Health: p.health, First: first}
	if p.health > 0 {
		return r, nil, nil
	}
	r.Killed, p.dying = true, true
	return r, g.kill(now, who, uid, p), nil
}

// kill enters that a pod is about to be deleted by somebody.
func (g *game) kill(now time.Time, who, uid string, p *pod) *Kill {
	p.dying, p.health, p.at = true, 0, now
	k := &Kill{Pod: p.name, UID: uid, Node: p.node, By: who, At: now, Hits: p.hits, Visitors: len(p.by)}
	if len(g.kills) == keepKills {
		g.kills = append(g.kills[:0], g.kills[1:]...)
	}
	g.kills = append(g.kills, k)
	g.version++
	return k
}

// deleted confirms that the API server deleted the pod.
func (g *game) deleted(now time.Time, k *Kill) {
	k.Done, k.DeleteMS = true, sinceMS(k.At, now)
	g.note(act{at: k.At, visitor: k.By, pod: k.Pod, kill: true})
	g.version++
}

// spared takes a kill back because the deletion failed: the pod keeps the health
// of two hits.
func (g *game) spared(now time.Time, k *Kill) {
	if p := g.pods[k.UID]; p != nil {
		p.dying, p.health, p.at = false, 2*g.rules.Damage, now
	}
	g.kills = slices.DeleteFunc(g.kills, func(o *Kill) bool { return o == k })
	g.version++
}

func (g *game) find(name string) (string, *pod) {
	if p := g.pods[name]; p != nil {
		return name, p
	}
	for uid, p := range g.pods {
		if p.name == name {
			return uid, p
		}
	}
	return "", nil
}

// heal brings a pod's health up to date.
func (g *game) heal(now time.Time, p *pod) {
	if p.dying || p.leaving {
		p.at = now
		return
	}
	from := p.at
	if rest := p.hit.Add(g.rules.HealAfter); !p.hit.IsZero() && rest.After(from) {
		from = rest
	}
	if d := now.Sub(from); d > 0 {
		p.health = min(g.rules.Health, p.health+g.rules.HealPerSecond*d.Seconds())
		p.at = now
	}
}

// visitor finds or admits a visitor; when there are too many, the one that was
// silent longest is forgotten.
func (g *game) visitor(now time.Time, who string) *visitor {
	v := g.visitors[who]
	if v == nil {
		if len(g.visitors) >= keepVisitors {
			oldest, at := "", now
			for name, o := range g.visitors {
				if !o.seen.After(at) {
					oldest, at = name, o.seen
				}
			}
			delete(g.visitors, oldest)
		}
		v = &visitor{}
		g.visitors[who] = v
	}
	v.seen = now
	return v
}

func (g *game) note(a act) {
	if len(g.acts) == keepActs {
		g.acts = append(g.acts[:0], g.acts[1:]...)
	}
	g.acts = append(g.acts, a)
}

// state is what everybody may see.
func (g *game) state(now time.Time) State {
	s := State{Version: g.version, Rules: g.rules, Hits: g.hits, Pods: []PodState{}, Kills: []Kill{}}
	for uid, p := range g.pods {
		g.heal(now, p)
		s.Pods = append(s.Pods, PodState{
			UID: uid, Name: p.name, Health: math.Round(p.health), Max: g.rules.Health, Dying: p.dying || p.leaving,
			Healing: !p.dying && !p.leaving && p.health < g.rules.Health && now.Sub(p.hit) >= g.rules.HealAfter, Hits: p.hits,
		})
		if p.health < g.rules.Health && !p.dying {
			s.Moving = true
		}
	}
	slices.SortFunc(s.Pods, func(a, b PodState) int { return strings.Compare(a.Name, b.Name) })
	for _, v := range g.visitors {
		if now.Sub(v.seen) < 30*time.Second {
			s.Visitors++
		}
	}
	for _, k := range g.kills {
		s.Kills = append(s.Kills, *k)
	}
	return s
}

func sinceMS(from, to time.Time) float64 {
	return float64(to.Sub(from).Microseconds()) / 1000
}

// visitorName makes what a page sent fit to be shown: printable, at most 24
// characters.
func visitorName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, strings.TrimSpace(s))
	if r := []rune(s); len(r) > 24 {
		s = string(r[:24])
	}
	if s == "" {
		return "somebody"
	}
	return s
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

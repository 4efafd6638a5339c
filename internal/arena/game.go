package arena

import (
	"fmt"
	"math"
	"slices"
	"time"

	"zdl/internal/arena/replay"
	"zdl/internal/probe"
)

// Error is a refusal by the rules.
type Error struct {
	Message, Hint string
	sort          *Error // of which it is a case
}

func (e *Error) Error() string { return e.Message }

// Unwrap gives the sort of refusal, such as ErrClosed.
func (e *Error) Unwrap() error {
	if e.sort == nil {
		return nil
	}
	return e.sort
}

var (
	// ErrTooFast means that the visitor, or all together, hit faster than the rules allow.
	ErrTooFast = &Error{Message: "Too many hits.", Hint: "Slow down a little: hits beyond the limit do not count."}
	// ErrNoTarget means that it is not one that may be hit.
	ErrNoTarget = &Error{Message: "There is no such target in this level.", Hint: "It may just have been replaced: choose one that is shown now."}
	// ErrDying means that the target's fault is on its way.
	ErrDying = &Error{Message: "That target is being struck already.", Hint: "Choose another one."}
	// ErrClosed means that hits do not count in this phase.
	ErrClosed = &Error{Message: "Hits do not count now.", Hint: "The page shows when the next round begins."}
	// ErrRefused means that the target can't be hit at present.
	ErrRefused = &Error{Message: "That target cannot be hit now.", Hint: "Choose another one, or wait a moment."}
	// ErrNoWeapon means that the weapon is not one for that target.
	ErrNoWeapon = &Error{Message: "That weapon is not one for this target.", Hint: "The target's list of weapons says which are."}
)

func (e *Error) because(format string, args ...any) *Error {
	return &Error{fmt.Sprintf(format, args...), e.Hint, e}
}

// game is the state of play of one level. It is pure: it is told the time and
// does no I/O. It is not safe for concurrent use.
type game struct {
	level    *Level
	arms     *arsenal
	targets  map[string]*target
	order    []string            // IDs, as they are shown
	visitors map[string]*visitor // by session
	all      bucket
	version  int64

	phase        string
	since, until time.Time
	paused       time.Time // when the owner paused; zero while play goes on
	blocked      string    // why nobody may hit, or ""

	round
	end *End // of the round before
}

// round is what belongs to one round.
type round struct {
	number  int
	began   time.Time // first hit
	lastHit time.Time
	hits    int
	strikes []*strike
	serial  int
	outages map[string]map[int]probe.Outage // those that count, by subject and ID
	ending  time.Time                       // when it was decided and healing began
	outcome string                          // why it ended: won, time, idle, owner
	players map[string]*Player              // by session
}

// target is a target with its health as of the moment at.
type target struct {
	seen
	health float64
	at     time.Time // when health was last worked out
	hit    time.Time // last hit
	hits   int       // of this round
	spent  int       // hits since it was last full, or struck
	by     map[string]bool
	strike *strike // that holds it, until it is back
	gone   bool    // it was seen not to be up since it was struck
}

// strike is a Strike with what only the game needs.
type strike struct {
	Strike
	seen    seen
	over    bool // the fault has ended, or was over at once
	instant bool
	newID   string      // of the replacement
	role    replay.Role // of the target, when it was struck
}

type visitor struct {
	bucket bucket
	seen   time.Time
	name   string
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

const (
	keepVisitors = 2000
	keepStrikes  = 200 // of a round
	keepOutages  = 50  // of a round and subject
	keepPlayers  = 2000
	showPlayers  = 20
	// activeFor is how long after a hit somebody counts as a visitor.
	activeFor = 30 * time.Second
)

func newGame(now time.Time, l *Level, a *arsenal) *game {
	g := &game{level: l, arms: a, targets: map[string]*target{}, visitors: map[string]*visitor{}, phase: PhaseReady, since: now}
	g.clear()
	return g
}

// clear makes room for the next round.
func (g *game) clear() {
	g.round = round{number: g.number, outages: map[string]map[int]probe.Outage{}, players: map[string]*Player{}}
}

func (g *game) group(t *target) *TargetGroup { return &g.level.Targets[t.group] }

// sync takes over which targets exist. It returns strikes that are news: a
// replacement is ready, or the target is back.
func (g *game) sync(now time.Time, all []seen) (news []Strike) {
	here := map[string]bool{}
	order := make([]string, 0, len(all))
	for i := range all {
		s := &all[i]
		here[s.id] = true
		order = append(order, s.id)
		t := g.targets[s.id]
		if t == nil {
			t = &target{seen: *s, health: g.level.Targets[s.group].Health, at: now, by: map[string]bool{}}
			if k := g.replaces(now, s); k != nil {
				t.health = g.level.Targets[s.group].Fresh
			}
			t.seen.up = false // so that a replacement that is up at once is news
			g.targets[s.id] = t
			g.version++
		}
		if s.up && !t.up {
			if k := g.replacement(s.id); k != nil && k.ReadyMS == 0 {
				k.ReadyMS = sinceMS(k.At, now)
				news = append(news, k.Strike)
			}
		}
		if t.up != s.up || t.node != s.node || t.refused != s.refused {
			g.version++
		}
		t.seen = *s
		if back := g.back(now, t); back != nil {
			news = append(news, *back)
		}
	}
	for id := range g.targets {
		if !here[id] {
			delete(g.targets, id)
			g.version++
		}
	}
	if !slices.Equal(order, g.order) {
		g.order = order
		g.version++
	}
	return news
}

// settle is how long an instant fault is given to show: a container that is
// killed may be back before Kubernetes has said that it was away.
const settle = 3 * time.Second

// back notes that a target that was struck works again.
func (g *game) back(now time.Time, t *target) *Strike {
	k := t.strike
	if k == nil || k.State == StrikeUnderWay {
		return nil
	}
	if !t.up {
		t.gone = true
	}
	if !k.over || !t.up || !t.gone && now.Sub(k.At) < settle {
		return nil
	}
	t.strike, t.gone = nil, false
	t.health, t.at, t.hit, t.spent, t.by = g.group(t).Fresh, now, time.Time{}, 0, map[string]bool{}
	g.version++
	if k.ReadyMS != 0 {
		return nil
	}
	k.ReadyMS = sinceMS(k.At, now)
	return &k.Strike
}

// replaces notes a new pod as the replacement of the oldest recent strike on a
// pod of its kind that is gone and has none. The news of it may overtake the
// proof of the strike.
func (g *game) replaces(now time.Time, s *seen) *strike {
	if s.kind != KindPod {
		return nil
	}
	for _, k := range g.strikes {
		if k.newID == "" && k.instant && k.seen.kind == KindPod && k.seen.part == s.part && k.seen.id != s.id &&
			now.Sub(k.At) < replacedWithin && !s.created.Before(k.At.Add(-2*time.Second)) {
			k.newID, k.Replacement = s.id, s.name
			return k
		}
	}
	return nil
}

func (g *game) replacement(id string) *strike {
	for _, k := range g.strikes {
		if k.newID == id {
			return k
		}
	}
	return nil
}

// hitting lets a visitor hit a target. A non-nil strike means that its health is
// gone and the fault must now be made; proven or failed must follow.
func (g *game) hitting(now time.Time, who Visitor, id, weapon string) (HitResult, *strike, error) {
	t := g.find(id)
	if t == nil {
		return HitResult{}, nil, ErrNoTarget
	}
	if err := g.mayHit(t); err != nil {
		return HitResult{}, nil, err
	}
	name, err := g.armed(t, weapon)
	if err != nil {
		return HitResult{}, nil, err
	}
	r := &g.level.Rules
	v := g.visitor(now, who)
	if !v.bucket.take(now, r.HitsPerSecond, r.Burst) || !g.all.take(now, r.All, r.All) {
		return HitResult{}, nil, ErrTooFast
	}
	g.begin(now)
	g.heal(now, t)
	if t.health >= g.group(t).Health {
		t.spent, t.by = 0, map[string]bool{}
	}
	first := t.spent == 0
	t.health = max(0, t.health-g.arms.files[name].Damage)
	t.hit, t.at = now, now
	t.hits++
	t.spent++
	t.by[who.ID] = true
	p := g.player(who)
	if p != nil {
		p.Hits++
	}
	g.hits++
	g.lastHit = now
	g.version++
	out := HitResult{Target: t.id, Health: math.Round(t.health), First: first}
	if t.health > 0 {
		return out, nil, nil
	}
	if p != nil {
		p.Strikes++
	}
	g.serial++
	k := &strike{seen: t.seen, instant: g.arms.kinds[name].Instant, Strike: Strike{
		ID: g.serial, Target: t.id, Kind: t.kind, Node: t.node, Title: t.title, Weapon: name, Fault: g.arms.kinds[name].Name, By: who.Name, At: now,
		Hits: t.spent, Visitors: len(t.by), State: StrikeUnderWay}}
	t.strike, t.gone = k, false
	if len(g.strikes) == keepStrikes {
		g.strikes = append(g.strikes[:0], g.strikes[1:]...)
	}
	g.strikes = append(g.strikes, k)
	out.Struck = true
	return out, k, nil
}

// mayHit refuses hits that cannot count.
func (g *game) mayHit(t *target) error {
	switch {
	case !g.paused.IsZero():
		return ErrClosed.because("The owner has paused the game.")
	case g.blocked != "":
		return ErrClosed.because("%s", g.blocked)
	case g.phase == PhaseRecovering:
		return ErrClosed.because("Hits do not count while everything is put right.")
	case g.phase == PhaseEnded:
		return ErrClosed.because("The round is over; the next one begins in a moment.")
	}
	if why := g.refusal(t); why != "" {
		if t.strike != nil {
			return ErrDying.because("%s", why)
		}
		return ErrRefused.because("%s", why)
	}
	return nil
}

// refusal says why a target can't be hit now, "" when it can.
func (g *game) refusal(t *target) string {
	switch {
	case t.strike != nil && t.strike.State == StrikeUnderWay:
		return "It is being struck."
	case t.strike != nil:
		return "It was struck and is not back yet."
	case t.refused != "":
		return t.refused
	case len(g.arms.groups[t.group]) == 0:
		return "There is no weapon for it here."
	}
	if limit := g.level.Rules.Simultaneous; limit > 0 && g.struck() >= limit {
		return fmt.Sprintf("No more than %s may be struck at the same time in this level.", plural(limit, "target", "targets"))
	}
	return ""
}

// struck counts targets that are struck and not back.
func (g *game) struck() (n int) {
	for _, t := range g.targets {
		if t.strike != nil {
			n++
		}
	}
	return n
}

// armed chooses the weapon: the named one, or the default of the target.
func (g *game) armed(t *target, weapon string) (string, error) {
	usable := g.arms.groups[t.group]
	if weapon == "" {
		return usable[0], nil
	}
	if !slices.Contains(usable, weapon) {
		return "", ErrNoWeapon.because("%q cannot be used on %s.", weapon, t.title)
	}
	return weapon, nil
}

// proven confirms that a strike's fault took effect. A lasting fault is over when
// ended says so.
func (g *game) proven(now time.Time, k *strike, attack string, evidence []string) {
	k.State, k.AttackID, k.Evidence, k.VerifyMS = StrikeProven, attack, evidence, sinceMS(k.At, now)
	k.over = k.instant
	g.version++
}

// failed gives a target back some health because its fault could not be made.
func (g *game) failed(now time.Time, k *strike, why string) {
	k.State, k.Trouble, k.over = StrikeFailed, why, true
	if t := g.targets[k.Target]; t != nil && t.strike == k {
		t.strike, t.gone = nil, false
		t.health, t.at, t.hit = g.group(t).Health/5, now, now
	}
	g.version++
}

// ended notes that a strike's fault was undone, or that it is active no more.
func (g *game) ended(k *strike) {
	if k.over {
		return
	}
	k.over, k.State = true, StrikeHealed
	g.version++
}

// find finds a target by ID, or by a name or UID that only one has.
func (g *game) find(id string) *target {
	if t := g.targets[id]; t != nil {
		return t
	}
	var found *target
	for _, t := range g.targets {
		if t.name == id && t.kind != KindComponent || t.kind == KindPod && len(id) > 3 && t.id[len(t.id)-min(len(id), len(t.id)):] == id {
			if found != nil {
				return nil
			}
			found = t
		}
	}
	return found
}

// heal brings a target's health up to date.
func (g *game) heal(now time.Time, t *target) {
	if t.strike != nil {
		t.at = now
		return
	}
	rules := g.group(t)
	from := t.at
	if rest := t.hit.Add(time.Duration(rules.HealAfter)); !t.hit.IsZero() && rest.After(from) {
		from = rest
	}
	if d := now.Sub(from); d > 0 {
		t.health = min(rules.Health, t.health+rules.HealPerSecond*d.Seconds())
		t.at = now
	}
}

// visitor finds or admits a visitor; when there are too many, the one that was
// silent longest is forgotten.
func (g *game) visitor(now time.Time, who Visitor) *visitor {
	v := g.visitors[who.ID]
	if v == nil {
		if len(g.visitors) >= keepVisitors {
			oldest, at := "", now
			for id, o := range g.visitors {
				if !o.seen.After(at) {
					oldest, at = id, o.seen
				}
			}
			delete(g.visitors, oldest)
		}
		v = &visitor{}
		g.visitors[who.ID] = v
	}
	v.seen, v.name = now, who.Name
	return v
}

// player is a visitor's part in this round; nil when there are too many.
func (g *game) player(who Visitor) *Player {
	p := g.players[who.ID]
	if p == nil {
		if len(g.players) >= keepPlayers {
			return nil
		}
		p = &Player{}
		g.players[who.ID] = p
	}
	p.Name = who.Name
	return p
}

func sinceMS(from, to time.Time) float64 { return milliseconds(to.Sub(from)) }

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

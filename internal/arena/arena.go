package arena

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zdl/internal/cause"
	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/probe"
	"zdl/internal/timeline"
)

// Kinds of timeline entries that only the arena makes.
const (
	EntryRound = "round-began"
	EntryHeld  = "round-held" // the cluster held
	EntryLevel = "level"
)

// Cluster is what the arena reads of a cluster.
type Cluster interface {
	Snapshot() cluster.Snapshot
	Changed() <-chan struct{}
	Capabilities() []cluster.Capability
}

// Faults is what the arena needs of a fault.Engine. Whatever visitors cause goes
// through it.
type Faults interface {
	Catalogue() []fault.Kind
	Attack(ctx context.Context, r fault.Request) (fault.Attack, error)
	Heal(ctx context.Context, id string) (fault.Attack, error)
	Get(id string) (fault.Attack, bool)
	Attacks() []fault.Attack
	Changed() <-chan struct{}
}

// Prober is what the arena reads of a probe.Prober.
type Prober interface {
	Outages(after int) []probe.Outage
	Summary() probe.Summary
}

// Config is what an arena is made of. Cluster, Faults, Service and Timeline must
// be set.
type Config struct {
	Cluster  Cluster
	Faults   Faults
	Service  Prober // of the service under attack; it runs all the time
	Timeline *timeline.Log
	// Probe starts to measure another subject, for as long as ctx lasts. The result
	// is running when it returns. Nil: only levels about the service can be played.
	Probe func(ctx context.Context, subject string) (Prober, error)
	// Installable is what levels can have installed, by the word in their files.
	Installable map[string]Installable
	// Cause explains an outage that is over; nil, or false: it cannot be explained.
	Cause func(ctx context.Context, subject string, id int) (cause.Breakdown, bool)
	// Levels are the built-in ones; UserLevels is a directory of further ones,
	// read again whenever a level is chosen. Either may be missing.
	Levels     fs.FS
	UserLevels string
	// Fame is the file of the hall of fame; "": it is kept in memory.
	Fame string
	// Defend is for defences, replays and the autopilot; nil: there are none.
	Defend *Defending
	Log    *slog.Logger // default: discarded
}

// Arena is a game on a live cluster.
type Arena struct {
	Config
	hall     *hall
	parts    []part
	defender *defender // nil without Config.Defend
	work     sync.WaitGroup
	kick     chan struct{} // wakes Run

	mu        sync.Mutex
	ctx       context.Context // of Run; nil before and after
	game      *game
	levels    []*Level
	arms      map[string]*arsenal // by level
	infos     []LevelInfo         // of levels, then of files that are wrong
	wrongs    []error
	version   int64
	preparing *Preparing
	next      *Level // to be played once everything is well
	quiet     bool   // the round ends without an end screen
	baseline  map[string]int
	wellFrom  time.Time // since when everything is as it was before the round
	telling   bool      // the end screen is being made
	probers   map[string]*watched
	sent      probe.Summary // of the service, when the round began
}

// watched is a prober that the round reads.
type watched struct {
	Prober
	stop    context.CancelFunc
	after   int // the highest outage that is done with
	trouble string
	retry   time.Time
}

// part is a further part of the arena that adds to its state.
type part interface {
	run(ctx context.Context)
	show(s *State)
}

// New prepares a game of the first level; Run plays it.
func New(c Config) (*Arena, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &Arena{Config: c, kick: make(chan struct{}, 1), arms: map[string]*arsenal{}, probers: map[string]*watched{}}
	var err error
	if a.hall, err = openHall(c.Fame); err != nil {
		c.Log.Warn("the hall of fame starts empty", "error", err)
	}
	a.read()
	if len(a.levels) == 0 {
		return nil, fmt.Errorf("there is no level to play: %v", a.wrongs)
	}
	a.play(time.Now(), a.levels[0])
	a.defend(c.Defend)
	return a, nil
}

// read reads the files of all levels. The caller holds the lock, or is New.
func (a *Arena) read() {
	a.levels, a.wrongs = nil, nil
	add := func(dir fs.FS) {
		levels, refused := ReadLevels(dir)
		a.wrongs = append(a.wrongs, refused...)
		for _, l := range levels {
			arms, err := arm(l, a.Faults.Catalogue(), a.Cluster.Capabilities())
			if err == nil {
				err = twice(l, a.levels)
			}
			if err != nil {
				a.wrongs = append(a.wrongs, err)
				continue
			}
			a.levels, a.arms[l.Name] = append(a.levels, l), arms
		}
	}
	if a.Levels != nil {
		add(a.Levels)
	}
	if a.UserLevels != "" {
		add(os.DirFS(a.UserLevels))
	}
	slices.SortStableFunc(a.levels, func(x, y *Level) int { return cmp.Compare(x.Number, y.Number) })
	a.list()
}

// list works out which levels can be played.
func (a *Arena) list() {
	s := a.Cluster.Snapshot()
	have := a.Cluster.Capabilities()
	a.infos = nil
	for _, l := range a.levels {
		why, installs := "", ""
		switch {
		case a.Probe == nil && !slices.Equal(l.Subjects(), []string{SubjectService}):
			why = "only the service is measured here"
		case s.Synced:
			var absent bool
			if why, absent = playable(l, a.arms[l.Name], &s, have); absent && a.installs(l) {
				why, installs = "", a.Installable[l.Install].Title
			}
		}
		a.infos = append(a.infos, LevelInfo{Number: l.Number, Name: l.Name, Title: l.Title, Question: l.Question, Subject: l.Subject,
			Playable: why == "", Why: why, Installs: installs})
	}
	for _, err := range a.wrongs {
		name, _, _ := strings.Cut(err.Error(), ":")
		a.infos = append(a.infos, LevelInfo{Name: strings.TrimSuffix(name, ".yaml"), Title: name, Why: err.Error()})
	}
	a.version++
}

// play begins a level anew.
func (a *Arena) play(now time.Time, l *Level) {
	g := newGame(now, l, a.arms[l.Name])
	g.number = a.hall.rounds(l.Name)
	if old := a.game; old != nil {
		g.paused, g.blocked, g.version = old.paused, old.blocked, old.version+1
	}
	a.game = g
	a.sync(now)
}

// Run plays until ctx ends. Then what visitors struck stays as it is: the next
// daemon puts it right.
func (a *Arena) Run(ctx context.Context) {
	a.mu.Lock()
	a.ctx = ctx
	a.mu.Unlock()
	defer a.work.Wait()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ctx = nil
		a.unwatch()
	}()
	a.leftovers(ctx)
	for _, p := range a.parts {
		a.work.Go(func() { p.run(ctx) })
	}
	clusterChanged, faultsChanged := a.Cluster.Changed(), a.Faults.Changed()
	a.locked(func(now time.Time) { a.list(); a.sync(now) })
	for {
		tick := time.NewTimer(a.pace())
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-clusterChanged:
			clusterChanged = a.Cluster.Changed()
			a.locked(a.changed)
		case <-faultsChanged:
			faultsChanged = a.Faults.Changed()
			a.locked(a.faulted)
		case <-a.kick:
		case <-tick.C:
		}
		tick.Stop()
		a.locked(a.step)
	}
}

func (a *Arena) locked(f func(now time.Time)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(time.Now())
}

// pace is how often the game looks at the clock and the probers: an idle lab
// costs next to nothing.
func (a *Arena) pace() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.game.phase == PhaseReady {
		return 5 * time.Second
	}
	return 100 * time.Millisecond
}

func (a *Arena) wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// leftovers heals what an earlier daemon's visitors had struck.
func (a *Arena) leftovers(ctx context.Context) {
	for _, old := range a.Faults.Attacks() {
		if !old.State.Over() && strings.HasPrefix(old.By, by("")) {
			a.work.Go(func() { a.heal(ctx, old.ID) })
		}
	}
}

// by is whom attacks of a visitor are by.
func by(name string) string { return "arena: " + name }

func (a *Arena) heal(ctx context.Context, id string) {
	if _, err := a.Faults.Heal(ctx, id); err != nil && ctx.Err() == nil {
		a.Log.Warn("a fault of the arena is not healed yet", "attack", id, "error", err)
	}
}

// changed takes over a change of the cluster.
func (a *Arena) changed(now time.Time) {
	if a.game.phase == PhaseReady {
		a.relist()
	}
	a.sync(now)
}

// relist lists the levels again and notes a change only if there is one.
func (a *Arena) relist() {
	before, version := a.infos, a.version
	a.list()
	if slices.Equal(before, a.infos) {
		a.version = version
	}
}

func (a *Arena) sync(now time.Time) {
	s := a.Cluster.Snapshot()
	if !s.Synced {
		return
	}
	for _, k := range a.game.sync(now, look(a.game.level, &s)) {
		if k.Replacement == "" {
			continue
		}
		a.Timeline.Add(string(cluster.PodReady), k.Replacement,
			fmt.Sprintf("Kubernetes has replaced %s: %s is ready, %.1f s after the strike", k.Title, k.Replacement, k.ReadyMS/1000),
			map[string]string{"replaces": k.Title, "readyMs": fmt.Sprintf("%.0f", k.ReadyMS)})
	}
}

// faulted notes strikes whose fault is over.
func (a *Arena) faulted(time.Time) {
	for _, k := range a.game.strikes {
		if k.State != StrikeProven || k.over {
			continue
		}
		if attack, known := a.Faults.Get(k.AttackID); !known || attack.State.Over() {
			a.game.ended(k)
		}
	}
	a.sync(time.Now())
}

// step moves the round on.
func (a *Arena) step(now time.Time) {
	if a.ctx == nil {
		return
	}
	g := a.game
	if g.phase == PhaseReady {
		a.unwatch()
		return
	}
	a.watch(now)
	a.measure()
	a.defender.sample(now)
	if g.tick(now) {
		a.rescue()
	}
	if g.phase == PhaseRecovering {
		a.recovering(now)
	}
	if a.game.phase == PhaseReady {
		a.unwatch()
		a.relist()
	}
}

// State is the game as everybody may see it.
func (a *Arena) State() State {
	a.mu.Lock()
	now := time.Now()
	s := a.game.state(now)
	s.Version += a.version
	s.Levels = slices.Clone(a.infos)
	name := a.game.level.Name
	s.Fame = a.hall.of(name)
	for i := range s.Levels {
		if fame := a.hall.of(s.Levels[i].Name); len(fame) > 0 {
			s.Levels[i].Best = &fame[0]
		}
		if s.Levels[i].Name == name {
			s.Level = s.Levels[i]
		}
	}
	s.Troubles = a.troubles()
	if a.preparing != nil {
		p := *a.preparing
		s.Preparing = &p
	}
	s.Defences = []Defence{}
	a.mu.Unlock()
	for _, p := range a.parts {
		p.show(&s)
	}
	return s
}

// Rename changes the name under which a visitor is shown.
func (a *Arena) Rename(who Visitor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.game.players[who.ID]; p != nil {
		p.Name = visitorName(who.Name)
		a.game.version++
	}
}

// SetLevel chooses another level. A round that is played ends without an end
// screen, and everything is put right first. What the level needs and the lab has
// not is installed before; until then the other level goes on.
func (a *Arena) SetLevel(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.wake()
	old := a.levels
	a.read()
	if len(a.levels) == 0 {
		a.levels = old
	}
	i := slices.IndexFunc(a.infos, func(l LevelInfo) bool { return l.Name == name })
	switch {
	case i < 0:
		return ErrNoLevel.because("There is no level %q.", name)
	case !a.infos[i].Playable:
		return ErrUnplayable.because("The level %s cannot be played: %s.", name, a.infos[i].Why)
	}
	l := a.levels[slices.IndexFunc(a.levels, func(l *Level) bool { return l.Name == name })]
	if a.infos[i].Installs != "" {
		return a.prepare(l)
	}
	if p := a.preparing; p != nil && p.Failed != "" {
		a.preparing = nil
	}
	a.choose(l)
	return nil
}

// choose plays a level that can be played.
func (a *Arena) choose(l *Level) {
	name := l.Name
	a.Timeline.Add(EntryLevel, name, fmt.Sprintf("Level %d: %s", l.Number, l.Title), map[string]string{"level": name})
	a.end(l)
}

// Reset ends the round that is played, without an end screen, puts everything
// right and begins the level anew.
func (a *Arena) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.wake()
	a.end(a.game.level)
}

// end leads to a level, by way of recovery if anything was struck.
func (a *Arena) end(next *Level) {
	now := time.Now()
	switch a.game.phase {
	case PhaseReady, PhaseEnded:
		end := a.game.end
		a.play(now, next)
		if end != nil && end.Level == next.Name {
			a.game.end = end
		}
	case PhaseRecovering:
		a.next, a.quiet = next, true
	default:
		a.next, a.quiet = next, true
		a.game.decide(now, endedOwner)
		a.rescue()
	}
}

// Pause stops the game, or lets it go on. Faults that are active stay.
func (a *Arena) Pause(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.game.pause(time.Now(), on)
}

var (
	// ErrNoLevel means that there is no level of that name.
	ErrNoLevel = &Error{Message: "There is no such level.", Hint: "GET /api/v1/arena lists the levels."}
	// ErrUnplayable means that a level cannot be played on this lab.
	ErrUnplayable = &Error{Message: "That level cannot be played on this lab.", Hint: "GET /api/v1/arena says of each level why not."}
	// ErrFailed means that a strike's fault could not be made.
	ErrFailed = &Error{Message: "The fault could not be made.", Hint: "The target has got some of its health back. A fault that goes through the API server needs one that answers."}
)

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

// tell writes a round's end to the timeline.
func (a *Arena) tell(e *End) {
	fields := map[string]string{"level": e.Level, "round": strconv.Itoa(e.Round), "points": fmt.Sprintf("%.0f", e.Score.Points)}
	kind := EntryHeld
	if e.Won {
		kind = timeline.KindWin
		fields["outage"] = strconv.Itoa(e.Outage.ID)
	}
	a.Timeline.Add(kind, "round "+strconv.Itoa(e.Round), e.Headline, fields)
}

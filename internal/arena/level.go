package arena

import (
	"slices"
	"time"

	"zdl/internal/arena/defence"
	"zdl/internal/cluster"
	"zdl/internal/yamlfile"
)

// Subjects whose outage can win a level. The service is always probed, the
// others only while a round is played that needs them.
const (
	SubjectService  = "service"  // what users get
	SubjectAPI      = "api"      // writes to the Kubernetes API, through its virtual IP
	SubjectDNS      = "dns"      // lookups of the service's name
	SubjectDatabase = "database" // writes to the database
)

// Kinds of targets.
const (
	KindPod       = "pod"
	KindNode      = "node"
	KindZone      = "zone"
	KindMachine   = "machine"   // a load balancer or router
	KindComponent = "component" // a member of the control plane on one node
	KindLab       = "lab"       // the whole, for faults that have no place
)

// Level is a game: what may be hit, by what, and when it is won. It is read from
// a file; docs/arena.md is the reference.
type Level struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`

	Number   int    `yaml:"number"`
	Name     string `yaml:"name"`
	Title    string `yaml:"title"`
	Question string `yaml:"question"`
	// Subject is whose outage wins unless a way to win says otherwise.
	Subject string               `yaml:"subject"`
	Needs   []cluster.Capability `yaml:"needs"`
	// Install is what is installed when the level is chosen and its targets are not
	// there: "database". Without it such a level cannot be played.
	Install string        `yaml:"install"`
	Targets []TargetGroup `yaml:"targets"`
	Weapons []WeaponFile  `yaml:"weapons"`
	// Catalogue makes a weapon of every fault of the catalogue that fits a kind
	// of target, but for those of Except.
	Catalogue bool       `yaml:"catalogue"`
	Except    []string   `yaml:"except"`
	Rules     LevelRules `yaml:"rules"`
	Win       []WinFile  `yaml:"win"`
	// GiveUp is how long a round lasts at most, Idle how long without a hit.
	GiveUp yamlfile.Span `yaml:"giveUp"`
	Idle   yamlfile.Span `yaml:"idle"`
	// RecoverAfter is how long an outage lasts before everything is put right.
	RecoverAfter yamlfile.Span     `yaml:"recoverAfter"`
	Defences     []defence.Defence `yaml:"defences"`
	Lesson       string            `yaml:"lesson"`

	Text string `yaml:"-"` // Markdown, from the file beside it
	File string `yaml:"-"` // for messages
}

// TargetGroup is targets of one kind that share their weapons and their health.
type TargetGroup struct {
	Kind    string   `yaml:"kind"`
	Select  Select   `yaml:"select"`
	Weapons []string `yaml:"weapons"` // the first is the default
	// Health of a full target, Fresh of one that came back after a strike, in points.
	Health float64 `yaml:"health"`
	Fresh  float64 `yaml:"fresh"`
	// HealPerSecond is what a target regains, in points a second, once it was not
	// hit for HealAfter.
	HealPerSecond float64       `yaml:"healPerSecond"`
	HealAfter     yamlfile.Span `yaml:"healAfter"`
	// AtLeast is how many there must be for the level to make sense.
	AtLeast int `yaml:"atLeast"`
	// Optional: the level can be played without any of them.
	Optional bool `yaml:"optional"`
}

// Select narrows a kind down; what is empty does not narrow.
type Select struct {
	Of        string `yaml:"of"`        // pod: "service", those of the service under attack
	Namespace string `yaml:"namespace"` // pod
	App       words  `yaml:"app"`       // pod: its label app.kubernetes.io/name, app, k8s-app or component
	Role      string `yaml:"role"`      // node: worker or control-plane
	Machine   string `yaml:"machine"`   // machine: edge or router
	Component words  `yaml:"component"` // component: etcd, kube-apiserver, …
}

// WeaponFile is a fault of the catalogue as something to hit with.
type WeaponFile struct {
	Name   string            `yaml:"name"`
	Title  string            `yaml:"title"`
	Key    string            `yaml:"key"`
	Fault  string            `yaml:"fault"`
	Params map[string]string `yaml:"params"`
	// For is how long the fault lasts; it has no meaning for faults that are over
	// at once.
	For yamlfile.Span `yaml:"for"`
	// Damage of a hit in points; default that of the rules.
	Damage float64 `yaml:"damage"`
}

// LevelRules are the limits of a level.
type LevelRules struct {
	Damage        float64 `yaml:"damage"`        // of one hit, in points
	HitsPerSecond float64 `yaml:"hitsPerSecond"` // of each visitor
	Burst         float64 `yaml:"burst"`         // hits of a visitor at once
	All           float64 `yaml:"all"`           // hits per second of all together
	// Simultaneous is how many targets may be struck at the same time; 0: all.
	Simultaneous int `yaml:"simultaneous"`
}

// WinFile is a way to win: an outage that surely lasted so long.
type WinFile struct {
	Subject string        `yaml:"subject"` // default the level's
	Outage  yamlfile.Span `yaml:"outage"`
}

// defaults fills in what a file leaves out.
func (l *Level) defaults() {
	set(&l.Subject, SubjectService)
	set(&l.GiveUp, yamlfile.Span(5*time.Minute))
	set(&l.Idle, yamlfile.Span(90*time.Second))
	set(&l.RecoverAfter, yamlfile.Span(10*time.Second))
	set(&l.Rules.Damage, 10)
	set(&l.Rules.HitsPerSecond, 8)
	set(&l.Rules.Burst, 8)
	set(&l.Rules.All, 200)
	for i := range l.Targets {
		g := &l.Targets[i]
		set(&g.Health, 100)
		set(&g.Fresh, g.Health)
		set(&g.HealPerSecond, 5)
		set(&g.HealAfter, yamlfile.Span(3*time.Second))
		set(&g.AtLeast, 1)
	}
	for i := range l.Weapons {
		set(&l.Weapons[i].Damage, l.Rules.Damage)
		set(&l.Weapons[i].Title, l.Weapons[i].Name)
	}
	for i := range l.Win {
		set(&l.Win[i].Subject, l.Subject)
	}
}

func set[T comparable](v *T, standard T) {
	var zero T
	if *v == zero {
		*v = standard
	}
}

// Subjects lists whose outages the level watches: its own first, and always the
// service's.
func (l *Level) Subjects() []string {
	out := []string{l.Subject}
	for _, w := range l.Win {
		if !slices.Contains(out, w.Subject) {
			out = append(out, w.Subject)
		}
	}
	if !slices.Contains(out, SubjectService) {
		out = append(out, SubjectService)
	}
	return out
}

// wins tells by how long an outage of a subject wins; false if it never does.
func (l *Level) wins(subject string) (time.Duration, bool) {
	for _, w := range l.Win {
		if w.Subject == subject {
			return time.Duration(w.Outage), true
		}
	}
	return 0, false
}

// weapon finds a weapon by name, or nil.
func (l *Level) weapon(name string) *WeaponFile {
	for i := range l.Weapons {
		if l.Weapons[i].Name == name {
			return &l.Weapons[i]
		}
	}
	return nil
}

// rules are the level's, as everybody may see them.
func (l *Level) rules() Rules {
	r := Rules{
		Damage: l.Rules.Damage, HitsPerSecond: l.Rules.HitsPerSecond, Burst: l.Rules.Burst, AllHitsPerSecond: l.Rules.All,
		Simultaneous: l.Rules.Simultaneous, GiveUp: time.Duration(l.GiveUp), Idle: time.Duration(l.Idle),
		RecoverAfter: time.Duration(l.RecoverAfter), Win: []WinRule{},
	}
	for _, w := range l.Win {
		r.Win = append(r.Win, WinRule{w.Subject, milliseconds(time.Duration(w.Outage))})
	}
	return r
}

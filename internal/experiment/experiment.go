// Package experiment is a director: it carries out chaos experiments that are
// written in files, and gives a verdict on what they expected.
//
// An experiment states a hypothesis and what is steady, breaks something, and
// compares what users and cluster went through with what was expected (Basiri et
// al., Chaos Engineering, IEEE Software 33(3), 2016). Three rules keep a verdict
// from being fooled: no data is a failure; a fault that was not proven voids the
// run; and what cannot be decided within the error bounds does not pass.
package experiment

import (
	"regexp"
	"time"

	"zdl/internal/fault"
	"zdl/internal/load"
	"zdl/internal/topology"
)

// Experiment is one file.
type Experiment struct {
	Name       string   `json:"name"` // of the file, without its ending
	Title      string   `json:"title"`
	Hypothesis string   `json:"hypothesis"`
	Why        string   `json:"why,omitempty"`    // what plain Kubernetes does here, and by which setting
	Covers     []string `json:"covers,omitempty"` // rows of the mission: C4, D9, …
	Tags       []string `json:"tags,omitempty"`   // trap: a weakness of plain Kubernetes; long: more than a minute even in short form

	// Setup is done before the steady state is looked at, and undone at the end.
	Setup []Action `json:"setup,omitempty"`
	// Steady must hold before anything is broken, and again at the end.
	Steady []Condition `json:"steady"`
	// Before is how long the steady state is watched before the method begins,
	// After how long what follows is watched when the method is over.
	Before time.Duration `json:"before"`
	After  time.Duration `json:"after"`
	Method []Action      `json:"method"`
	// Load is made on the service, beside the probe; nil: only some requests that
	// are kept as samples. One without a length lasts as long as the run.
	Load          *load.Plan    `json:"-"`
	LoadUntilOver bool          `json:"loadUntilOver,omitempty"`
	Probe         []string      `json:"probe,omitempty"` // further subjects that are probed: api, dns
	Expect        []Expectation `json:"expect"`
	Abort         Abort         `json:"abort"`
	Guard         Guard         `json:"guard"`
	// Recover is how long the lab may take to be steady again after everything
	// is healed.
	Recover time.Duration `json:"recover"`
	Repeat  int           `json:"repeat"`
	Seed    uint64        `json:"seed"`
	Short   Short         `json:"short"`
	// IsShort tells that the short form is carried out.
	IsShort bool `json:"isShort,omitempty"`
}

// Action is one thing that the method does.
type Action struct {
	Name string `json:"name,omitempty"` // to be healed by, or told apart
	// At is when it is done, since the method began; After is a pause before it,
	// since the one before it. When is waited for after that, at most Within.
	At     time.Duration `json:"at,omitempty"`
	After  time.Duration `json:"after,omitempty"`
	When   *Condition    `json:"when,omitempty"`
	Within time.Duration `json:"within,omitempty"`

	// One of these is done; none is a mere wait.
	Attack  *fault.Request `json:"attack,omitempty"`
	Heal    string         `json:"heal,omitempty"`    // name of an attack, or all
	Kubectl []string       `json:"kubectl,omitempty"` // arguments
	Apply   string         `json:"apply,omitempty"`   // manifests, deleted at the end of the run

	// Fails says that kubectl is to fail, with a text in which this is found.
	Fails *regexp.Regexp `json:"-"`
	// Keep names an object, as kubectl get does, that is put back as it was.
	Keep []string `json:"keep,omitempty"`
	// Undo are kubectl's arguments, command by command, at the end of the run,
	// whatever happened.
	Undo [][]string `json:"undo,omitempty"`
}

// Condition is a state of cluster and service; exactly one field is set.
type Condition struct {
	// NodesReady: at least so many nodes are Ready; -1 means all, and none cordoned.
	NodesReady int `json:"nodesReady,omitempty"`
	// PodsReady: at least so many pods of the target are ready; -1 means all.
	PodsReady int `json:"podsReady,omitempty"`
	// ServiceUp: the probe's latest requests were answered for so long.
	ServiceUp time.Duration `json:"serviceUp,omitempty"`
	// Event: the timeline has such an entry since the method began.
	Event *Event `json:"event,omitempty"`
	// SystemReady: every pod of the system is ready.
	SystemReady bool `json:"systemReady,omitempty"`
	// Failed: of the probe's requests of the last ten seconds at most this share failed.
	Failed *float64 `json:"failed,omitempty"`
	// P99: 99 % of the probe's answers of the last ten seconds came within this.
	P99 time.Duration `json:"p99,omitempty"`
	// Rollout: a deployment's rollout has come so far.
	Rollout *Rollout `json:"rollout,omitempty"`
}

// Rollout is how far a deployment is updated.
type Rollout struct {
	Deployment string  `json:"deployment"` // namespace/name
	Done       float64 `json:"done"`       // share of its replicas that are new and ready, 0 to 1
}

// Event describes entries of the timeline.
type Event struct {
	Kind    string         `json:"kind"`
	Subject *regexp.Regexp `json:"-"` // nil: any
	Text    *regexp.Regexp `json:"-"` // nil: any
}

// Abort says when a run is ended early, and everything healed. Zero: never.
type Abort struct {
	Outage     time.Duration `json:"outage,omitempty"`     // an outage lasts longer
	Failed     float64       `json:"failed,omitempty"`     // a larger share of the last ten seconds' requests failed
	NodesReady int           `json:"nodesReady,omitempty"` // fewer nodes are Ready
}

// Guard bounds what a run may strike in all; the engine's own guard looks at one
// attack at a time.
type Guard struct {
	Targets int `json:"targets,omitempty"` // different targets; 0: no bound
}

// Short is how a run is made shorter for CI: its pauses are cut to these.
type Short struct {
	Before time.Duration `json:"before,omitempty"`
	Pause  time.Duration `json:"pause,omitempty"` // of actions
	After  time.Duration `json:"after,omitempty"`
}

// Expectation is one thing that must turn out; exactly one of its parts is set.
type Expectation struct {
	Outage   *Length `json:"outage,omitempty"`   // all outages together
	Longest  *Length `json:"longest,omitempty"`  // the longest one
	Failed   *Share  `json:"failed,omitempty"`   // requests of the probe
	Recovery *Within `json:"recovery,omitempty"` // until everything steady holds again
	Event    *Seen   `json:"event,omitempty"`    // an entry of the timeline
	Leader   *Leader `json:"leader,omitempty"`   // another leads
	Alert    *Alert  `json:"alert,omitempty"`    // monitoring noticed
	Load     *Passed `json:"load,omitempty"`     // the load's thresholds
	Lost     *Lost   `json:"lost,omitempty"`     // acknowledged writes
	Knee     *Knee   `json:"knee,omitempty"`     // of the load's curve

	// Improve says what to change where this is not met.
	Improve string `json:"improve,omitempty"`
}

// Length bounds a time that is itself known between two bounds. Of is what was
// probed: "" is the service.
type Length struct {
	AtMost  *time.Duration `json:"atMost,omitempty"`
	AtLeast *time.Duration `json:"atLeast,omitempty"`
	Of      string         `json:"of,omitempty"`
}

// Share bounds a share of requests, 0 to 1.
type Share struct {
	AtMost  *float64 `json:"atMost,omitempty"`
	AtLeast *float64 `json:"atLeast,omitempty"`
}

// Within bounds the time from a moment: "fault", the first injection (the
// default), or "heal", the last undo.
type Within struct {
	Within time.Duration `json:"within"`
	Of     string        `json:"of"`
}

// Seen wants an entry of the timeline within a time from the first injection, but
// not before another; or with Never, that there is none.
type Seen struct {
	Event
	Within    time.Duration `json:"within,omitempty"`
	NotBefore time.Duration `json:"notBefore,omitempty"`
	Never     bool          `json:"never,omitempty"`
	Count     int           `json:"count,omitempty"`  // at least so many; default 1
	AtMost    *int          `json:"atMost,omitempty"` // at most so many
}

// Leader wants another leader of a component, within a time from the first
// injection.
type Leader struct {
	Of     string        `json:"of"` // etcd, kube-scheduler, kube-controller-manager
	Within time.Duration `json:"within"`
}

// Alert wants an alert to fire within a time from the first injection.
type Alert struct {
	Name   string        `json:"name"`
	Within time.Duration `json:"within"`
}

// Passed wants all thresholds of the load to hold.
type Passed struct{}

// Lost wants every write of a probed subject that was acknowledged to be there
// when it is read.
type Lost struct {
	Of string `json:"of"` // api
}

// Knee wants the load's curve to bend no sooner than at a rate.
type Knee struct {
	AtLeast float64 `json:"atLeast"` // arrivals a second
}

// ServiceURL is the service under test, as its users reach it.
var ServiceURL = "http://" + topology.UserVIP.String() + "/"

// Bounds and defaults.
const (
	DefaultBefore  = 5 * time.Second
	DefaultAfter   = 10 * time.Second
	DefaultRecover = 3 * time.Minute
	DefaultWithin  = time.Minute
	maxLength      = 2 * time.Hour
	maxRepeat      = 100
)

// Shorten makes the short form of an experiment: its pauses are cut, what it
// does and expects stays the same.
func (e *Experiment) Shorten() {
	e.IsShort = true
	e.Before = min(e.Before, e.Short.Before)
	e.After = min(e.After, e.Short.After)
	for i := range e.Method {
		e.Method[i].After = min(e.Method[i].After, e.Short.Pause)
	}
}

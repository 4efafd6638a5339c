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
	"fmt"
	"regexp"
	"time"

	"zdl/internal/fault"
	"zdl/internal/load"
)

// Experiment is one file.
type Experiment struct {
	Name       string   `json:"name"` // of the file, without its ending
	Title      string   `json:"title"`
	Hypothesis string   `json:"hypothesis"`
	Why        string   `json:"why,omitempty"`    // what plain Kubernetes does here, and by which setting
	Covers     []string `json:"covers,omitempty"` // rows of the mission: C4, D9, …

	// Steady must hold before anything is broken, and again at the end.
	Steady []Condition `json:"steady"`
	// Before is how long the steady state is watched before the method begins,
	// After how long what follows is watched when the method is over.
	Before time.Duration `json:"before"`
	After  time.Duration `json:"after"`
	Method []Action      `json:"method"`
	Load   *load.Plan    `json:"-"` // on the service, beside the probe; nil: none
	Expect []Expectation `json:"expect"`
	// AbortOutage ends the run when users were down for longer than this in all.
	AbortOutage time.Duration `json:"abortOutage"`
	// Recover is how long the lab may take to be steady again after everything
	// is healed.
	Recover time.Duration `json:"recover"`
	Repeat  int           `json:"repeat"`
	Seed    uint64        `json:"seed"`
}

// Action is one thing that the method does.
type Action struct {
	Name string `json:"name,omitempty"` // to be healed by, or told apart
	// After is a pause before the action, since the one before it; When is waited
	// for after that, at most Within.
	After  time.Duration `json:"after,omitempty"`
	When   *Condition    `json:"when,omitempty"`
	Within time.Duration `json:"within,omitempty"`

	// One of these is done; none is a mere wait.
	Attack  *fault.Request `json:"attack,omitempty"`
	Heal    string         `json:"heal,omitempty"`    // name of an attack, or all
	Kubectl []string       `json:"kubectl,omitempty"` // arguments; undone by Undo
	Undo    []string       `json:"undo,omitempty"`    // kubectl's arguments at the end of the run, whatever happened
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
}

// Event describes entries of the timeline.
type Event struct {
	Kind    string         `json:"kind"`
	Subject *regexp.Regexp `json:"-"` // nil: any
	Text    *regexp.Regexp `json:"-"` // nil: any
}

// Expectation is one thing that must turn out; exactly one of its parts is set.
type Expectation struct {
	Outage   *Length `json:"outage,omitempty"`   // all outages together
	Longest  *Length `json:"longest,omitempty"`  // the longest one
	Failed   *Share  `json:"failed,omitempty"`   // requests of the probe
	Recovery *Within `json:"recovery,omitempty"` // until everything steady holds again
	Event    *Seen   `json:"event,omitempty"`    // an entry of the timeline
	Load     *Passed `json:"load,omitempty"`     // the load's thresholds

	// Improve says what to change where this is not met.
	Improve string `json:"improve,omitempty"`
}

// Length bounds a time that is itself known between two bounds.
type Length struct {
	AtMost  *time.Duration `json:"atMost,omitempty"`
	AtLeast *time.Duration `json:"atLeast,omitempty"`
}

// Share bounds a share of requests, 0 to 1.
type Share struct {
	AtMost float64 `json:"atMost"`
}

// Within bounds the time from a moment: "fault", the first injection (the
// default), or "heal", the last undo.
type Within struct {
	Within time.Duration `json:"within"`
	Of     string        `json:"of"`
}

// Seen wants an entry of the timeline within a time from the first injection; or
// with Never, that there is none.
type Seen struct {
	Event
	Within time.Duration `json:"within,omitempty"`
	Never  bool          `json:"never,omitempty"`
	Count  int           `json:"count,omitempty"` // at least so many; default 1
}

// Passed wants all thresholds of the load to hold.
type Passed struct{}

// Bounds and defaults.
const (
	DefaultBefore  = 5 * time.Second
	DefaultAfter   = 10 * time.Second
	DefaultRecover = 3 * time.Minute
	DefaultWithin  = time.Minute
	maxLength      = 2 * time.Hour
	maxRepeat      = 100
)

// Check fills in defaults and says what is wrong, or nil.
func (e *Experiment) Check() error {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&e.Before, DefaultBefore)
	set(&e.After, DefaultAfter)
	set(&e.Recover, DefaultRecover)
	set(&e.AbortOutage, maxLength)
	if e.Repeat == 0 {
		e.Repeat = 1
	}
	if e.Seed == 0 {
		e.Seed = 1
	}
	if len(e.Steady) == 0 {
		e.Steady = []Condition{{NodesReady: -1}, {PodsReady: -1}, {ServiceUp: 2 * time.Second}}
	}
	switch {
	case e.Title == "" || e.Hypothesis == "":
		return fmt.Errorf("it has no title or no hypothesis: say in words what is expected to hold")
	case len(e.Method) == 0:
		return fmt.Errorf("its method is empty, so nothing would happen")
	case len(e.Expect) == 0:
		return fmt.Errorf("it expects nothing, so it could not fail")
	case e.Before < 0 || e.After < 0 || e.Recover < 0 || max(e.Before, e.After, e.Recover) > maxLength:
		return fmt.Errorf("before, after and recover are from 0 to %v", maxLength)
	case e.Repeat < 1 || e.Repeat > maxRepeat:
		return fmt.Errorf("repeat %d: want 1 to %d", e.Repeat, maxRepeat)
	}
	for i := range e.Steady {
		if err := e.Steady[i].check(); err != nil {
			return fmt.Errorf("steady %d: %w", i+1, err)
		}
	}
	names := map[string]bool{}
	for i := range e.Method {
		if err := e.Method[i].check(names); err != nil {
			return fmt.Errorf("method %d: %w", i+1, err)
		}
	}
	for i := range e.Expect {
		if err := e.Expect[i].check(e.Load != nil); err != nil {
			return fmt.Errorf("expect %d: %w", i+1, err)
		}
	}
	return nil
}

func (a *Action) check(names map[string]bool) error {
	done := 0
	for _, set := range []bool{a.Attack != nil, a.Heal != "", len(a.Kubectl) > 0} {
		if set {
			done++
		}
	}
	switch {
	case done > 1:
		return fmt.Errorf("it does more than one thing: want one of attack, heal, kubectl")
	case done == 0 && a.After == 0 && a.When == nil:
		return fmt.Errorf("it does nothing: want attack, heal, kubectl, after or when")
	case a.After < 0 || a.After > maxLength:
		return fmt.Errorf("after %v: want 0 to %v", a.After, maxLength)
	case a.Heal != "" && a.Heal != "all" && !names[a.Heal]:
		return fmt.Errorf("heal: no attack before it is called %q", a.Heal)
	case len(a.Undo) > 0 && len(a.Kubectl) == 0:
		return fmt.Errorf("undo belongs to kubectl; attacks have an undo of their own")
	case a.Name != "" && names[a.Name]:
		return fmt.Errorf("two actions are called %q", a.Name)
	}
	if a.When != nil {
		if a.Within == 0 {
			a.Within = DefaultWithin
		}
		if err := a.When.check(); err != nil {
			return fmt.Errorf("when: %w", err)
		}
	} else if a.Within != 0 {
		return fmt.Errorf("within bounds a when, and there is none")
	}
	if a.Attack != nil && a.Attack.Kind == "" && len(a.Attack.Parts) == 0 {
		return fmt.Errorf("attack: it names no kind")
	}
	if a.Name != "" {
		names[a.Name] = true
	}
	return nil
}

func (c *Condition) check() error {
	n := 0
	for _, set := range []bool{c.NodesReady != 0, c.PodsReady != 0, c.ServiceUp != 0, c.Event != nil, c.SystemReady} {
		if set {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("a condition is exactly one of nodesReady, podsReady, serviceUp, systemReady, event")
	}
	if c.NodesReady < -1 || c.PodsReady < -1 || c.ServiceUp < 0 {
		return fmt.Errorf("a count is all or more than 0")
	}
	return nil
}

func (x *Expectation) check(hasLoad bool) error {
	n := 0
	for _, set := range []bool{x.Outage != nil, x.Longest != nil, x.Failed != nil, x.Recovery != nil, x.Event != nil, x.Load != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("an expectation is exactly one of outage, longest, failed, recovery, event, load")
	}
	for _, l := range []*Length{x.Outage, x.Longest} {
		if l != nil && (l.AtMost == nil) == (l.AtLeast == nil) {
			return fmt.Errorf("want either atMost or atLeast")
		}
	}
	switch {
	case x.Failed != nil && (x.Failed.AtMost < 0 || x.Failed.AtMost > 1):
		return fmt.Errorf("failed: a share is from 0%% to 100%%")
	case x.Recovery != nil && x.Recovery.Of != "fault" && x.Recovery.Of != "heal":
		return fmt.Errorf("recovery of %q: want fault or heal", x.Recovery.Of)
	case x.Recovery != nil && x.Recovery.Within <= 0:
		return fmt.Errorf("recovery: want within, more than 0")
	case x.Event != nil && x.Event.Kind == "":
		return fmt.Errorf("event: it names no kind; zdl timeline shows them")
	case x.Event != nil && x.Event.Never && (x.Event.Within != 0 || x.Event.Count != 0):
		return fmt.Errorf("event: what shall never be has no within and no count")
	case x.Load != nil && !hasLoad:
		return fmt.Errorf("load: the experiment makes none")
	}
	return nil
}

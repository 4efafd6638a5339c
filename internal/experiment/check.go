package experiment

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"zdl/internal/fault"
	"zdl/internal/load"
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
	set(&e.Short.Before, time.Second)
	set(&e.Short.Pause, 6*time.Second)
	set(&e.Short.After, 3*time.Second)
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
	case e.Guard.Targets < 0 || e.Abort.NodesReady < 0 || e.Abort.Outage < 0:
		return fmt.Errorf("guard and abort: a count or a length is 0 or more")
	}
	for i := range e.Steady {
		if err := e.Steady[i].check(); err != nil {
			return fmt.Errorf("steady %d: %w", i+1, err)
		}
		if e.Steady[i].Event != nil || e.Steady[i].Rollout != nil {
			return fmt.Errorf("steady %d: an event or a rollout is no state that lasts; it belongs to when", i+1)
		}
	}
	for _, s := range e.Probe {
		if s != "api" && s != "dns" {
			return fmt.Errorf("probe: %q: want api or dns; the service is always probed", s)
		}
	}
	names := map[string]bool{}
	for i := range e.Setup {
		if err := e.Setup[i].check(names); err != nil {
			return fmt.Errorf("setup %d: %w", i+1, err)
		}
		if e.Setup[i].Attack != nil || e.Setup[i].Heal != "" {
			return fmt.Errorf("setup %d: faults belong to the method", i+1)
		}
	}
	for i := range e.Method {
		if err := e.Method[i].check(names); err != nil {
			return fmt.Errorf("method %d: %w", i+1, err)
		}
		if r := e.Method[i].Attack; r != nil && e.Guard.Targets > 0 {
			if n := surely(r); n > e.Guard.Targets {
				return fmt.Errorf("method %d: it strikes %d targets, and the guard allows %d in all", i+1, n, e.Guard.Targets)
			}
		}
	}
	for i := range e.Expect {
		if err := e.Expect[i].check(e); err != nil {
			return fmt.Errorf("expect %d: %w", i+1, err)
		}
	}
	return nil
}

// ramps tells whether a load's rate grows.
func ramps(p *load.Plan) bool {
	return slices.ContainsFunc(p.Open.Stages, func(s load.Stage) bool { return s.To > s.From })
}

// surely is how many targets an attack strikes at least, as far as its words say.
func surely(r *fault.Request) int {
	if len(r.Parts) == 0 {
		if r.Mode == fault.Fixed {
			return r.Value
		}
		return 1
	}
	n := 0
	for i := range r.Parts {
		n = max(n, surely(&r.Parts[i])) // parts may strike the same
	}
	return n
}

func (a *Action) check(names map[string]bool) error {
	done := 0
	for _, set := range []bool{a.Attack != nil, a.Heal != "", len(a.Kubectl) > 0, a.Apply != ""} {
		if set {
			done++
		}
	}
	switch {
	case done > 1:
		return fmt.Errorf("it does more than one thing: want one of attack, heal, kubectl, apply")
	case done == 0 && a.After == 0 && a.At == 0 && a.When == nil:
		return fmt.Errorf("it does nothing: want attack, heal, kubectl, apply, after, at or when")
	case max(a.After, a.At) > maxLength:
		return fmt.Errorf("after and at are from 0 to %v", maxLength)
	case a.After > 0 && a.At > 0:
		return fmt.Errorf("it has both at and after: want one")
	case a.Heal != "" && a.Heal != "all" && !names[a.Heal]:
		return fmt.Errorf("heal: no attack before it is called %q", a.Heal)
	case (len(a.Undo) > 0 || len(a.Keep) > 0) && len(a.Kubectl) == 0:
		return fmt.Errorf("undo and keep belong to kubectl; attacks and apply have an undo of their own")
	case a.Fails != nil && len(a.Kubectl) == 0:
		return fmt.Errorf("fails belongs to kubectl")
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
	for _, set := range []bool{c.NodesReady != 0, c.PodsReady != 0, c.ServiceUp != 0, c.Event != nil, c.SystemReady, c.Failed != nil, c.P99 != 0, c.Rollout != nil} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("a condition is exactly one of nodesReady, podsReady, serviceUp, systemReady, failed, p99, event, rollout")
	case c.NodesReady < -1 || c.PodsReady < -1 || c.ServiceUp < 0 || c.P99 < 0:
		return fmt.Errorf("a count is all or more than 0")
	case c.Rollout != nil && (strings.Count(c.Rollout.Deployment, "/") != 1 || c.Rollout.Done <= 0 || c.Rollout.Done > 1):
		return fmt.Errorf("rollout: want deployment: NAMESPACE/NAME and done: 1%% to 100%%")
	case c.Event != nil && c.Event.Kind == "":
		return fmt.Errorf("event: it names no kind; zdl timeline shows them")
	}
	return nil
}

func (x *Expectation) check(e *Experiment) error {
	n := 0
	for _, set := range []bool{x.Outage != nil, x.Longest != nil, x.Failed != nil, x.Recovery != nil, x.Event != nil, x.Leader != nil, x.Alert != nil, x.Load != nil, x.Lost != nil, x.Knee != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("an expectation is exactly one of outage, longest, failed, recovery, event, leader, alert, load, lost, knee")
	}
	probed := func(what string) bool { return slices.Contains(e.Probe, what) }
	for _, l := range []*Length{x.Outage, x.Longest} {
		switch {
		case l == nil:
		case (l.AtMost == nil) == (l.AtLeast == nil):
			return fmt.Errorf("want either atMost or atLeast")
		case l.Of != "" && !probed(l.Of):
			return fmt.Errorf("outage of %q: it is not probed; add probe: [%s]", l.Of, l.Of)
		}
	}
	switch {
	case x.Failed != nil && (x.Failed.AtMost == nil) == (x.Failed.AtLeast == nil):
		return fmt.Errorf("failed: want either atMost or atLeast")
	case x.Recovery != nil && x.Recovery.Of != "fault" && x.Recovery.Of != "heal":
		return fmt.Errorf("recovery of %q: want fault or heal", x.Recovery.Of)
	case x.Recovery != nil && x.Recovery.Within <= 0:
		return fmt.Errorf("recovery: want within, more than 0")
	case x.Event != nil && x.Event.Kind == "":
		return fmt.Errorf("event: it names no kind; zdl timeline shows them")
	case x.Event != nil && x.Event.Never && (x.Event.Within != 0 || x.Event.NotBefore != 0 || x.Event.Count != 0):
		return fmt.Errorf("event: what shall never be has no within, notBefore or count")
	case x.Event != nil && x.Event.AtMost != nil && (x.Event.Never || x.Event.Count != 0 || x.Event.Within != 0 || x.Event.NotBefore != 0):
		return fmt.Errorf("event: atMost stands alone; it is about the whole run")
	case x.Event != nil && x.Event.Within > 0 && x.Event.NotBefore >= x.Event.Within:
		return fmt.Errorf("event: notBefore %v is not sooner than within %v", x.Event.NotBefore, x.Event.Within)
	case x.Leader != nil && !slices.Contains([]string{"etcd", "kube-scheduler", "kube-controller-manager"}, x.Leader.Of):
		return fmt.Errorf("leader of %q: want etcd, kube-scheduler or kube-controller-manager", x.Leader.Of)
	case x.Leader != nil && x.Leader.Within <= 0, x.Alert != nil && x.Alert.Within <= 0:
		return fmt.Errorf("leader, alert: want within, more than 0")
	case x.Alert != nil && x.Alert.Name == "":
		return fmt.Errorf("alert: it has no name")
	case (x.Load != nil || x.Knee != nil) && e.Load == nil:
		return fmt.Errorf("load, knee: the experiment makes no load")
	case x.Load != nil && len(e.Load.Thresholds) == 0:
		return fmt.Errorf("load: it has no thresholds, so it could not fail")
	case x.Knee != nil && (x.Knee.AtLeast <= 0 || !ramps(e.Load)):
		return fmt.Errorf("knee: want atLeast, more than 0, and a load with stages that ramp up")
	case x.Lost != nil && (x.Lost.Of != "api" || !probed("api")):
		return fmt.Errorf("lost: want of: api, and probe: [api]; other stores are not written to")
	}
	return nil
}

package experiment

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/probe"
	"zdl/internal/timeline"
)

// Outcome of an expectation or a run.
type Outcome string

const (
	Pass Outcome = "pass"
	Fail Outcome = "fail"
	// Void runs prove nothing: a fault was not proven, the steady state was not
	// there to begin with, the prober was not awake.
	Void Outcome = "void"
)

// Verdict is what became of one expectation.
type Verdict struct {
	Expected string  `json:"expected"`
	Observed string  `json:"observed"`
	Outcome  Outcome `json:"outcome"`
	// Value is what was compared, for distributions over repetitions; in ms, as a
	// share, or as a count. NaN is not written: without a value Known is false.
	Value   float64 `json:"value"`
	Known   bool    `json:"known"`
	Improve string  `json:"improve,omitempty"`
}

// maxMissed is the share of slots that the prober may miss before a run proves
// nothing.
const maxMissed = 0.05

// Judge compares an observation with what was expected. It does no I/O; where the
// observation turns out to prove nothing, it says so in Void.
func Judge(e *Experiment, o *Observation) (Outcome, []Verdict) {
	var out []Verdict
	for i := range e.Expect {
		v := e.Expect[i].judge(e, o)
		v.Improve = e.Expect[i].Improve
		out = append(out, v)
	}
	if len(o.Left) > 0 {
		out = append(out, Verdict{Expected: "nothing is left behind when all is healed", Observed: o.Left[0], Outcome: Fail})
	}
	switch {
	case o.Void != "":
		return Void, out
	case o.Sent == 0:
		o.Void = "the probe made no request"
		return Void, out
	case float64(o.Missed) > maxMissed*float64(o.Sent):
		o.Void = fmt.Sprintf("the probe itself missed %d of %d requests: the machine was too busy to measure", o.Missed, o.Sent)
		return Void, out
	case o.Load != nil && o.Load.Invalid != "" && !wantsKnee(e):
		o.Void = "the load is not valid: " + o.Load.Invalid
		return Void, out
	case o.Aborted != "":
		return Fail, out
	}
	if slices.ContainsFunc(out, func(v Verdict) bool { return v.Outcome != Pass }) {
		return Fail, out
	}
	return Pass, out
}

func exactly(text string) *regexp.Regexp {
	return regexp.MustCompile("^(?:" + regexp.QuoteMeta(text) + ")$")
}

func (x *Expectation) judge(e *Experiment, o *Observation) Verdict {
	switch {
	case x.Outage != nil:
		return x.Outage.judge(o, "users are down", "%s is down", o.down)
	case x.Longest != nil:
		return x.Longest.judge(o, "users are down at a stretch", "%s is down at a stretch", o.longest)
	case x.Leader != nil:
		seen := Seen{Event: Event{Kind: string(cluster.LeaderMoved), Subject: exactly(x.Leader.Of)}, Within: x.Leader.Within}
		v := seen.judge(o)
		v.Expected = fmt.Sprintf("%s has another leader within %v of the fault", x.Leader.Of, x.Leader.Within)
		return v
	case x.Alert != nil:
		seen := Seen{Event: Event{Kind: timeline.KindAlert, Subject: exactly(x.Alert.Name)}, Within: x.Alert.Within}
		v := seen.judge(o)
		v.Expected = fmt.Sprintf("the alert %s fires within %v of the fault", x.Alert.Name, x.Alert.Within)
		return v
	case x.Lost != nil:
		return x.Lost.judge(o)
	case x.Knee != nil:
		return x.Knee.judge(e, o)
	case x.Failed != nil:
		return x.Failed.judge(o)
	case x.Recovery != nil:
		return x.Recovery.judge(o)
	case x.Event != nil:
		return x.Event.judge(o)
	}
	return judgeLoad(o)
}

// judge decides only what the bounds decide.
func (l *Length) judge(o *Observation, service, other string, sum func([]probe.Outage) (lower, upper time.Duration)) Verdict {
	what := service
	if l.Of != "" {
		what = fmt.Sprintf(other, map[string]string{"api": "the API", "dns": "the cluster's DNS"}[l.Of])
	}
	list, known := o.outages(l.Of)
	lower, upper := sum(list)
	none := len(list) == 0
	v := Verdict{Value: float64(lower.Microseconds()) / 1000, Known: known, Outcome: Fail, Observed: between(lower, upper, none)}
	if l.AtMost != nil {
		v.Expected = fmt.Sprintf("%s for at most %v", what, *l.AtMost)
		if *l.AtMost == 0 {
			v.Expected = strings.NewReplacer("users are down at a stretch", "no request of a user fails", "users are down", "no request of a user fails",
				" is down", " is never down").Replace(what)
		}
		switch {
		case !known:
		case upper <= *l.AtMost:
			v.Outcome = Pass
		case lower <= *l.AtMost && !none:
			v.Observed += ": the bounds do not decide it"
		}
	} else {
		v.Expected = fmt.Sprintf("%s for at least %v", what, *l.AtLeast)
		switch {
		case !known:
		case lower >= *l.AtLeast:
			v.Outcome = Pass
		case upper >= *l.AtLeast:
			v.Observed += ": the bounds do not decide it"
		}
	}
	if !known {
		v.Observed = "it was not measured"
	}
	return v
}

func between(lower, upper time.Duration, none bool) string {
	if none {
		return "not one request failed"
	}
	return fmt.Sprintf("between %v and %v", lower.Round(100*time.Microsecond), upper.Round(100*time.Microsecond))
}

func (s *Share) judge(o *Observation) Verdict {
	v := Verdict{Outcome: Fail, Observed: "no request was made"}
	if s.AtMost != nil {
		v.Expected = fmt.Sprintf("at most %.4g %% of the requests fail", 100**s.AtMost)
	} else {
		v.Expected = fmt.Sprintf("at least %.4g %% of the requests fail", 100**s.AtLeast)
	}
	if o.Sent == 0 {
		return v
	}
	v.Value, v.Known = float64(o.Failed)/float64(o.Sent), true
	v.Observed = fmt.Sprintf("%d of %d failed, %.4g %%", o.Failed, o.Sent, 100*v.Value)
	if s.AtMost != nil && v.Value <= *s.AtMost || s.AtLeast != nil && v.Value >= *s.AtLeast {
		v.Outcome = Pass
	}
	return v
}

func (w *Within) judge(o *Observation) Verdict {
	from, word := o.Injected, "the fault"
	if w.Of == "heal" {
		from, word = o.Healed, "the undo"
	}
	v := Verdict{Expected: fmt.Sprintf("everything is steady again within %v of %s", w.Within, word), Outcome: Fail}
	switch {
	case from.IsZero():
		v.Observed = fmt.Sprintf("%s never happened", word)
	case o.Steady.IsZero():
		v.Observed = "it did not become steady again while it was watched"
	default:
		d := max(o.Steady.Sub(from), 0)
		v.Value, v.Known, v.Observed = float64(d.Milliseconds()), true, fmt.Sprintf("after %v", d.Round(10*time.Millisecond))
		if d <= w.Within {
			v.Outcome = Pass
		}
	}
	return v
}

func (s *Seen) judge(o *Observation) Verdict {
	from := o.Injected
	if from.IsZero() {
		from = o.Began // nothing was broken
	}
	n, first := 0, time.Duration(0)
	var reached time.Duration // when the last of the wanted count came
	for i := range o.Entries {
		at := o.Entries[i].Happened().Sub(from)
		if at < 0 || !s.matches(&o.Entries[i]) {
			continue
		}
		if n++; n == 1 {
			first = at
		}
		if n == max(s.Count, 1) {
			reached = at
		}
	}
	what := s.Kind
	if s.Subject != nil {
		what += " of " + strings.TrimSuffix(strings.TrimPrefix(s.Subject.String(), "^(?:"), ")$") // as it was written
	}
	if s.Text != nil {
		what += " that says " + strings.TrimSuffix(strings.TrimPrefix(s.Text.String(), "^(?:"), ")$")
	}
	if s.AtMost != nil {
		v := Verdict{Expected: fmt.Sprintf("at most %d × %s", *s.AtMost, what), Observed: fmt.Sprintf("there were %d", n), Outcome: Fail, Known: true, Value: float64(n)}
		if len(o.Entries) == 0 {
			v.Observed, v.Known = "the timeline is empty, so nothing was watched", false
		} else if n <= *s.AtMost {
			v.Outcome = Pass
		}
		return v
	}
	if s.Never {
		v := Verdict{Expected: fmt.Sprintf("no %s", what), Observed: "there was none", Outcome: Pass, Known: true, Value: float64(n)}
		if len(o.Entries) == 0 {
			v.Observed, v.Outcome, v.Known = "the timeline is empty, so nothing was watched", Fail, false
		} else if n > 0 {
			v.Observed, v.Outcome = fmt.Sprintf("%d, the first after %v", n, first.Round(time.Millisecond)), Fail
		}
		return v
	}
	v := Verdict{Expected: what, Outcome: Fail, Observed: "there was none"}
	if s.Count > 1 {
		v.Expected = fmt.Sprintf("%d × %s", s.Count, what)
		v.Observed = fmt.Sprintf("there were %d", n)
	}
	switch {
	case s.Within > 0 && s.NotBefore > 0:
		v.Expected += fmt.Sprintf(" between %v and %v after the fault", s.NotBefore, s.Within)
	case s.Within > 0:
		v.Expected += fmt.Sprintf(" within %v of the fault", s.Within)
	case s.NotBefore > 0:
		v.Expected += fmt.Sprintf(" not before %v after the fault", s.NotBefore)
	}
	if n < max(s.Count, 1) {
		return v
	}
	v.Value, v.Known, v.Observed = float64(reached.Microseconds())/1000, true, fmt.Sprintf("after %v", reached.Round(time.Millisecond))
	if s.NotBefore > 0 && first < s.NotBefore {
		v.Observed += fmt.Sprintf(", the first after %v", first.Round(time.Millisecond))
		return v
	}
	if s.Within == 0 || reached <= s.Within {
		v.Outcome = Pass
	}
	return v
}

// leastWrites is how many acknowledged writes say something about lost ones.
const leastWrites = 20

func (l *Lost) judge(o *Observation) Verdict {
	v := Verdict{Expected: "no write that was acknowledged is lost", Outcome: Fail, Observed: "no write was measured"}
	r, known := o.Probes[l.Of]
	if !known {
		return v
	}
	written := int64(0)
	for _, lane := range r.Lanes {
		if strings.Contains(lane.Lane, "write") {
			written += lane.Sent - lane.Failed - lane.Missed
		}
	}
	bad := 0
	spans := slices.Clone(r.Outages)
	for _, d := range r.Degradations {
		spans = append(spans, d.Outage)
	}
	for _, s := range spans {
		bad += s.ByClass[string(probe.Stale)] + s.ByClass[string(probe.Wrong)]
	}
	v.Observed = fmt.Sprintf("%d writes were acknowledged, %d answers were older than one before or not what was written", written, bad)
	if written < leastWrites {
		v.Observed += fmt.Sprintf(": too few to tell, want %d", leastWrites)
		return v
	}
	v.Known, v.Value = true, float64(bad)
	if bad == 0 {
		v.Outcome = Pass
	}
	return v
}

// matches tells whether an entry is such an event.
func (e *Event) matches(entry *timeline.Entry) bool {
	return entry.Kind == e.Kind && (e.Subject == nil || e.Subject.MatchString(entry.Subject)) && (e.Text == nil || e.Text.MatchString(entry.Text))
}

func judgeLoad(o *Observation) Verdict {
	v := Verdict{Expected: "the load's thresholds hold", Outcome: Fail, Observed: "no load was measured"}
	if o.Load == nil || o.Load.All.Requests == 0 {
		return v
	}
	v.Known, v.Value = true, o.Load.All.Took.P99
	v.Observed = fmt.Sprintf("%d requests, %d failed, p99 %.1f ms", o.Load.All.Requests, o.Load.All.Failed, o.Load.All.Took.P99)
	broken := 0
	for _, t := range o.Load.Thresholds {
		if !t.Holds {
			broken++
			v.Observed += fmt.Sprintf("; %s does not hold", t.Threshold)
		}
	}
	if broken == 0 {
		v.Outcome = Pass
	}
	return v
}

package experiment

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

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
		v := e.Expect[i].judge(o)
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
	case o.Load != nil && o.Load.Invalid != "":
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

func (x *Expectation) judge(o *Observation) Verdict {
	switch {
	case x.Outage != nil:
		lower, upper := o.down()
		return x.Outage.judge("in all, users are down", lower, upper, len(o.Outages) == 0)
	case x.Longest != nil:
		lower, upper := o.longest()
		return x.Longest.judge("the longest outage lasts", lower, upper, len(o.Outages) == 0)
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
func (l *Length) judge(what string, lower, upper time.Duration, none bool) Verdict {
	v := Verdict{Value: float64(lower.Microseconds()) / 1000, Known: true, Outcome: Fail, Observed: between(lower, upper, none)}
	if l.AtMost != nil {
		v.Expected = fmt.Sprintf("%s for at most %v", what, *l.AtMost)
		switch {
		case upper <= *l.AtMost:
			v.Outcome = Pass
		case lower <= *l.AtMost && !none:
			v.Observed += ": the bounds do not decide it"
		}
		return v
	}
	v.Expected = fmt.Sprintf("%s for at least %v", what, *l.AtLeast)
	switch {
	case lower >= *l.AtLeast:
		v.Outcome = Pass
	case upper >= *l.AtLeast:
		v.Observed += ": the bounds do not decide it"
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
	v := Verdict{Expected: fmt.Sprintf("at most %.4g %% of the requests fail", 100*s.AtMost), Outcome: Fail, Observed: "no request was made"}
	if o.Sent == 0 {
		return v
	}
	v.Value, v.Known = float64(o.Failed)/float64(o.Sent), true
	v.Observed = fmt.Sprintf("%d of %d failed, %.4g %%", o.Failed, o.Sent, 100*v.Value)
	if v.Value <= s.AtMost {
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
	n, first := 0, time.Duration(0)
	var reached time.Duration // when the last of the wanted count came
	for i := range o.Entries {
		at := o.Entries[i].Wall.Sub(o.Injected)
		if o.Injected.IsZero() || at < 0 || !s.matches(&o.Entries[i]) {
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
	if s.Within > 0 {
		v.Expected += fmt.Sprintf(" within %v of the fault", s.Within)
	}
	if n < max(s.Count, 1) {
		return v
	}
	v.Value, v.Known, v.Observed = float64(reached.Microseconds())/1000, true, fmt.Sprintf("after %v", reached.Round(time.Millisecond))
	if s.Within == 0 || reached <= s.Within {
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

// Distribution sums up one expectation over repetitions.
type Distribution struct {
	Expected string  `json:"expected"`
	Passed   int     `json:"passed"`
	Runs     int     `json:"runs"` // that were not void
	Median   float64 `json:"median"`
	Worst    float64 `json:"worst"`
	// Low and High bound the median with at least 90 % confidence, by order
	// statistics (Conover, Practical Nonparametric Statistics, 3.2); equal to the
	// extremes below five runs, where no such interval exists.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Distribute sums up the verdicts of repetitions, in the order of expectations.
func Distribute(runs [][]Verdict) []Distribution {
	var out []Distribution
	for i := 0; len(runs) > 0 && i < len(runs[0]); i++ {
		d := Distribution{Expected: runs[0][i].Expected}
		var values []float64
		for _, run := range runs {
			if i >= len(run) {
				continue
			}
			d.Runs++
			if run[i].Outcome == Pass {
				d.Passed++
			}
			if run[i].Known {
				values = append(values, run[i].Value)
			}
		}
		if n := len(values); n > 0 {
			slices.Sort(values)
			d.Median = (values[(n-1)/2] + values[n/2]) / 2
			d.Worst = values[n-1]
			low, high := medianInterval(n)
			d.Low, d.High = values[low], values[high]
		}
		out = append(out, d)
	}
	return out
}

// medianInterval gives the indices of the order statistics that hold the median
// with at least 90 % confidence: the widest k with P(Binomial(n, 1/2) < k) ≤ 5 %.
func medianInterval(n int) (low, high int) {
	sum, k := 0.0, 0
	for k < n/2 {
		sum += math.Exp(lchoose(n, k) - float64(n)*math.Ln2)
		if sum > 0.05 {
			break
		}
		k++
	}
	low = max(k-1, 0)
	return low, n - 1 - low
}

func lchoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

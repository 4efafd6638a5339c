package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run measured. Times are in milliseconds, from the moment at
// which a request was due.
type Result struct {
	Title   string        `json:"title,omitempty"`
	Began   time.Time     `json:"began"`
	Elapsed time.Duration `json:"elapsed"` // nanoseconds
	// Steps in the order of the plan; All sums them up.
	Steps []StepResult `json:"steps"`
	All   StepResult   `json:"all"`
	// Iterations that were carried out; Dropped ones were due while the most
	// users that may be were busy.
	Iterations int64 `json:"iterations"`
	Dropped    int64 `json:"dropped"`
	Iteration  Trend `json:"iteration"`
	MostUsers  int64 `json:"mostUsers"` // busy or waiting at once
	// Late counts requests that the generator sent more than 5 ms after they were
	// due; Lag is by how much all were, in ms.
	Late int64 `json:"late"`
	Lag  Trend `json:"lag"`
	// CPU is what the generator itself used, in nanoseconds; Cores the same by time.
	CPU   time.Duration `json:"cpu"`
	Cores float64       `json:"cores"`

	Seconds    []SecondResult    `json:"seconds"`
	Samples    []Sample          `json:"-"` // by when they were due; see WriteSamples
	Thresholds []ThresholdResult `json:"thresholds"`
	// Invalid says why nothing can be concluded from the run; "" when it is valid.
	Invalid string `json:"invalid,omitempty"`
	Aborted string `json:"aborted,omitempty"`
}

// StepResult is what was measured of one step.
type StepResult struct {
	Name     string           `json:"name"`
	Requests int64            `json:"requests"`
	Rate     float64          `json:"rate"` // answered or failed, a second
	Failed   int64            `json:"failed"`
	Status   map[int]int64    `json:"status"`
	Class    map[string]int64 `json:"class"` // without an answer: refused, reset, timeout, …
	Bytes    int64            `json:"bytes"` // of bodies
	Checks   int64            `json:"checks"`
	Unchecks int64            `json:"failedChecks"`
	Took     Trend            `json:"took"`
	Waiting  Trend            `json:"waiting"` // from sending to the first byte
}

// Trend sums up a histogram, in ms.
type Trend struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min"`
	Avg   float64 `json:"avg"`
	Med   float64 `json:"med"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`

	h *hdrhistogram.Histogram
}

// SecondResult is one second of the run, by when requests were due.
type SecondResult struct {
	Second int     `json:"second"`
	Sent   int64   `json:"sent"`
	Failed int64   `json:"failed"`
	Late   int64   `json:"late"`
	Med    float64 `json:"med"` // ms
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
}

// ThresholdResult is a threshold's verdict. Without data it does not hold.
type ThresholdResult struct {
	Threshold string  `json:"threshold"`
	Value     float64 `json:"value"`
	Known     bool    `json:"known"` // there was something to measure
	Holds     bool    `json:"holds"`
}

// MaxLate is the share of late requests from which a run is invalid.
const MaxLate = 0.01

func trend(h *hdrhistogram.Histogram) Trend {
	t := Trend{Count: h.TotalCount(), h: h}
	if t.Count == 0 {
		return t
	}
	at := func(p float64) float64 { return float64(h.ValueAtQuantile(p)) / 1000 }
	t.Min, t.Avg, t.Max = float64(h.Min())/1000, h.Mean()/1000, float64(h.Max())/1000
	t.Med, t.P90, t.P95, t.P99, t.P999 = at(50), at(90), at(95), at(99), at(99.9)
	return t
}

// result merges what all shards have so far.
func (r *runner) result(names []string) *Result {
	out := &Result{Title: r.p.Title, Began: r.epoch.Round(0), Dropped: r.dropped.Load(), MostUsers: r.most.Load(), Elapsed: time.Since(r.epoch)}
	all := newShard(1)
	merged := newShard(len(names))
	for _, s := range r.shards {
		s.mu.Lock()
		merged.merge(s)
		s.mu.Unlock()
	}
	for i, name := range names {
		all.steps[0].merge(&merged.steps[i])
		out.Steps = append(out.Steps, merged.steps[i].result(name, out.Elapsed))
	}
	out.All = all.steps[0].result("all", out.Elapsed)
	out.Iterations, out.Late = merged.iters, merged.late
	out.Iteration, out.Lag = trend(merged.journey), trend(merged.lag)
	for i, s := range merged.second {
		row := SecondResult{Second: i, Sent: s.sent, Failed: s.failed, Late: s.late}
		if s.took != nil {
			row.Med, row.P99, row.Max = float64(s.took.ValueAtQuantile(50))/1000, float64(s.took.ValueAtQuantile(99))/1000, float64(s.took.Max())/1000
		}
		out.Seconds = append(out.Seconds, row)
	}
	return out
}

func (s *shard) merge(o *shard) {
	s.lag.Merge(o.lag)
	s.journey.Merge(o.journey)
	s.late += o.late
	s.iters += o.iters
	for i := range o.steps {
		s.steps[i].merge(&o.steps[i])
	}
	for i, sec := range o.second {
		if len(s.second) <= i {
			s.second = append(s.second, second{})
		}
		to := &s.second[i]
		to.sent, to.failed, to.late = to.sent+sec.sent, to.failed+sec.failed, to.late+sec.late
		if sec.took != nil {
			if to.took == nil {
				to.took = hdrhistogram.New(lowestUS, highestUS, 2)
			}
			to.took.Merge(sec.took)
		}
	}
}

func (c *stepCount) merge(o *stepCount) {
	c.took.Merge(o.took)
	c.waiting.Merge(o.waiting)
	for k, v := range o.status {
		c.status[k] += v
	}
	for k, v := range o.class {
		c.class[k] += v
	}
	c.failed, c.bytes, c.checks, c.unchecks = c.failed+o.failed, c.bytes+o.bytes, c.checks+o.checks, c.unchecks+o.unchecks
}

func (c *stepCount) result(name string, elapsed time.Duration) StepResult {
	out := StepResult{
		Name: name, Requests: c.took.TotalCount(), Failed: c.failed, Bytes: c.bytes, Checks: c.checks, Unchecks: c.unchecks,
		Status: maps.Clone(c.status), Class: maps.Clone(c.class), Took: trend(c.took), Waiting: trend(c.waiting),
	}
	if s := elapsed.Seconds(); s > 0 {
		out.Rate = float64(out.Requests) / s
	}
	return out
}

// judge compares with the thresholds and says whether the run is valid.
func (r *Result) judge(p *Plan) {
	if s := r.Elapsed.Seconds(); s > 0 {
		r.Cores = r.CPU.Seconds() / s
	}
	for i := range p.Thresholds {
		t := &p.Thresholds[i]
		value, known := r.value(t)
		r.Thresholds = append(r.Thresholds, ThresholdResult{t.String(), value, known, known && t.Holds(value)})
	}
	var why []string
	switch {
	case r.All.Requests == 0 && r.Aborted == "":
		why = append(why, "not one request was made")
	case float64(r.Late) > MaxLate*float64(r.All.Requests):
		why = append(why, fmt.Sprintf("the generator sent %.1f %% of the requests more than %v late: it could not keep up", 100*float64(r.Late)/float64(r.All.Requests), LateAfter))
	}
	if r.Dropped > 0 {
		why = append(why, fmt.Sprintf("%d iterations were dropped, since %d users were busy at once: raise the limit, or take it as the service's fault", r.Dropped, p.MaxUsers))
	}
	r.Invalid = strings.Join(why, "; ")
}

// Passed tells whether the run is valid and every threshold holds.
func (r *Result) Passed() bool {
	return r.Invalid == "" && r.Aborted == "" && !slices.ContainsFunc(r.Thresholds, func(t ThresholdResult) bool { return !t.Holds })
}

// value is what a threshold is compared with; false without data.
func (r *Result) value(t *Threshold) (float64, bool) {
	name, step, _ := strings.Cut(t.Metric, "{step:")
	from := &r.All
	if step = strings.TrimSuffix(step, "}"); step != "" {
		i := slices.IndexFunc(r.Steps, func(s StepResult) bool { return s.Name == step })
		if i < 0 {
			return 0, false
		}
		from = &r.Steps[i]
	}
	share := func(part, whole int64) (float64, bool) {
		if whole == 0 {
			return 0, false
		}
		return float64(part) / float64(whole), true
	}
	count := func(n int64) (float64, bool) {
		if t.Stat == "rate" {
			return float64(n) / max(r.Elapsed.Seconds(), 1e-9), true
		}
		return float64(n), true
	}
	switch name {
	case "http_req_duration":
		return from.Took.stat(t)
	case "http_req_waiting":
		return from.Waiting.stat(t)
	case "iteration_duration":
		return r.Iteration.stat(t)
	case "http_req_failed":
		return share(from.Failed, from.Requests)
	case "checks":
		return share(from.Checks-from.Unchecks, from.Checks)
	case "http_reqs":
		return count(from.Requests)
	case "iterations":
		return count(r.Iterations)
	case "dropped_iterations":
		return count(r.Dropped)
	}
	return 0, false
}

func (t *Trend) stat(th *Threshold) (float64, bool) {
	if t.Count == 0 || t.h == nil {
		return 0, false
	}
	switch th.Stat {
	case "avg":
		return t.Avg, true
	case "min":
		return t.Min, true
	case "med":
		return t.Med, true
	case "max":
		return t.Max, true
	}
	return float64(t.h.ValueAtQuantile(th.percentile())) / 1000, true
}

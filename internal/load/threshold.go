package load

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Threshold is a bound on a metric, in k6's words: "p(99)<300", "rate<0.001".
// Times are in milliseconds.
type Threshold struct {
	Metric string  // http_req_duration, http_req_failed, …; with a step in braces: http_req_duration{step:checkout}
	Stat   string  // avg, min, med, max, p(N), rate, count
	Op     string  // <, <=, >, >=, ==, !=
	Bound  float64 //
	// AbortOnFail ends the run as soon as the bound is broken.
	AbortOnFail bool
}

// metric kinds, as k6 has them.
var stats = map[string][]string{
	"trend":   {"avg", "min", "med", "max", "p(N)"},
	"rate":    {"rate"},
	"counter": {"count", "rate"},
}

// Metrics names what thresholds can be set on, and which kind each is.
var Metrics = map[string]string{
	"http_req_duration":  "trend",
	"http_req_waiting":   "trend",
	"iteration_duration": "trend",
	"http_req_failed":    "rate",
	"checks":             "rate",
	"http_reqs":          "counter",
	"iterations":         "counter",
	"dropped_iterations": "counter",
}

var expression = regexp.MustCompile(`^\s*(avg|min|med|max|rate|count|p\(\s*[0-9]+(?:\.[0-9]+)?\s*\))\s*(<=|>=|==|!=|<|>)\s*(-?[0-9]+(?:\.[0-9]+)?)\s*$`)

// ParseThreshold reads an expression for a metric.
func ParseThreshold(metric, text string) (Threshold, error) {
	name, _, _ := strings.Cut(metric, "{")
	kind, ok := Metrics[name]
	if !ok {
		return Threshold{}, fmt.Errorf("there is no metric %q: want one of %s", name, strings.Join(metricNames(), ", "))
	}
	if name != metric {
		if !strings.HasPrefix(metric[len(name):], "{step:") || !strings.HasSuffix(metric, "}") {
			return Threshold{}, fmt.Errorf("metric %q: want %s{step:NAME}", metric, name)
		}
	}
	m := expression.FindStringSubmatch(text)
	if m == nil {
		return Threshold{}, fmt.Errorf("threshold %q of %s: want for example %s", text, metric, example(kind))
	}
	t := Threshold{Metric: metric, Stat: strings.ReplaceAll(m[1], " ", ""), Op: m[2]}
	t.Bound, _ = strconv.ParseFloat(m[3], 64) // the expression allows numbers only
	general := t.Stat
	if strings.HasPrefix(general, "p(") {
		if p := t.percentile(); p < 0 || p > 100 {
			return Threshold{}, fmt.Errorf("threshold %q of %s: a percentile is from 0 to 100", text, metric)
		}
		general = "p(N)"
	}
	if !slices.Contains(stats[kind], general) {
		return Threshold{}, fmt.Errorf("threshold %q: %s is a %s, which has %s", text, metric, kind, strings.Join(stats[kind], ", "))
	}
	if kind == "rate" && (t.Bound < 0 || t.Bound > 1) {
		return Threshold{}, fmt.Errorf("threshold %q of %s can never decide anything: a rate is from 0 to 1", text, metric)
	}
	return t, nil
}

func metricNames() []string {
	var out []string
	for name := range Metrics {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func example(kind string) string {
	switch kind {
	case "trend":
		return "p(99)<300 (milliseconds)"
	case "rate":
		return "rate<0.001"
	}
	return "count>1000 or rate>100 (a second)"
}

// percentile is the N of p(N).
func (t *Threshold) percentile() float64 {
	p, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimPrefix(t.Stat, "p("), ")"), 64)
	if err != nil {
		return -1
	}
	return p
}

// Holds tells whether a value keeps the bound.
func (t *Threshold) Holds(value float64) bool {
	switch t.Op {
	case "<":
		return value < t.Bound
	case "<=":
		return value <= t.Bound
	case ">":
		return value > t.Bound
	case ">=":
		return value >= t.Bound
	case "==":
		return value == t.Bound
	}
	return value != t.Bound
}

func (t *Threshold) String() string {
	return fmt.Sprintf("%s: %s%s%g", t.Metric, t.Stat, t.Op, t.Bound)
}

func sortThresholds(t []Threshold) {
	slices.SortStableFunc(t, func(a, b Threshold) int { return strings.Compare(a.Metric, b.Metric) })
}

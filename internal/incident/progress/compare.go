package progress

import (
	"slices"
	"time"

	"zdl/internal/incident/grade"
)

// Comparison sets a result beside the same person's earlier ones of the scenario.
type Comparison struct {
	// Before counts the earlier runs that count, Passed those that were passed.
	Before int `json:"before"`
	Passed int `json:"passed"`
	// Points and the times are compared with the last and the best earlier run.
	Points   Change[float64]       `json:"points"`
	Diagnose Change[time.Duration] `json:"diagnose"`
	Mitigate Change[time.Duration] `json:"mitigate"`
	Verify   Change[time.Duration] `json:"verify"`
	Failed   Change[int]           `json:"failed"` // requests
}

// Change is a value beside earlier ones. Best is the highest of points and the
// lowest of all else.
type Change[T any] struct {
	Now  T `json:"now"`
	Last T `json:"last"`
	Best T `json:"best"`
	// Known tells that now and an earlier one are known.
	Known bool `json:"known"`
}

// Compare compares a result with those of its person and scenario that came before
// it. Void runs do not count.
func Compare(r *Result, all []Result) Comparison {
	earlier := slices.DeleteFunc(Of(all, r.Person, r.Scenario), func(o Result) bool {
		return o.Outcome == grade.Void || o.ID == r.ID || o.At.After(r.At)
	})
	slices.SortStableFunc(earlier, func(a, b Result) int { return a.At.Compare(b.At) })
	out := Comparison{Before: len(earlier)}
	for _, o := range earlier {
		if o.Outcome == grade.Pass {
			out.Passed++
		}
	}
	always := func(*Result) bool { return true }
	out.Points = compare(r, earlier, func(o *Result) float64 { return o.Points }, always, func(a, b float64) bool { return a > b })
	span := func(of func(*Times) time.Duration) Change[time.Duration] {
		value := func(o *Result) time.Duration { return of(&o.Times) }
		return compare(r, earlier, value, func(o *Result) bool { return value(o) > 0 }, func(a, b time.Duration) bool { return a < b })
	}
	out.Diagnose = span(func(t *Times) time.Duration { return t.Diagnose })
	out.Mitigate = span(func(t *Times) time.Duration { return t.Mitigate })
	out.Verify = span(func(t *Times) time.Duration { return t.Verify })
	out.Failed = compare(r, earlier, func(o *Result) int { return o.Impact.Failed }, func(o *Result) bool { return o.Impact.Known }, func(a, b int) bool { return a < b })
	return out
}

func compare[T any](r *Result, earlier []Result, value func(*Result) T, known func(*Result) bool, better func(a, b T) bool) Change[T] {
	out := Change[T]{Now: value(r)}
	seen := false
	for i := range earlier {
		o := &earlier[i]
		if !known(o) {
			continue
		}
		v := value(o)
		out.Last = v
		if !seen || better(v, out.Best) {
			out.Best = v
		}
		seen = true
	}
	out.Known = seen && known(r)
	return out
}

// Progress sums up what a person has played.
type Progress struct {
	Scenario string        `json:"scenario"`
	Runs     int           `json:"runs"`
	Passed   int           `json:"passed"`
	Points   float64       `json:"points"` // the best
	Verify   time.Duration `json:"verify"` // the shortest of the passed ones, 0: none
}

// Summary sums up a person's results by scenario, in the order of the alphabet.
// Void runs do not count.
func Summary(all []Result, person string) []Progress {
	by := map[string]*Progress{}
	var names []string
	for _, r := range Of(all, person, "") {
		if r.Outcome == grade.Void {
			continue
		}
		p := by[r.Scenario]
		if p == nil {
			p = &Progress{Scenario: r.Scenario}
			by[r.Scenario] = p
			names = append(names, r.Scenario)
		}
		p.Runs++
		p.Points = max(p.Points, r.Points)
		if r.Outcome == grade.Pass {
			p.Passed++
			if v := r.Times.Verify; v > 0 && (p.Verify == 0 || v < p.Verify) {
				p.Verify = v
			}
		}
	}
	slices.Sort(names)
	out := []Progress{}
	for _, n := range names {
		out = append(out, *by[n])
	}
	return out
}

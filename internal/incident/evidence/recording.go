package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"zdl/internal/incident/causal"
	"zdl/internal/timeline"
)

// Recording is Observations that were written down. It can be kept as JSON, so
// that a run can be judged again without its lab. Of PromQL it knows only the
// queries that were recorded, and comparisons of their results with a number.
type Recording struct {
	Queries  map[string][]Series `json:"queries,omitempty"` // by the text of the query
	Metrics  map[string][]Series `json:"metrics,omitempty"` // by MEMBER/METRIC
	Objects  []Version           `json:"objects,omitempty"`
	Happened []Event             `json:"events,omitempty"`
	Timeline []timeline.Entry    `json:"timeline,omitempty"`
	Logs     []Line              `json:"logs,omitempty"`
	Probes   map[string][]Look   `json:"probes,omitempty"` // by subject
}

// Samples gives the recorded results of a query.
func (r *Recording) Samples(query string, w Window) ([]Series, error) {
	if found, known := r.Queries[query]; known {
		return within(found, w), nil
	}
	inner, keep, compared := comparison(query)
	if found, known := r.Queries[inner]; compared && known {
		var out []Series
		for _, s := range within(found, w) {
			s.Samples = slices.DeleteFunc(slices.Clone(s.Samples), func(v Sample) bool { return !keep(v.Value) })
			if len(s.Samples) > 0 {
				out = append(out, s)
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("the query was not recorded")
}

// comparison takes a query such as (QUERY) > 0.5 apart.
func comparison(query string) (inner string, keep func(float64) bool, ok bool) {
	for _, op := range []string{" > ", " < "} {
		i := strings.LastIndex(query, op)
		if i < 0 {
			continue
		}
		bound, err := strconv.ParseFloat(strings.TrimSpace(query[i+len(op):]), 64)
		if err != nil {
			continue
		}
		inner = strings.TrimSpace(query[:i])
		if cut, is := strings.CutPrefix(inner, "("); is && strings.HasSuffix(cut, ")") {
			inner = cut[:len(cut)-1]
		}
		if op == " > " {
			return inner, func(v float64) bool { return v > bound }, true
		}
		return inner, func(v float64) bool { return v < bound }, true
	}
	return "", nil, false
}

func within(series []Series, w Window) []Series {
	var out []Series
	for _, s := range series {
		if cut := pick(s.Samples, func(v Sample) time.Time { return v.At }, w); len(cut) > 0 {
			out = append(out, Series{s.Labels, cut})
		}
	}
	return out
}

// Metric gives a recorded metric of an etcd member.
func (r *Recording) Metric(member, metric string, w Window) ([]Series, error) {
	found, known := r.Metrics[member+"/"+metric]
	if !known {
		return nil, fmt.Errorf("%s of etcd on %s was not recorded", metric, member)
	}
	return within(found, w), nil
}

// Versions gives the recorded versions of objects.
func (r *Recording) Versions(of causal.Entity, w Window) ([]Version, error) {
	var out []Version
	first := map[causal.Entity]int{} // where the version in force at the beginning is
	for _, v := range inOrder(r.Objects, func(v Version) time.Time { return v.At }) {
		if !of.Matches(v.Of) || v.At.After(w.To) {
			continue
		}
		if i, has := first[v.Of]; v.At.Before(w.From) {
			v.At = w.From
			if has {
				out[i] = v
				continue
			}
			first[v.Of] = len(out)
		}
		out = append(out, v)
	}
	return out, nil
}

// Events gives the recorded Events.
func (r *Recording) Events(w Window) ([]Event, error) {
	return pick(r.Happened, func(e Event) time.Time { return e.At }, w), nil
}

// Entries gives the recorded timeline.
func (r *Recording) Entries(w Window) ([]timeline.Entry, error) {
	return pick(r.Timeline, func(e timeline.Entry) time.Time { return e.Happened() }, w), nil
}

// Lines gives the recorded lines of logs.
func (r *Recording) Lines(stream string, w Window) ([]Line, error) {
	all := pick(r.Logs, func(l Line) time.Time { return l.At }, w)
	return slices.DeleteFunc(all, func(l Line) bool { return !streams(stream, l.Stream) }), nil
}

// Looks gives what was recorded of a prober.
func (r *Recording) Looks(subject string, w Window) ([]Look, error) {
	found, known := r.Probes[subject]
	if !known {
		return nil, fmt.Errorf("%s was not probed", subject)
	}
	return pick(found, func(l Look) time.Time { return l.At }, w), nil
}

func inOrder[T any](list []T, at func(T) time.Time) []T {
	order := func(a, b T) int { return at(a).Compare(at(b)) }
	if slices.IsSortedFunc(list, order) { // as it mostly is
		return list
	}
	return slices.SortedStableFunc(slices.Values(list), order)
}

// pick copies what lies in a window.
func pick[T any](list []T, at func(T) time.Time, w Window) []T {
	all := inOrder(list, at)
	from, _ := slices.BinarySearchFunc(all, w.From, func(v T, t time.Time) int { return cmp.Or(at(v).Compare(t), 1) })
	to := from
	for to < len(all) && !at(all[to]).After(w.To) {
		to++
	}
	return slices.Clone(all[from:to])
}

package evidence

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"zdl/internal/incident/causal"
)

// Predicate is something that an observation shows, or does not. Exactly one of
// its forms is set.
type Predicate struct {
	Query  *Query
	Metric *Metric
	Field  *Field
	Event  *EventLike
	Entry  *EntryLike
	Line   *LineLike
	Probe  *Probe
	// Certificate is that in a Secret.
	Certificate *Certificate

	All []Predicate
	Any []Predicate
}

// Bound is what a value must be. Exactly one of its fields is set.
type Bound struct {
	Above   *float64
	Below   *float64
	Equals  *string
	Differs *string // from this, also where there is no value
	Matches *regexp.Regexp
	Absent  bool
	Present bool
}

// Query is a PromQL query whose value keeps to a bound in any of its series, for
// so long without a break.
type Query struct {
	Text string
	Bound
	For time.Duration
}

// Metric is a metric of an etcd member.
type Metric struct {
	Member string
	Name   string
	Bound
	For time.Duration
}

// Field is a field of an object of Kubernetes, by JSON pointer (RFC 6901), in which
// type=Ready stands for the item of a list with that field; "" for the object itself.
type Field struct {
	Object  causal.Entity // or a pattern: any of them
	Pointer string
	Bound
}

// EventLike is so many Events of Kubernetes.
type EventLike struct {
	Reason string
	About  causal.Entity // or a pattern
	Text   *regexp.Regexp
	Count  int // 0 is 1
}

// EntryLike is so many entries of the timeline.
type EntryLike struct {
	Kind    string
	Subject *regexp.Regexp
	Text    *regexp.Regexp
	Count   int
}

// LineLike is so many lines of a log, or of a kernel's.
type LineLike struct {
	Of    string // a stream, or a pattern of streams
	Text  *regexp.Regexp
	Count int
}

// What a prober can tell.
const (
	ProbeFailed = "failed" // share of the requests that failed, 0 to 1
	ProbeP99    = "p99"    // in milliseconds
)

// Probe is what users of a subject get, second by second.
type Probe struct {
	Subject string
	Of      string // ProbeFailed or ProbeP99
	Bound
	For time.Duration
}

// Limits of predicates.
const (
	maxParts = 8
	maxDepth = 3
)

// Check says what is wrong with a predicate, or nil.
func (p *Predicate) Check() error { return p.check(maxDepth) }

func (p *Predicate) check(depth int) error {
	forms := 0
	for _, set := range []bool{p.Query != nil, p.Metric != nil, p.Field != nil, p.Event != nil, p.Entry != nil, p.Line != nil, p.Probe != nil, p.Certificate != nil, p.All != nil, p.Any != nil} {
		if set {
			forms++
		}
	}
	if forms != 1 {
		return fmt.Errorf("a predicate is exactly one of query, etcd, field, event, entry, log, probe, certificate, all, any")
	}
	switch {
	case p.Query != nil:
		if _, err := parseQuery(p.Query.Text); err != nil {
			return fmt.Errorf("query: %w", err)
		}
		return p.Query.checkNumber("query")
	case p.Metric != nil:
		if p.Metric.Member == "" || p.Metric.Name == "" {
			return fmt.Errorf("etcd: want member and metric")
		}
		return p.Metric.checkNumber("etcd")
	case p.Certificate != nil:
		return p.Certificate.check()
	case p.Field != nil:
		if p.Field.Object == "" || p.Field.Pointer != "" && p.Field.Pointer[0] != '/' {
			return fmt.Errorf("field: want object, and a field such as /spec/replicas")
		}
		return p.Field.check("field")
	case p.Event != nil && (p.Event.Reason == "" || p.Event.About == ""):
		return fmt.Errorf("event: want reason and about")
	case p.Entry != nil && p.Entry.Kind == "":
		return fmt.Errorf("entry: want kind; zdl timeline shows them")
	case p.Line != nil && (p.Line.Of == "" || p.Line.Text == nil):
		return fmt.Errorf("log: want of and line")
	case p.Probe != nil:
		if p.Probe.Subject == "" || p.Probe.Of != ProbeFailed && p.Probe.Of != ProbeP99 {
			return fmt.Errorf("probe: want subject, and of: failed or p99")
		}
		return p.Probe.checkNumber("probe")
	}
	parts := slices.Concat(p.All, p.Any)
	if (p.All != nil || p.Any != nil) && (len(parts) == 0 || len(parts) > maxParts || depth <= 1) {
		return fmt.Errorf("all and any hold 1 to %d predicates, at most %d deep", maxParts, maxDepth)
	}
	for i := range parts {
		if err := parts[i].check(depth - 1); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bound) check(of string) error {
	n := 0
	for _, set := range []bool{b.Above != nil, b.Below != nil, b.Equals != nil, b.Differs != nil, b.Matches != nil, b.Absent, b.Present} {
		if set {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%s: want exactly one of above, below, equals, differs, matches, absent, present", of)
	}
	return nil
}

// checkNumber wants a bound that a number can keep to.
func (b *Bound) checkNumber(of string) error {
	if (b.Above == nil) == (b.Below == nil) || b.Equals != nil || b.Differs != nil || b.Matches != nil || b.Absent || b.Present {
		return fmt.Errorf("%s: want either above or below", of)
	}
	return nil
}

// Leaves lists the predicates of which one is made, itself where it is simple.
func (p *Predicate) Leaves() []Predicate {
	parts := slices.Concat(p.All, p.Any)
	if len(parts) == 0 {
		return []Predicate{*p}
	}
	var out []Predicate
	for i := range parts {
		out = append(out, parts[i].Leaves()...)
	}
	return out
}

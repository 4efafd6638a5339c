package evidence

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"zdl/internal/incident/causal"
)

// Reference points at an observation of a run. Exactly one of its forms is set.
type Reference struct {
	// Query is PromQL that has a result while the thing is wrong and none before:
	// a comparison, such as rate(…[1m]) > 1.
	Query string `json:"query,omitempty"`
	// Object and Field point at a field of an object, by JSON pointer.
	Object string `json:"object,omitempty"`
	Field  string `json:"field,omitempty"`

	Event *EventRef  `json:"event,omitempty"`
	Entry *EntryRef  `json:"entry,omitempty"`
	Log   *LogRef    `json:"log,omitempty"`
	Etcd  *MetricRef `json:"etcd,omitempty"`
	Probe *ProbeRef  `json:"probe,omitempty"`
}

// EventRef points at Events of Kubernetes.
type EventRef struct {
	Reason   string `json:"reason"`
	About    string `json:"about"`
	Contains string `json:"contains,omitempty"`
}

// EntryRef points at an entry of the timeline, by its number or by what it says.
type EntryRef struct {
	Seq     int64  `json:"seq,omitempty"`
	Kind    string `json:"kind,omitempty"`
	Subject string `json:"subject,omitempty"`
}

// LogRef points at lines of a log.
type LogRef struct {
	Of       string `json:"of"` // see Line
	Contains string `json:"contains"`
}

// MetricRef points at a metric of an etcd member.
type MetricRef struct {
	Member string `json:"member"`
	Metric string `json:"metric"`
}

// ProbeRef points at what a prober saw.
type ProbeRef struct {
	Subject string `json:"subject"`
	Of      string `json:"of"` // failed or p99
}

// Limits of references.
const (
	maxText     = 500
	minContains = 4 // what is shorter is in every log
)

// Check says what is wrong with a reference, or nil.
func (r *Reference) Check() error {
	forms := 0
	for _, set := range []bool{r.Query != "", r.Object != "" || r.Field != "", r.Event != nil, r.Entry != nil, r.Log != nil, r.Etcd != nil, r.Probe != nil} {
		if set {
			forms++
		}
	}
	if forms != 1 {
		return fmt.Errorf("evidence is exactly one of query, object with field, event, entry, log, etcd, probe")
	}
	for _, text := range r.texts() {
		if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("a text of evidence has at most %d characters, of UTF-8 and without control characters", maxText)
		}
	}
	switch {
	case r.Query != "":
		if _, err := parseQuery(r.Query); err != nil {
			return fmt.Errorf("query: %w", err)
		}
	case r.Object != "" || r.Field != "":
		if _, err := causal.ParseEntity(r.Object); err != nil {
			return fmt.Errorf("object: %w", err)
		}
		if r.Field != "" && r.Field[0] != '/' {
			return fmt.Errorf("field %q: want a JSON pointer such as /spec/replicas", r.Field)
		}
	case r.Event != nil:
		if r.Event.Reason == "" {
			return fmt.Errorf("event: want reason and about; kubectl get events shows both")
		}
		if _, err := causal.ParseEntity(r.Event.About); err != nil {
			return fmt.Errorf("event: about: %w", err)
		}
	case r.Entry != nil && (r.Entry.Seq < 0 || (r.Entry.Seq == 0) == (r.Entry.Kind == "" && r.Entry.Subject == "")):
		return fmt.Errorf("entry: want either seq, or kind and subject; zdl timeline shows them")
	case r.Entry != nil && r.Entry.Seq == 0 && (r.Entry.Kind == "" || r.Entry.Subject == ""):
		return fmt.Errorf("entry: want both kind and subject; zdl timeline shows them")
	case r.Log != nil && r.Log.Of == "":
		return fmt.Errorf("log: want of: an entity, kernel/NODE, kubelet/NODE, containerd/NODE or audit")
	case r.Log != nil && utf8.RuneCountInString(strings.TrimSpace(r.Log.Contains)) < minContains:
		return fmt.Errorf("log: want contains, of at least %d characters", minContains)
	case r.Etcd != nil && (r.Etcd.Member == "" || r.Etcd.Metric == ""):
		return fmt.Errorf("etcd: want member and metric")
	case r.Probe != nil && (r.Probe.Subject == "" || r.Probe.Of != ProbeFailed && r.Probe.Of != ProbeP99):
		return fmt.Errorf("probe: want subject, and of: failed or p99")
	}
	return nil
}

func (r *Reference) texts() []string {
	out := []string{r.Object, r.Field}
	if e := r.Event; e != nil {
		out = append(out, e.Reason, e.About, e.Contains)
	}
	if e := r.Entry; e != nil {
		out = append(out, e.Kind, e.Subject)
	}
	if l := r.Log; l != nil {
		out = append(out, l.Of, l.Contains)
	}
	if m := r.Etcd; m != nil {
		out = append(out, m.Member, m.Metric)
	}
	if p := r.Probe; p != nil {
		out = append(out, p.Subject, p.Of)
	}
	return out
}

// String is the reference in words.
func (r *Reference) String() string {
	switch {
	case r.Query != "":
		return "the query " + r.Query
	case r.Object != "":
		return r.Object + " " + r.Field
	case r.Event != nil:
		return "the event " + r.Event.Reason + " of " + r.Event.About
	case r.Entry != nil && r.Entry.Seq != 0:
		return "entry " + strconv.FormatInt(r.Entry.Seq, 10) + " of the timeline"
	case r.Entry != nil:
		return "the entry " + r.Entry.Kind + " of " + r.Entry.Subject
	case r.Log != nil:
		return fmt.Sprintf("the log of %s, %q", r.Log.Of, r.Log.Contains)
	case r.Etcd != nil:
		return r.Etcd.Metric + " of etcd on " + r.Etcd.Member
	case r.Probe != nil:
		return "the probe of " + r.Probe.Subject
	}
	return "nothing"
}

// Reference makes one that points at what a simple predicate is about, as far as
// that can be said without a run; about names the thing where the predicate has a
// pattern, and contains a text of the line where it is about a log.
func (p *Predicate) Reference(about causal.Entity, contains string) Reference {
	named := func(e causal.Entity) string {
		if e.IsPattern() && e.Matches(about) {
			return string(about)
		}
		return string(e)
	}
	switch {
	case p.Query != nil && p.Query.Above != nil:
		return Reference{Query: fmt.Sprintf("(%s) > %g", p.Query.Text, *p.Query.Above)}
	case p.Query != nil:
		return Reference{Query: fmt.Sprintf("(%s) < %g", p.Query.Text, *p.Query.Below)}
	case p.Metric != nil:
		return Reference{Etcd: &MetricRef{p.Metric.Member, p.Metric.Name}}
	case p.Field != nil:
		return Reference{Object: named(p.Field.Object), Field: p.Field.Pointer}
	case p.Certificate != nil:
		return Reference{Object: string(p.Certificate.Secret), Field: certificateField}
	case p.Event != nil:
		return Reference{Event: &EventRef{Reason: p.Event.Reason, About: named(p.Event.About)}}
	case p.Entry != nil:
		return Reference{Entry: &EntryRef{Kind: p.Entry.Kind, Subject: contains}}
	case p.Line != nil:
		of := p.Line.Of
		if e, err := causal.ParsePattern(of); err == nil {
			of = named(e)
		}
		return Reference{Log: &LogRef{Of: of, Contains: contains}}
	case p.Probe != nil:
		return Reference{Probe: &ProbeRef{p.Probe.Subject, p.Probe.Of}}
	}
	return Reference{}
}

// Package evidence holds predicates over what can be observed of a lab, and
// references by which a diagnosis points at such observations. It decides and
// collects nothing: collectors implement Observations.
package evidence

import (
	"time"

	"zdl/internal/incident/causal"
	"zdl/internal/timeline"
)

// Window is a time from From to To, both included.
type Window struct{ From, To time.Time }

// Contains tells whether a moment is in the window.
func (w Window) Contains(t time.Time) bool { return !t.Before(w.From) && !t.After(w.To) }

// Observations is all that is known of a run. Each method gives what lies in a
// window, oldest first, and an error where that cannot be known. What a method
// returns is not changed afterwards.
type Observations interface {
	// Samples re-runs a PromQL query over the window. A moment at which the query
	// had no result has no sample.
	Samples(query string, w Window) ([]Series, error)
	// Metric is a metric of an etcd member, read from the member itself.
	Metric(member, metric string, w Window) ([]Series, error)
	// Versions lists how objects that a pattern stands for looked, beginning with
	// the version that was in force when the window began.
	Versions(of causal.Entity, w Window) ([]Version, error)
	// Events lists Kubernetes' Events.
	Events(w Window) ([]Event, error)
	// Entries lists the timeline.
	Entries(w Window) ([]timeline.Entry, error)
	// Lines lists the lines of the logs that a pattern of streams stands for.
	Lines(stream string, w Window) ([]Line, error)
	// Looks lists what a prober saw of a subject, summed up by the second.
	Looks(subject string, w Window) ([]Look, error)
}

// Series is a result of a query: one of its label sets.
type Series struct {
	Labels  map[string]string `json:"labels,omitempty"`
	Samples []Sample          `json:"samples"`
}

// Sample is a value at a moment.
type Sample struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// Version is an object of Kubernetes as it was from a moment on.
type Version struct {
	Of causal.Entity `json:"of"`
	At time.Time     `json:"at"`
	// Object is decoded JSON; nil: there is none, it was deleted or not made yet.
	Object any `json:"object"`
}

// Event is an Event of Kubernetes, each repetition by itself. Its time is exact to
// a second.
type Event struct {
	At     time.Time     `json:"at"`
	Reason string        `json:"reason"`
	About  causal.Entity `json:"about"`
	Text   string        `json:"text"`
}

// Line is a line of a log. Streams are entities whose log it is (a pod, etcd/cp-1,
// apiserver/cp-1), kernel/NODE, kubelet/NODE, containerd/NODE, and audit: the API
// servers' audit log.
type Line struct {
	At     time.Time `json:"at"`
	Stream string    `json:"stream"`
	Text   string    `json:"text"`
}

// Look is what a prober saw in one second.
type Look struct {
	At     time.Time `json:"at"`
	Sent   int       `json:"sent"`
	Failed int       `json:"failed"`
	// P99 in milliseconds, of the requests that were answered; 0: none was.
	P99 float64 `json:"p99Ms"`
}

// How exactly a source knows when something happened: its time is up to that much
// too late.
const (
	eventExact = time.Second // Kubernetes writes whole seconds
	lookExact  = time.Second
	// freshest is how old the latest sample may be for it to tell what is now.
	freshest = 30 * time.Second
	// recent is how long after it happened what has no end counts as going on.
	recent = 60 * time.Second
)

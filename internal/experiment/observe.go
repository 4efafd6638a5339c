package experiment

import (
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/load"
	"zdl/internal/probe"
	"zdl/internal/timeline"
)

// Observation is everything that one run saw. Verdicts are computed from it and
// from nothing else.
type Observation struct {
	Began time.Time `json:"began"`
	// Injected is when the first fault was injected or the first kubectl ran,
	// Healed when the last undo was over, Steady when everything steady held again
	// for the first time after the last time it did not, Ended when watching ended.
	// What did not happen is zero.
	Injected time.Time `json:"injected,omitzero"`
	Healed   time.Time `json:"healed,omitzero"`
	Steady   time.Time `json:"steady,omitzero"`
	Ended    time.Time `json:"ended"`

	Attacks []fault.Attack   `json:"attacks"`
	Kubectl []KubectlRun     `json:"kubectl"`
	Outages []probe.Outage   `json:"outages"` // that began after Began
	Entries []timeline.Entry `json:"entries"`
	// Sent and Failed count the probe's requests of the whole run; Missed those
	// slots that the prober itself could not use.
	Sent   int64 `json:"sent"`
	Failed int64 `json:"failed"`
	Missed int64 `json:"missed"`

	Load  *load.Result `json:"load,omitempty"`
	Views []View       `json:"views"` // of the cluster: before, at the worst moment, after
	// Void says why the run proves nothing; Aborted why it ended early.
	Void    string `json:"void,omitempty"`
	Aborted string `json:"aborted,omitempty"`
	// Left is what was not as before when everything was healed.
	Left []string `json:"left,omitempty"`
}

// View is the cluster at a moment.
type View struct {
	At       time.Time        `json:"at"`
	What     string           `json:"what"` // before, worst, after
	Snapshot cluster.Snapshot `json:"snapshot"`
}

// KubectlRun is a command of the method.
type KubectlRun struct {
	At     time.Time `json:"at"`
	Args   []string  `json:"args"`
	Output string    `json:"output"`
	Error  string    `json:"error,omitempty"`
}

// down sums up what outages say: the sure length and the longest possible.
func (o *Observation) down() (lower, upper time.Duration) {
	for i := range o.Outages {
		l, u := bounds(&o.Outages[i], o.Ended)
		lower, upper = lower+l, upper+u
	}
	return lower, upper
}

// longest is the same of the outage that was surely longest.
func (o *Observation) longest() (lower, upper time.Duration) {
	for i := range o.Outages {
		l, u := bounds(&o.Outages[i], o.Ended)
		lower, upper = max(lower, l), max(upper, u)
	}
	return lower, upper
}

// bounds of an outage; one that is still open lasts until the end of watching.
func bounds(out *probe.Outage, ended time.Time) (lower, upper time.Duration) {
	lower = milliseconds(out.LowerMS)
	upper = milliseconds(out.UpperMS)
	if out.Open {
		lower = max(lower, 0)
		upper = max(ended.Sub(out.Began), lower)
	}
	return lower, upper
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

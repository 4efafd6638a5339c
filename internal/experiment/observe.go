package experiment

import (
	"encoding/csv"
	"io"
	"strconv"
	"time"

	"zdl/internal/cause"
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

	// Load is what the file asks for, Watched the few requests that are made where
	// it asks for none: both keep every request as a sample.
	Load    *load.Result `json:"load,omitempty"`
	Watched *load.Result `json:"watched,omitempty"`
	// Probes are the measurements of further subjects, by subject.
	Probes map[string]probe.Report `json:"probes,omitempty"`
	Causes []cause.Breakdown       `json:"causes"` // of the service's outages
	Looks  []Look                  `json:"looks"`  // at probe and cluster, some a second
	Views  []View                  `json:"views"`  // of the cluster: before, at the worst moment, after
	// Void says why the run proves nothing; Aborted why it ended early.
	Void    string `json:"void,omitempty"`
	Aborted string `json:"aborted,omitempty"`
	// Left is what was not as before when everything was healed.
	Left []string `json:"left,omitempty"`
}

// Look is the state of probe and cluster at a moment.
type Look struct {
	At         time.Time `json:"at"`
	Up         bool      `json:"up"`
	Sent       int64     `json:"sent"` // by the probe, since the run began
	Failed     int64     `json:"failed"`
	P50MS      float64   `json:"p50Ms"` // of the probe's last ten seconds
	P99MS      float64   `json:"p99Ms"`
	NodesReady int       `json:"nodesReady"`
	PodsReady  int       `json:"podsReady"`
	Stale      bool      `json:"stale,omitempty"` // the API server did not answer
}

// Phase is what the probe saw in a part of the run.
type Phase struct {
	Name   string        `json:"name"` // before, during, after
	Length time.Duration `json:"length"`
	Sent   int64         `json:"sent"`
	Failed int64         `json:"failed"`
	Pods   int           `json:"pods"`  // fewest that were ready
	Nodes  int           `json:"nodes"` // likewise
}

// Phases parts the run at the first fault and at the last undo, to a fifth of a
// second. A run without a fault has only a before.
func (o *Observation) Phases() []Phase {
	ends := []time.Time{o.Ended, o.Ended, o.Ended}
	if !o.Injected.IsZero() {
		ends[0] = o.Injected
		if o.Healed.After(o.Injected) {
			ends[1] = o.Healed
		}
	}
	var out []Phase
	from, k := Look{At: o.Began}, 0
	for i, name := range []string{"before", "during", "after"} {
		p := Phase{Name: name, Length: ends[i].Sub(from.At), Pods: -1, Nodes: -1}
		last := from
		for ; k < len(o.Looks) && !o.Looks[k].At.After(ends[i]); k++ {
			last = o.Looks[k]
			if !last.Stale {
				p.Pods, p.Nodes = fewest(p.Pods, last.PodsReady), fewest(p.Nodes, last.NodesReady)
			}
		}
		p.Sent, p.Failed = last.Sent-from.Sent, last.Failed-from.Failed
		if p.Length > 0 {
			out = append(out, p)
		}
		from = Look{At: ends[i], Sent: last.Sent, Failed: last.Failed}
	}
	return out
}

func fewest(a, b int) int {
	if a < 0 {
		return b
	}
	return min(a, b)
}

// Sampled is the load of which every request was kept, or nil.
func (o *Observation) Sampled() *load.Result {
	if o.Load != nil {
		return o.Load
	}
	return o.Watched
}

// outages are those of a subject; known is false when it was not measured.
func (o *Observation) outages(of string) (list []probe.Outage, known bool) {
	if of == "" {
		return o.Outages, true
	}
	r, known := o.Probes[of]
	for _, out := range r.Outages {
		if !out.Partial && !out.Began.Before(o.Injected) {
			list = append(list, out)
		}
	}
	return list, known
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
	Setup  bool      `json:"setup,omitempty"` // or its undo: not part of the method
	Output string    `json:"output"`
	Error  string    `json:"error,omitempty"`
}

// down sums up what outages say: the sure length and the longest possible.
func (o *Observation) down(list []probe.Outage) (lower, upper time.Duration) {
	for i := range list {
		l, u := bounds(&list[i], o.Ended)
		lower, upper = lower+l, upper+u
	}
	return lower, upper
}

// longest is the same of the outage that was surely longest.
func (o *Observation) longest(list []probe.Outage) (lower, upper time.Duration) {
	for i := range list {
		l, u := bounds(&list[i], o.Ended)
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

// WriteLooks writes one row per look at probe and cluster. Times are in milliseconds
// since the run began.
func (o *Observation) WriteLooks(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"ms", "up", "sent", "failed", "p50_ms", "p99_ms", "pods_ready", "nodes_ready", "view_stale"}) // Error tells at the end
	for _, l := range o.Looks {
		_ = out.Write([]string{
			strconv.FormatInt(l.At.Sub(o.Began).Milliseconds(), 10), strconv.FormatBool(l.Up), strconv.FormatInt(l.Sent, 10), strconv.FormatInt(l.Failed, 10),
			strconv.FormatFloat(l.P50MS, 'f', 3, 64), strconv.FormatFloat(l.P99MS, 'f', 3, 64), strconv.Itoa(l.PodsReady), strconv.Itoa(l.NodesReady), strconv.FormatBool(l.Stale),
		})
	}
	out.Flush()
	return out.Error()
}

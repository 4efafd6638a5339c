package probe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Watched is one thing on the way of a request that was asked on its own, for
// example one load balancer, and what became of it. All times are of one clock.
type Watched struct {
	Layer   string // "pod", "ingress", …
	Depth   int    // of the layer: 0 is what answers in the end, larger is nearer to the user
	Name    string
	Machine string // that it stands on; "" if that can change
	Outages []Outage
}

// Attribution says in which layer an outage of the whole service begins.
type Attribution struct {
	Outage int    `json:"outage"` // its ID
	Layer  string `json:"layer"`  // "" if nothing beneath the users' own entrance failed
	// Machine on which everything stands that failed first, if it is one.
	Machine string       `json:"machine,omitempty"`
	Text    string       `json:"text"`
	Layers  []LayerState `json:"layers"` // innermost first; only those that failed at the time
}

// LayerState is how a layer did during an outage.
type LayerState struct {
	Layer  string   `json:"layer"`
	Failed []string `json:"failed"` // names
	Of     int      `json:"of"`
	// BeganMS is when the first of them began to fail, relative to the first
	// failed request of the service: the start of its own first failed request.
	BeganMS float64 `json:"beganMs"`
	// Already: all of them had been failing for long.
	Already bool `json:"already,omitempty"`
	// Followed: it surely began only after the service had failed.
	Followed bool `json:"followed,omitempty"`
}

// longBefore is how long before an outage of the service a part may have begun to
// fail so that it counts as where the outage began, in ms. What takes a failed
// part out of service, from health checks to node leases, is mostly quicker.
const longBefore = 60_000

// Attribute says where an outage of the service begins: in the innermost layer of
// which something failed during it, began no later, and had not been failing for
// long. It is pure arithmetic on what was measured, and the reader is told all of
// it: what failed at the same time need not be the cause.
func Attribute(service Outage, watched []Watched) Attribution {
	a := Attribution{Outage: service.ID, Layers: []LayerState{}}
	layers := map[int]*LayerState{}
	machines := map[int]map[string]bool{}
	var depths []int
	for _, w := range watched {
		l := layers[w.Depth]
		if l == nil {
			l = &LayerState{Layer: w.Layer, Failed: []string{}, Already: true, Followed: true}
			layers[w.Depth], machines[w.Depth] = l, map[string]bool{}
			depths = append(depths, w.Depth)
		}
		l.Of++
		o := during(w.Outages, service)
		if o == nil {
			continue
		}
		if began := o.First - service.First; len(l.Failed) == 0 || began < l.BeganMS {
			l.BeganMS = thousandth(began)
		}
		l.Failed = append(l.Failed, w.Name)
		already, followed := o.First < service.First-longBefore, o.Before > service.First+firstLength(service)
		l.Already, l.Followed = l.Already && already, l.Followed && followed
		if !already && !followed {
			machines[w.Depth][w.Machine] = true
		}
	}
	slices.SortFunc(depths, cmp.Compare[int])
	on := map[string]bool{}
	origin := -1
	for _, d := range depths {
		l := layers[d]
		if len(l.Failed) == 0 {
			continue
		}
		a.Layers = append(a.Layers, *l)
		if l.Already || l.Followed {
			continue
		}
		if origin < 0 {
			origin, a.Layer = d, l.Layer
		}
		for m := range machines[d] {
			on[m] = true
		}
	}
	if len(on) == 1 {
		for m := range on {
			a.Machine = m
		}
	}
	a.Text = a.sentence()
	return a
}

// during gives the earliest of the outages that goes on at some time of the
// service's own.
func during(outages []Outage, service Outage) *Outage {
	for i := range outages {
		o := &outages[i]
		if (o.Open || o.After >= service.Before) && (service.Open || o.Before <= service.After) {
			return o
		}
	}
	return nil
}

// firstLength is how long after the start of its first failed request the service
// may still have been up, at most.
func firstLength(o Outage) float64 { return max(0, o.sure-o.First) }

func (a *Attribution) sentence() string {
	if a.Layer == "" {
		return "Nothing behind the users' address failed by itself: the outage lies in the address, the way to it, or what joins the layers."
	}
	var parts []string
	for _, l := range a.Layers {
		if l.Already || l.Followed {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %d of %d (%s) at %+.0f ms", l.Layer, len(l.Failed), l.Of, strings.Join(l.Failed, ", "), l.BeganMS))
	}
	text := "It begins in the layer " + a.Layer
	if a.Machine != "" {
		text += ", on " + a.Machine
	}
	return text + ": " + strings.Join(parts, "; ") + "."
}

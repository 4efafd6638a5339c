package cause

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/timeline"
)

// chain finds what brought the service back and, from there backwards, what that
// had waited for. Steps come in the order of time.
func (s *story) chain(f *moment, from float64) (steps []step, ended string) {
	m := s.enabler(f, from)
	if m == nil {
		return nil, "Nothing that was observed: the next requests took another way, or what was broken came back by itself."
	}
	switch e := m.entry; e.Kind {
	case kind(cluster.AddressMoved):
		steps = []step{{at: m.at, what: fmt.Sprintf("detected by VRRP: %s took the %s", e.Fields["node"], e.Subject), owners: []Knob{VRRP}, entry: e}}
		ended = e.Text + "."
	case kind(cluster.BackendDown):
		steps, ended = s.backendDown(m, from), e.Text+"."
	case kind(cluster.BackendUp):
		steps = []step{{at: m.at, what: fmt.Sprintf("HAProxy's check found %s answering again", e.Subject), owners: []Knob{BackendRise}, entry: e}}
		ended = e.Text + "."
	case kind(cluster.LeaderMoved):
		steps, ended = s.election(m, from), e.Text+"."
	case kind(cluster.IngressProgrammed):
		steps, ended = s.ingress(m, from)
	default:
		steps = []step{{at: m.at, what: "the fault was taken back", owners: []Knob{Duration}, entry: e}}
		ended = "The fault was taken back: nothing else had brought the service back before."
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return steps, ended
}

// enabler is the latest change on the users' path before the first success that
// can have brought the service back.
func (s *story) enabler(f *moment, from float64) *moment {
	vip, backend := "users", "ingress"
	api := strings.HasPrefix(s.o.Subject, "api")
	if api {
		vip, backend = "api", "apiservers"
	} else if s.o.Subject != "service" {
		vip, backend = "", ""
	}
	attack := ""
	if f != nil {
		attack = f.entry.Fields["attack"]
	}
	// What happened before the first failure did not end it.
	m := s.last(max(from, s.o.First), s.o.After, func(e *timeline.Entry) bool {
		switch e.Kind {
		case kind(cluster.AddressMoved):
			return e.Fields["name"] == vip || e.Fields["name"] == "gateways"
		case kind(cluster.BackendDown), kind(cluster.BackendUp):
			return e.Fields["backend"] == backend && e.Fields["standby"] == ""
		case kind(cluster.IngressProgrammed):
			return !api && backend != "" && e.Fields["endpoints"] != ""
		case kind(cluster.LeaderMoved):
			return api && e.Subject == "etcd"
		case fault.EntryUndone:
			return attack != "" && e.Fields["attack"] == attack
		}
		return false
	})
	if m == nil || m.entry.Kind != kind(cluster.IngressProgrammed) {
		return m
	}
	// Several ingresses learn the same; the first of them could serve.
	return s.first(max(from, s.o.First), m.at, is(cluster.IngressProgrammed, "endpoints", m.entry.Fields["endpoints"]))
}

func (s *story) backendDown(m *moment, from float64) []step {
	e := m.entry
	out := []step{{at: m.at, what: fmt.Sprintf("HAProxy took %s out", e.Subject), owners: []Knob{BackendFall}, entry: e}}
	check := s.first(from, m.at, func(c *timeline.Entry) bool {
		return c.Kind == kind(cluster.CheckFailed) && c.Subject == e.Subject && c.Fields["node"] == e.Fields["node"]
	})
	if check == nil {
		out[0].what = fmt.Sprintf("detected by HAProxy's health check: %s taken out", e.Subject)
		return out
	}
	return append(out, step{at: check.at, what: "detected by HAProxy's health check: the first one failed", owners: []Knob{BackendFall}, entry: check.entry})
}

func (s *story) election(m *moment, from float64) []step {
	out := []step{{at: m.at, what: "etcd elected a leader", owners: []Knob{EtcdElection}, entry: m.entry}}
	if lost := s.first(from, m.at, is(cluster.LeaderLost)); lost != nil {
		out = append(out, step{at: lost.at, what: "detected by etcd: the leader is missed", owners: []Knob{EtcdElection}, entry: lost.entry})
	} else if began := s.first(from, m.at, is(cluster.ElectionBegan)); began != nil {
		out = append(out, step{at: began.at, what: "detected by etcd: an election began", owners: []Knob{EtcdElection}, entry: began.entry})
	} else {
		out[0].unseen = "when etcd missed its leader"
	}
	return out
}

// ingress is about routes that changed: they lead to a new endpoint, or no longer
// to one that is gone.
func (s *story) ingress(m *moment, from float64) ([]step, string) {
	now := strings.Fields(m.entry.Fields["endpoints"])
	var before []string
	if p := s.last(from-reach, m.at, func(e *timeline.Entry) bool {
		return e != m.entry && e.Kind == m.entry.Kind && e.Fields["node"] == m.entry.Fields["node"]
	}); p != nil {
		before = strings.Fields(p.entry.Fields["endpoints"])
	}
	added, dropped := without(now, before), without(before, now)
	programmed := step{at: m.at, what: "the " + m.entry.Subject + " was programmed", owners: []Knob{IngressPoll}, entry: m.entry}
	if len(added) > 0 {
		steps := s.arrival(m, from, added)
		if len(steps) == 0 {
			programmed.unseen = "when the endpoint was added"
		}
		return append(append(steps, programmed), s.departure(m.at, from)...),
			fmt.Sprintf("The %s learned of a new endpoint: %s.", m.entry.Subject, strings.Join(added, ", "))
	}
	steps := s.departure(m.at, from)
	if len(steps) == 0 {
		programmed.unseen = "when the endpoint was removed"
	}
	what := "no longer sends to " + strings.Join(dropped, ", ")
	if len(dropped) == 0 {
		what = "has other endpoints"
	}
	return append(steps, programmed), fmt.Sprintf("The %s %s.", m.entry.Subject, what)
}

// without lists what of a is not in b.
func without(a, b []string) []string {
	var out []string
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

// departure is how an endpoint was lost: detected, then removed.
func (s *story) departure(until, from float64) []step {
	gone := s.first(from, until, func(e *timeline.Entry) bool {
		return e.Kind == kind(cluster.EndpointNotReady) || e.Kind == kind(cluster.EndpointRemoved)
	})
	if gone == nil {
		return nil
	}
	removed := step{at: gone.at, what: "the endpoint was removed: " + gone.entry.Fields["pod"], owners: []Knob{SliceBatch}, entry: gone.entry}
	namespace, _, _ := strings.Cut(gone.entry.Subject, "/")
	pod, node := namespace+"/"+gone.entry.Fields["pod"], gone.entry.Fields["node"]
	d := s.detection(pod, node, gone.at, from)
	if d == nil {
		removed.unseen = "by what it was detected"
		return []step{removed}
	}
	return []step{*d, removed}
}

// detection is the first sign by which Kubernetes knew that a pod does not serve.
// The watches of pods, nodes and endpoints are not in step with each other, so
// the sign may arrive a moment after its consequence; it is then dated with it.
func (s *story) detection(pod, node string, until, from float64) *step {
	const skew = 500.0
	for _, sign := range []struct {
		fits   func(*timeline.Entry) bool
		what   string
		owners []Knob
	}{
		{is(cluster.NodeNotReady, "node", node), "detected by the node lifecycle controller: node " + node + " was silent for too long", []Knob{NodeGrace, NodeLease}},
		{func(e *timeline.Entry) bool {
			return e.Kind == kind(cluster.Event) && e.Subject == pod && e.Fields["reason"] == "Unhealthy" && strings.Contains(e.Text, "Readiness")
		}, "detected by the readiness probe of " + pod, []Knob{Readiness}},
		{about(cluster.PodDeleting, pod), "the pod was told to stop: " + pod, []Knob{Termination}},
		{about(cluster.PodRestarted, pod), "the kubelet saw the container of " + pod + " end", []Knob{RestartDelays}},
		{about(cluster.PodGone, pod), "the pod was deleted: " + pod, nil},
		{about(cluster.PodNotReady, pod), "Kubernetes saw that " + pod + " is not ready", []Knob{Readiness}},
	} {
		if m := s.first(from, min(until+skew, s.o.After), sign.fits); m != nil {
			return &step{at: min(m.at, until), what: sign.what, owners: sign.owners, entry: m.entry}
		}
	}
	return nil
}

// arrival is how a new endpoint came to be, as far as it was seen.
func (s *story) arrival(m *moment, from float64, added []string) []step {
	var endpoint *moment
	for _, address := range added {
		e := s.last(from, m.at+50, func(e *timeline.Entry) bool {
			return (e.Kind == kind(cluster.EndpointAdded) || e.Kind == kind(cluster.EndpointReady)) && e.Fields["address"] == address
		})
		if e != nil && (endpoint == nil || e.at < endpoint.at) {
			endpoint = e
		}
	}
	if endpoint == nil {
		return nil
	}
	at := min(endpoint.at, m.at)
	out := []step{{at: at, what: "the endpoint was added: " + endpoint.entry.Fields["pod"], owners: []Knob{SliceBatch}, entry: endpoint.entry}}
	namespace, _, _ := strings.Cut(endpoint.entry.Subject, "/")
	pod := namespace + "/" + endpoint.entry.Fields["pod"]
	for _, w := range []struct {
		k      cluster.ChangeKind
		what   string
		owners []Knob
	}{
		{cluster.PodReady, "the readiness probe succeeded: ", []Knob{Readied}},
		{cluster.PodRunning, "the container was started: ", nil},
		{cluster.PodScheduled, "the scheduler chose a node: ", nil},
		{cluster.PodCreated, "the ReplicaSet made a new pod: ", nil},
	} {
		// Watches are not in step: readiness may be seen just after the endpoint.
		if e := s.first(from, at+500, about(w.k, pod)); e != nil {
			at = min(at, e.at)
			out = append(out, step{at: at, what: w.what + pod, owners: w.owners, entry: e.entry})
		}
	}
	slices.Reverse(out) // causes first, also among steps of the same time
	return out
}

package cluster

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

// ChangeKind says what differs between two snapshots.
type ChangeKind string

const (
	PodCreated   ChangeKind = "pod-created"
	PodReady     ChangeKind = "pod-ready"
	PodNotReady  ChangeKind = "pod-not-ready"
	PodRestarted ChangeKind = "pod-restarted"
	PodDeleting  ChangeKind = "pod-deleting"
	PodGone      ChangeKind = "pod-gone"
	NodeJoined   ChangeKind = "node-joined"
	NodeReady    ChangeKind = "node-ready"
	NodeNotReady ChangeKind = "node-not-ready"
	NodePower    ChangeKind = "node-power"
	NodeGone     ChangeKind = "node-gone"
	LeaderMoved  ChangeKind = "leader-changed"
	ViewStale    ChangeKind = "view-stale"
	ViewCurrent  ChangeKind = "view-current"

	PodScheduled ChangeKind = "pod-scheduled" // it has a node
	PodRunning   ChangeKind = "pod-running"   // its containers have started

	NodeCordoned   ChangeKind = "node-cordoned"
	NodeUncordoned ChangeKind = "node-uncordoned"
	NodeTainted    ChangeKind = "node-tainted"
	NodeUntainted  ChangeKind = "node-untainted"

	EndpointAdded    ChangeKind = "endpoint-added"     // to the target's Service
	EndpointReady    ChangeKind = "endpoint-ready"     // traffic may go to it again
	EndpointNotReady ChangeKind = "endpoint-not-ready" // traffic should no longer go to it
	EndpointRemoved  ChangeKind = "endpoint-removed"

	MachinePower ChangeKind = "machine-power" // of a load balancer or router
)

// Changes that no pair of snapshots shows: observers tell them as they happen.
const (
	Event            ChangeKind = "event" // a Kubernetes Event
	NodeLeaseExpired ChangeKind = "node-lease-expired"
	NodeLeaseRenewed ChangeKind = "node-lease-renewed" // after it had expired
	AutoscalerMoved  ChangeKind = "autoscaler-changed" // a HorizontalPodAutoscaler
	BudgetMoved      ChangeKind = "budget-changed"     // a PodDisruptionBudget

	AddressMoved      ChangeKind = "address-moved" // a virtual IP has a new holder
	AddressLost       ChangeKind = "address-lost"  // its holder gave it up
	ProxyProgrammed   ChangeKind = "proxy-programmed"
	IngressProgrammed ChangeKind = "ingress-programmed"
	CheckFailed       ChangeKind = "check-failed" // a load balancer's health check, not yet enough of them
	BackendDown       ChangeKind = "backend-down"
	BackendUp         ChangeKind = "backend-up"
	ElectionBegan     ChangeKind = "election-began" // of etcd
	LeaderLost        ChangeKind = "leader-lost"    // of etcd
)

// Change is one difference between two snapshots, in plain words.
type Change struct {
	Kind    ChangeKind
	Subject string // namespace/name of a pod, name of a node or a component
	Text    string
	Node    string // the node concerned, or ""
	Target  bool   // whether it is a pod of the target
	// Detail marks what matters to somebody who looks for causes and is too
	// fine for somebody who only watches.
	Detail bool
	// At is when it happened, where that is known more closely than by when it
	// was seen; else zero.
	At time.Time
	// ObjectTime is what the Kubernetes object itself says about when, mostly in
	// whole seconds; zero without.
	ObjectTime time.Time
	Fields     map[string]string // further facts for programs, or nil
}

// Diff lists what changed from a to b: view, nodes, other machines, leaders, the
// target's pods and endpoints, pods of the system, each group by name. Pods of the system count only when they become ready, lose
// readiness or restart, since their comings and goings follow from those.
// A first, unsynced snapshot a gives no changes: nothing happened, it was found.
func Diff(a, b *Snapshot) []Change {
	if !a.Synced || !b.Synced {
		return nil
	}
	var out []Change
	switch {
	case b.Stale && !a.Stale:
		out = append(out, Change{Kind: ViewStale, Subject: "api-server", Text: "The API server does not answer: this view of the cluster is getting old" + because(b.Trouble)})
	case a.Stale && !b.Stale:
		out = append(out, Change{Kind: ViewCurrent, Subject: "api-server", Text: "The API server answers again: this view of the cluster is current"})
	}
	out = append(out, diffNodes(a.Nodes(), b.Nodes())...)
	out = append(out, diffMachines(a.Machines, b.Machines)...)
	out = append(out, diffLeaders(a.Leaders, b.Leaders)...)
	out = append(out, diffPods(a.TargetPods(), b.TargetPods(), true, b.PodsSeen)...)
	out = append(out, diffEndpoints(a, b)...)
	return append(out, diffPods(a.System, b.System, false, b.PodsSeen)...)
}

func because(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func diffNodes(a, b []Node) []Change {
	old := map[string]Node{}
	for _, n := range a {
		old[n.Name] = n
	}
	var out []Change
	for _, n := range b {
		o, known := old[n.Name]
		delete(old, n.Name)
		add := func(k ChangeKind, text string) {
			c := Change{Kind: k, Subject: n.Name, Node: n.Name, Text: text, At: n.Seen}
			switch k {
			case NodeReady, NodeNotReady:
				c.ObjectTime = n.ReadySince
			case NodePower:
				c.At = time.Time{} // that is not the object's
			}
			out = append(out, c)
		}
		if !known {
			add(NodeJoined, fmt.Sprintf("Node %s joined the cluster", n.Name))
		}
		if o.Power != n.Power && known && n.Power != PowerUnknown {
			add(NodePower, fmt.Sprintf("Node %s: power %s", n.Name, n.Power))
		}
		if n.Ready && !o.Ready {
			add(NodeReady, fmt.Sprintf("Node %s is Ready", n.Name))
		}
		if known && o.Ready && !n.Ready {
			add(NodeNotReady, fmt.Sprintf("Kubernetes noticed that node %s is not Ready%s", n.Name, because(n.Reason)))
		}
		if known && n.Unschedulable && !o.Unschedulable {
			add(NodeCordoned, fmt.Sprintf("Node %s was cordoned: no new pods", n.Name))
		}
		if known && !n.Unschedulable && o.Unschedulable {
			add(NodeUncordoned, fmt.Sprintf("Node %s takes new pods again", n.Name))
		}
		if known {
			for _, t := range missing(n.Taints, o.Taints) {
				add(NodeTainted, fmt.Sprintf("Node %s was tainted %s", n.Name, t))
			}
			for _, t := range missing(o.Taints, n.Taints) {
				add(NodeUntainted, fmt.Sprintf("Node %s lost its taint %s", n.Name, t))
			}
		}
	}
	for name := range old {
		out = append(out, Change{Kind: NodeGone, Subject: name, Node: name, Text: fmt.Sprintf("Node %s left the cluster", name)})
	}
	return bySubject(out)
}

// missing lists what is in a and not in b.
func missing(a, b []string) []string {
	in := map[string]bool{}
	for _, s := range b {
		in[s] = true
	}
	var out []string
	for _, s := range a {
		if !in[s] {
			out = append(out, s)
		}
	}
	return out
}

func diffMachines(a, b []Machine) []Change {
	old := map[string]Power{}
	for _, m := range a {
		old[m.Name] = m.Power
	}
	var out []Change
	for _, m := range b {
		if before, known := old[m.Name]; known && before != m.Power && m.Power != PowerUnknown {
			out = append(out, Change{Kind: MachinePower, Subject: m.Name, Node: m.Name, Text: fmt.Sprintf("%s: power %s", m.Name, m.Power)})
		}
	}
	return bySubject(out)
}

func diffLeaders(a, b []Leader) []Change {
	old := map[string]Leader{}
	for _, l := range a {
		old[l.Component] = l
	}
	var out []Change
	for _, l := range b {
		if l.Component == Etcd {
			continue // its own logs tell that, and when
		}
		o, known := old[l.Component]
		if known && o.Holder == l.Holder || l.Holder == "" {
			continue
		}
		text := fmt.Sprintf("%s is now led from %s", l.Component, l.Holder)
		if known && o.Holder != "" {
			text += fmt.Sprintf(", before from %s", o.Holder)
		}
		out = append(out, Change{Kind: LeaderMoved, Subject: l.Component, Node: l.Holder, Text: text, ObjectTime: l.Since})
	}
	return bySubject(out)
}

// diffPods compares pods; seen is when their last change was heard of.
func diffPods(a, b []Pod, target bool, seen time.Time) []Change {
	old := map[string]Pod{}
	for _, p := range a {
		old[p.UID] = p
	}
	var out []Change
	for _, p := range b {
		o, known := old[p.UID]
		delete(old, p.UID)
		add := func(k ChangeKind, text string) {
			c := Change{Kind: k, Subject: p.Namespace + "/" + p.Name, Node: p.Node, Target: target, Text: text, At: p.Seen}
			switch k {
			case PodCreated:
				c.ObjectTime = p.Created
			case PodReady, PodNotReady:
				c.ObjectTime = p.ReadySince
			case PodDeleting:
				c.ObjectTime = p.Deleting
			case PodScheduled, PodRunning:
				c.Detail = true
			}
			out = append(out, c)
		}
		if !known && target {
			add(PodCreated, fmt.Sprintf("Pod %s was created", p.Name))
		}
		if target && p.Node != "" && o.Node == "" && p.Phase == "Pending" {
			add(PodScheduled, fmt.Sprintf("Pod %s was given the node %s", p.Name, p.Node))
		}
		if target && known && p.Phase == "Running" && o.Phase == "Pending" {
			add(PodRunning, fmt.Sprintf("Pod %s: its containers have started", p.Name))
		}
		if p.Ready && !o.Ready {
			where := ""
			if p.Node != "" {
				where = " on " + p.Node
			}
			add(PodReady, fmt.Sprintf("Pod %s is ready%s", p.Name, where))
		}
		if known && o.Ready && !p.Ready && p.Deleting.IsZero() {
			add(PodNotReady, fmt.Sprintf("Pod %s is no longer ready%s", p.Name, because(p.Reason)))
		}
		if known && p.Restarts > o.Restarts {
			add(PodRestarted, fmt.Sprintf("Pod %s: its container restarted (%d times so far)%s", p.Name, p.Restarts, because(p.Reason)))
		}
		if target && known && o.Deleting.IsZero() && !p.Deleting.IsZero() {
			add(PodDeleting, fmt.Sprintf("Pod %s was told to stop", p.Name))
		}
	}
	if target {
		for _, p := range old {
			out = append(out, Change{Kind: PodGone, Subject: p.Namespace + "/" + p.Name, Node: p.Node, Target: true, At: seen,
				Text: fmt.Sprintf("Pod %s is gone", p.Name)})
		}
	}
	return bySubject(out)
}

// diffEndpoints compares the backends of the target's Service. Equal addresses
// of different pods are different endpoints.
func diffEndpoints(a, b *Snapshot) []Change {
	key := func(e *Endpoint) string { return e.Pod + " " + e.Address }
	old := map[string]Endpoint{}
	for _, e := range a.Endpoints {
		old[key(&e)] = e
	}
	var out []Change
	add := func(k ChangeKind, e *Endpoint, text string) {
		out = append(out, Change{Kind: k, Subject: b.Target.Namespace + "/" + b.Target.Service, Target: true, Detail: true, At: b.EndpointsSeen,
			Node: e.Node, Text: text, Fields: map[string]string{"pod": e.Pod, "address": e.Address}})
	}
	for _, e := range b.Endpoints {
		o, known := old[key(&e)]
		delete(old, key(&e))
		switch {
		case !known && e.Ready:
			add(EndpointAdded, &e, fmt.Sprintf("Endpoint %s (%s) was added: traffic may go to it", e.Address, e.Pod))
		case known && e.Ready && !o.Ready:
			add(EndpointReady, &e, fmt.Sprintf("Endpoint %s (%s) is ready: traffic may go to it", e.Address, e.Pod))
		case known && !e.Ready && o.Ready:
			why := "is not ready"
			if e.Terminating {
				why = "is ending"
			}
			add(EndpointNotReady, &e, fmt.Sprintf("Endpoint %s (%s) %s: traffic should no longer go to it", e.Address, e.Pod, why))
		}
	}
	for _, e := range old {
		add(EndpointRemoved, &e, fmt.Sprintf("Endpoint %s (%s) was removed", e.Address, e.Pod))
	}
	sort.SliceStable(out, func(i, j int) bool { return strings.Compare(out[i].Text, out[j].Text) < 0 })
	return out
}

// bySubject orders changes so that equal inputs give equal lists; changes of
// one subject keep their order.
func bySubject(c []Change) []Change {
	sort.SliceStable(c, func(i, j int) bool { return c[i].Subject < c[j].Subject })
	return c
}

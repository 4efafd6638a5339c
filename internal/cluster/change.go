package cluster

import (
	"fmt"
	"sort"
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
)

// Change is one difference between two snapshots, in plain words.
type Change struct {
	Kind    ChangeKind
	Subject string // namespace/name of a pod, name of a node or a component
	Text    string
	Node    string // the node concerned, or ""
	Target  bool   // whether it is a pod of the target
}

// Diff lists what changed from a to b: view, nodes, leaders, then pods, each
// group by name. Pods of the system count only when they become ready, lose
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
	out = append(out, diffLeaders(a.Leaders, b.Leaders)...)
	out = append(out, diffPods(a.TargetPods(), b.TargetPods(), true)...)
	return append(out, diffPods(a.System, b.System, false)...)
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
			out = append(out, Change{Kind: k, Subject: n.Name, Node: n.Name, Text: text})
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
	}
	for name := range old {
		out = append(out, Change{Kind: NodeGone, Subject: name, Node: name, Text: fmt.Sprintf("Node %s left the cluster", name)})
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
		o, known := old[l.Component]
		if known && o.Holder == l.Holder || l.Holder == "" {
			continue
		}
		text := fmt.Sprintf("%s is now led from %s", l.Component, l.Holder)
		if known && o.Holder != "" {
			text += fmt.Sprintf(", before from %s", o.Holder)
		}
		out = append(out, Change{Kind: LeaderMoved, Subject: l.Component, Node: l.Holder, Text: text})
	}
	return bySubject(out)
}

func diffPods(a, b []Pod, target bool) []Change {
	old := map[string]Pod{}
	for _, p := range a {
		old[p.UID] = p
	}
	var out []Change
	for _, p := range b {
		o, known := old[p.UID]
		delete(old, p.UID)
		add := func(k ChangeKind, text string) {
			out = append(out, Change{Kind: k, Subject: p.Namespace + "/" + p.Name, Node: p.Node, Target: target, Text: text})
		}
		if !known && target {
			add(PodCreated, fmt.Sprintf("Pod %s was created", p.Name))
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
			out = append(out, Change{Kind: PodGone, Subject: p.Namespace + "/" + p.Name, Node: p.Node, Target: true,
				Text: fmt.Sprintf("Pod %s is gone", p.Name)})
		}
	}
	return bySubject(out)
}

// bySubject orders changes so that equal inputs give equal lists; changes of
// one subject keep their order.
func bySubject(c []Change) []Change {
	sort.SliceStable(c, func(i, j int) bool { return c[i].Subject < c[j].Subject })
	return c
}

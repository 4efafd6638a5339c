package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// base is a small cluster: one zone, one node, one pod of the target, one of the system.
func base() Snapshot {
	return Snapshot{
		Synced: true,
		Zones: []Zone{{Name: "a", Nodes: []Node{{Name: "n1", Ready: true, Power: PowerOn,
			Pods: []Pod{{Namespace: "web", Name: "web-1", UID: "1", Node: "n1", Ready: true, Phase: "Running"}}}}}},
		System:    []Pod{{Namespace: "kube-system", Name: "dns", UID: "2", Node: "n1", Ready: true}},
		Leaders:   []Leader{{Component: "kube-scheduler", Holder: "n1"}},
		Endpoints: []Endpoint{{Address: "198.19.1.2", Pod: "web-1", Ready: true, Serving: true}},
		Machines:  []Machine{{Name: "lb-1", Power: PowerOn}},
		Target:    Target{Namespace: "web", Service: "web"},
	}
}

func TestDiff(t *testing.T) {
	node := func(s *Snapshot) *Node { return &s.Zones[0].Nodes[0] }
	for _, c := range []struct {
		name   string
		change func(*Snapshot)
		want   string
	}{
		{"nothing", func(*Snapshot) {}, ""},
		{"a new pod that waits for a node", func(s *Snapshot) { s.Pending = []Pod{{Namespace: "web", Name: "web-2", UID: "3"}} }, "pod-created web/web-2"},
		{"pod deleted", func(s *Snapshot) { node(s).Pods = nil }, "pod-gone web/web-1"},
		{"pod replaced under the same name", func(s *Snapshot) { node(s).Pods[0].UID = "9" }, "pod-created web/web-1, pod-ready web/web-1, pod-gone web/web-1"},
		{"pod told to stop", func(s *Snapshot) { p := &node(s).Pods[0]; p.Deleting, p.Ready = time.Now(), false }, "pod-deleting web/web-1"},
		{"pod no longer ready", func(s *Snapshot) { node(s).Pods[0].Ready = false }, "pod-not-ready web/web-1"},
		{"pod restarted", func(s *Snapshot) { node(s).Pods[0].Restarts = 1 }, "pod-restarted web/web-1"},
		{"system pod unready", func(s *Snapshot) { s.System[0].Ready = false }, "pod-not-ready kube-system/dns"},
		{"system pod gone", func(s *Snapshot) { s.System = nil }, ""},
		{"node not ready", func(s *Snapshot) { n := node(s); n.Ready, n.Reason = false, "NodeStatusUnknown" }, "node-not-ready n1"},
		{"power cut", func(s *Snapshot) { node(s).Power = PowerOff }, "node-power n1"},
		{"node gone, its pod too", func(s *Snapshot) { s.Zones = nil }, "node-gone n1, pod-gone web/web-1"},
		{"leader moved", func(s *Snapshot) { s.Leaders[0].Holder = "n2" }, "leader-changed kube-scheduler"},
		{"leader given up", func(s *Snapshot) { s.Leaders[0].Holder = "" }, ""},
		{"endpoint of a pod that ends", func(s *Snapshot) { e := &s.Endpoints[0]; e.Ready, e.Terminating = false, true }, "endpoint-not-ready web/web"},
		{"endpoint removed", func(s *Snapshot) { s.Endpoints = nil }, "endpoint-removed web/web"},
		{"another pod gets the address", func(s *Snapshot) { s.Endpoints[0].Pod = "web-2" }, "endpoint-removed web/web, endpoint-added web/web"},
		{"an endpoint that is not ready yet", func(s *Snapshot) { s.Endpoints = append(s.Endpoints, Endpoint{Address: "198.19.1.3"}) }, ""},
		{"cordoned and tainted", func(s *Snapshot) { n := node(s); n.Unschedulable, n.Taints = true, []string{"a=b:NoExecute"} }, "node-cordoned n1, node-tainted n1"},
		{"load balancer off", func(s *Snapshot) { s.Machines[0].Power = PowerOff }, "machine-power lb-1"},
		{"pod scheduled", func(s *Snapshot) {
			s.Pending = []Pod{{Namespace: "web", Name: "web-2", UID: "3", Node: "n2", Phase: "Pending"}}
		}, "pod-created web/web-2, pod-scheduled web/web-2"},
		{"view stale", func(s *Snapshot) { s.Stale = true }, "view-stale api-server"},
		{"not synced", func(s *Snapshot) { *s = Snapshot{} }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := base(), base()
			c.change(&b)
			var got []string
			for _, ch := range Diff(&a, &b) {
				got = append(got, fmt.Sprintf("%s %s", ch.Kind, ch.Subject))
				if ch.Text == "" || strings.Contains(ch.Text, "%!") {
					t.Errorf("%s says %q", ch.Kind, ch.Text)
				}
			}
			if g := strings.Join(got, ", "); g != c.want {
				t.Errorf("got %q, want %q", g, c.want)
			}
		})
	}
}

func TestDiffTellsTheReason(t *testing.T) {
	a, b := base(), base()
	b.Zones[0].Nodes[0].Ready, b.Zones[0].Nodes[0].Reason = false, "NodeStatusUnknown"
	if got := Diff(&a, &b)[0].Text; got != "Kubernetes noticed that node n1 is not Ready (NodeStatusUnknown)" {
		t.Errorf("it says %q", got)
	}
}

package lifecycle

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"zdl/internal/labfile"
)

// The profile shop keeps three nodes for databases: nothing of the stateless
// service lands there, and every node is Ready.
func TestShopKeepsItsDatabaseNodesFree(t *testing.T) {
	l, before := start(t, "t-shop")
	up(t, l, "--profile", "shop")
	l.WaitHealthy(t, time.Minute)
	var databases []string
	nodes := l.Nodes(t)
	for _, n := range nodes {
		if n.Labels[labfile.DatabaseTaint.Key] == labfile.DatabaseTaint.Value {
			databases = append(databases, n.Name)
			if !slices.ContainsFunc(n.Spec.Taints, func(taint corev1.Taint) bool {
				return taint.Key == labfile.DatabaseTaint.Key && taint.Effect == corev1.TaintEffectNoSchedule
			}) {
				t.Errorf("database node %s has the taints %v", n.Name, n.Spec.Taints)
			}
		}
	}
	if len(nodes) != 11 || len(databases) != 3 {
		t.Errorf("%d nodes with %d for databases, want 11 with 3", len(nodes), len(databases))
	}
	for _, p := range l.WaitPods(t, "web", "app.kubernetes.io/name=web", 3, time.Minute) {
		if slices.Contains(databases, p.Spec.NodeName) {
			t.Errorf("pod %s is on the database node %s", p.Name, p.Spec.NodeName)
		}
	}
	down(t, l)
	mustLeaveNothing(t, l, before)
}

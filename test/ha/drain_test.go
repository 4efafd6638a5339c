package ha

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Draining is the disruption that everything in the target was made for: no
// user may notice. A second drain at the same time would leave too few replicas,
// and the PodDisruptionBudget refuses it.
func TestDrainIsUnnoticedAndRespectsTheBudget(t *testing.T) {
	l := lab(t)
	first, second := workers[0], workers[1]
	t.Cleanup(func() {
		l.TryKubectl(context.Background(), nil, "uncordon", first, second)
	})
	users := l.Watch(t)
	out := l.Kubectl(t, "drain", first, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s")
	if !strings.Contains(out, "evicting pod web/web-") {
		t.Errorf("the drained node had no pod of the service, so this proves nothing:\n%s", out)
	}
	r := l.TryKubectl(t.Context(), nil, "drain", second, "--ignore-daemonsets", "--pod-selector=app.kubernetes.io/name=web", "--timeout=8s")
	if r.Code == 0 || !strings.Contains(r.Stderr, "disruption budget") {
		t.Errorf("a second drain: exit %d, want a refusal for the budget\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	l.Kubectl(t, "uncordon", first, second)
	l.WaitPods(t, "web", "app.kubernetes.io/name=web", 3, time.Minute)
	users.MustServeAll(t)
}

package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"zdl/internal/cluster"
)

// notice watches what is worth an entry in the timeline and no part of the
// snapshot, until ctx ends.
func (v *View) notice(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	quiet := func() {}
	limit := newLimiter(v.o.Notice)
	events := &table[eventRow]{resource: "events", convert: convertEvent, changed: quiet, moved: limit.event}
	wg.Go(func() { events.run(ctx, v.c.core, v.c.params, &corev1.Event{}, "", selector{}) })

	leases := &table[nodeLease]{resource: "leases", convert: convertNodeLease, changed: quiet}
	wg.Go(func() {
		leases.run(ctx, v.c.coordination, v.c.params, &coordinationv1.Lease{}, corev1.NamespaceNodeLease, selector{})
	})
	wg.Go(func() { watchLeases(ctx, leases, v.o.Notice) })

	autoscalers := &table[autoscaler]{resource: "horizontalpodautoscalers", convert: convertAutoscaler, changed: quiet,
		moved: func(old, now *autoscaler) { tellAutoscaler(v.o.Notice, old, now) }}
	wg.Go(func() {
		autoscalers.run(ctx, v.c.autoscaling, v.c.params, &autoscalingv2.HorizontalPodAutoscaler{}, "", selector{})
	})
	budgets := &table[budget]{resource: "poddisruptionbudgets", convert: convertBudget, changed: quiet,
		moved: func(old, now *budget) { tellBudget(v.o.Notice, old, now) }}
	wg.Go(func() { budgets.run(ctx, v.c.policy, v.c.params, &policyv1.PodDisruptionBudget{}, "", selector{}) })
}

// autoscaler is what matters of a HorizontalPodAutoscaler.
type autoscaler struct {
	name             string
	current, desired int32
}

func convertAutoscaler(o runtime.Object) autoscaler {
	a := o.(*autoscalingv2.HorizontalPodAutoscaler)
	return autoscaler{a.Namespace + "/" + a.Name, a.Status.CurrentReplicas, a.Status.DesiredReplicas}
}

func tellAutoscaler(notice func(cluster.Change), old, now *autoscaler) {
	if old == nil || now == nil || old.desired == now.desired {
		return
	}
	notice(cluster.Change{Kind: cluster.AutoscalerMoved, Subject: now.name, Detail: true,
		Text: fmt.Sprintf("Autoscaler %s wants %d replicas, before %d", now.name, now.desired, old.desired)})
}

// budget is what matters of a PodDisruptionBudget.
type budget struct {
	name             string
	allowed, healthy int32
}

func convertBudget(o runtime.Object) budget {
	b := o.(*policyv1.PodDisruptionBudget)
	return budget{b.Namespace + "/" + b.Name, b.Status.DisruptionsAllowed, b.Status.CurrentHealthy}
}

func tellBudget(notice func(cluster.Change), old, now *budget) {
	if old == nil || now == nil || old.allowed == now.allowed {
		return
	}
	notice(cluster.Change{Kind: cluster.BudgetMoved, Subject: now.name, Detail: true,
		Text: fmt.Sprintf("Disruption budget %s allows %d evictions, before %d; %d pods are healthy", now.name, now.allowed, old.allowed, now.healthy)})
}

// leaseLook is how often leases are looked through for expired ones.
const leaseLook = time.Second

// nodeLease is a kubelet's sign of life.
type nodeLease struct {
	node    string
	renewed time.Time
	length  time.Duration
}

func convertNodeLease(o runtime.Object) nodeLease {
	l := o.(*coordinationv1.Lease)
	row := nodeLease{node: l.Name}
	if t := l.Spec.RenewTime; t != nil {
		row.renewed = t.Time
	}
	if s := l.Spec.LeaseDurationSeconds; s != nil {
		row.length = time.Duration(*s) * time.Second
	}
	return row
}

// watchLeases tells when a node's lease has run out and when it is renewed again.
// While the API server is not heard, nobody can tell, and nothing is told.
func watchLeases(ctx context.Context, t *table[nodeLease], notice func(cluster.Change)) {
	tick := time.NewTicker(leaseLook)
	defer tick.Stop()
	expired := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if t.current() {
				t.each(func(l nodeLease, _ time.Time) { tellLease(expired, l, now, notice) })
			}
		}
	}
}

func tellLease(expired map[string]bool, l nodeLease, now time.Time, notice func(cluster.Change)) {
	end := l.renewed.Add(l.length)
	out := l.length > 0 && now.After(end)
	if out == expired[l.node] {
		return
	}
	expired[l.node] = out
	c := cluster.Change{Kind: cluster.NodeLeaseRenewed, Subject: l.node, Node: l.node, At: l.renewed, Detail: true,
		Text: fmt.Sprintf("The kubelet of %s renewed its lease again", l.node)}
	if out {
		c.Kind, c.At = cluster.NodeLeaseExpired, end
		c.Text = fmt.Sprintf("The lease of node %s ran out: %v without a sign of life from its kubelet", l.node, l.length)
		c.Fields = map[string]string{"renewed": l.renewed.UTC().Format(time.RFC3339Nano)}
	}
	notice(c)
}

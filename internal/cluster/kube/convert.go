package kube

import (
	"sort"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"zdl/internal/cluster"
)

// podRow is a pod and whether it belongs to the target.
type podRow struct {
	cluster.Pod
	target bool
}

func convertPod(namespace string, sel labels.Selector) func(runtime.Object) podRow {
	return func(o runtime.Object) podRow {
		p := o.(*corev1.Pod)
		row := podRow{Pod: cluster.Pod{
			Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Node: p.Spec.NodeName, App: appOf(p.Labels),
			IP: p.Status.PodIP, Phase: string(p.Status.Phase), Reason: p.Status.Reason, Created: p.CreationTimestamp.Time,
		}}
		if p.Labels["cluster-name"] != "" { // Patroni's
			row.Role = cluster.DatabaseRole(p.Labels["role"])
		}
		if p.Status.StartTime != nil {
			row.Started = p.Status.StartTime.Time
		}
		if p.DeletionTimestamp != nil {
			row.Deleting = deletionAsked(p)
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady {
				row.Ready = c.Status == corev1.ConditionTrue
				row.ReadySince = c.LastTransitionTime.Time
			}
		}
		for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			row.Restarts += s.RestartCount
			switch {
			case s.State.Waiting != nil && s.State.Waiting.Reason != "":
				row.Reason = s.State.Waiting.Reason
			case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
				row.Reason = s.State.Terminated.Reason
			}
		}
		row.target = p.Namespace == namespace && sel.Matches(labels.Set(p.Labels))
		return row
	}
}

// deletionAsked is when a pod was told to stop: deletionTimestamp is that
// moment plus the grace period.
func deletionAsked(p *corev1.Pod) time.Time {
	t := p.DeletionTimestamp.Time
	if g := p.DeletionGracePeriodSeconds; g != nil {
		t = t.Add(-time.Duration(*g) * time.Second)
	}
	return t
}

func appOf(l map[string]string) string {
	for _, k := range []string{"app.kubernetes.io/name", "app", "k8s-app", "component"} {
		if v := l[k]; v != "" {
			return v
		}
	}
	return ""
}

const rolePrefix = "node-role.kubernetes.io/"

func convertNode(o runtime.Object) cluster.Node {
	n := o.(*corev1.Node)
	row := cluster.Node{
		Name: n.Name, UID: string(n.UID), Unschedulable: n.Spec.Unschedulable, Roles: []string{}, Pods: []cluster.Pod{},
		Version: n.Status.NodeInfo.KubeletVersion,
	}
	row.Zone = n.Labels[corev1.LabelTopologyZone]
	for k := range n.Labels {
		if role, ok := strings.CutPrefix(k, rolePrefix); ok && role != "" {
			row.Roles = append(row.Roles, role)
			row.ControlPlane = row.ControlPlane || role == "control-plane"
		}
	}
	sort.Strings(row.Roles)
	for _, t := range n.Spec.Taints {
		row.Taints = append(row.Taints, t.ToString())
	}
	sort.Strings(row.Taints)
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && row.Address == "" {
			row.Address = a.Address
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			row.Ready = c.Status == corev1.ConditionTrue
			row.ReadySince = c.LastTransitionTime.Time
			if !row.Ready {
				row.Reason = c.Reason
			}
		}
	}
	return row
}

func convertLease(o runtime.Object) cluster.Leader {
	l := o.(*coordinationv1.Lease)
	row := cluster.Leader{Component: l.Name}
	if h := l.Spec.HolderIdentity; h != nil {
		row.Holder, _, _ = strings.Cut(*h, "_")
	}
	if t := l.Spec.AcquireTime; t != nil {
		row.Since = t.Time
	}
	if t := l.Spec.RenewTime; t != nil {
		row.Renewed = t.Time
	}
	if c := l.Spec.LeaseTransitions; c != nil {
		row.Changes = *c
	}
	return row
}

// sameLeader leaves out the renewals, every other second.
func sameLeader(a, b *cluster.Leader) bool {
	return a.Component == b.Component && a.Holder == b.Holder && a.Changes == b.Changes && a.Since.Equal(b.Since)
}

func convertSlice(o runtime.Object) []cluster.Endpoint {
	s := o.(*discoveryv1.EndpointSlice)
	var out []cluster.Endpoint
	for _, e := range s.Endpoints {
		if len(e.Addresses) == 0 {
			continue
		}
		row := cluster.Endpoint{Address: e.Addresses[0]}
		if e.TargetRef != nil {
			row.Pod = e.TargetRef.Name
		}
		if e.NodeName != nil {
			row.Node = *e.NodeName
		}
		is := func(b *bool, unset bool) bool {
			if b == nil {
				return unset
			}
			return *b
		}
		row.Ready = is(e.Conditions.Ready, true)
		row.Serving = is(e.Conditions.Serving, row.Ready)
		row.Terminating = is(e.Conditions.Terminating, false)
		out = append(out, row)
	}
	return out
}

func convertDeployment(o runtime.Object) int {
	if r := o.(*appsv1.Deployment).Spec.Replicas; r != nil {
		return int(*r)
	}
	return 1
}

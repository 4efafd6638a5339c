package defence

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var nodes = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}

// settled waits until a change, or its undo, has taken effect, and says by what
// that was seen.
func (k *Keeper) settled(ctx context.Context, client dynamic.Interface, c *change, undo bool) (string, error) {
	tick := time.NewTicker(k.poll)
	defer tick.Stop()
	var reason error
	for {
		evidence, err := look(ctx, client, c, undo)
		if err == nil {
			return evidence, nil
		}
		if ctx.Err() == nil || reason == nil {
			reason = err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%s has not settled in time: %w", c.ref, reason)
		case <-tick.C:
		}
	}
}

// look asks once.
func look(ctx context.Context, client dynamic.Interface, c *change, undo bool) (string, error) {
	if c.Node != "" {
		return staticPod(ctx, client, c, undo)
	}
	o, err := client.Resource(kinds[c.Kind].resource).Namespace(c.Namespace).Get(ctx, c.Name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	var said []string
	for _, f := range c.Fields {
		want := f.New
		if undo {
			want = f.Old
		}
		now := lookup(o.Object, f.Path)
		if !same(now, want) {
			return "", fmt.Errorf("%s is %s, not %s", f, show(now), show(want))
		}
		said = append(said, fmt.Sprintf("%s %s", f, show(want)))
	}
	switch c.Settled {
	case Rollout:
		text, err := rolledOut(o)
		if err != nil {
			return "", err
		}
		said = []string{text}
	case Observed:
		if seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration"); seen < o.GetGeneration() {
			return "", fmt.Errorf("its controller has seen generation %d, not %d", seen, o.GetGeneration())
		}
		said = append(said, fmt.Sprintf("generation %d observed", o.GetGeneration()))
	}
	if c.Shown != nil {
		text, err := shown(ctx, client, c, undo)
		if err != nil {
			return "", err
		}
		said = append(said, text)
	}
	if c.Spread != nil && !undo {
		text, err := spread(ctx, client, o, c.Spread)
		if err != nil {
			return "", err
		}
		said = append(said, text)
	}
	return fmt.Sprintf("%s: %s", c.ref, strings.Join(said, ", ")), nil
}

// shown wants a program to tell that it has taken a change over, or given it up.
func shown(ctx context.Context, client dynamic.Interface, c *change, undo bool) (string, error) {
	o, err := client.Resource(kinds[c.Kind].resource).Namespace(c.Namespace).Get(ctx, c.Shown.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && undo {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	value := o.GetAnnotations()[c.Shown.Annotation]
	switch {
	case value == "" && !undo:
		return "", fmt.Errorf("%s does not show %s yet", c.Shown.Name, c.Shown.Annotation)
	case value != "" && undo:
		return "", fmt.Errorf("%s still shows %s %s", c.Shown.Name, c.Shown.Annotation, value)
	}
	return fmt.Sprintf("%s shows %s %s", c.Shown.Name, c.Shown.Annotation, value), nil
}

// rolledOut wants what "kubectl rollout status" waits for, and that no replica
// is missing or left over.
func rolledOut(o *unstructured.Unstructured) (string, error) {
	number := func(path ...string) int64 {
		n, _, _ := unstructured.NestedInt64(o.Object, path...)
		return n
	}
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(o.Object, path...)
		return s
	}
	if seen := number("status", "observedGeneration"); seen < o.GetGeneration() {
		return "", fmt.Errorf("its controller has seen generation %d, not %d", seen, o.GetGeneration())
	}
	if o.GetKind() == "DaemonSet" {
		want := number("status", "desiredNumberScheduled")
		updated, available := number("status", "updatedNumberScheduled"), number("status", "numberAvailable")
		if updated != want || available != want {
			return "", fmt.Errorf("%d of %d pods are of the new revision, %d available", updated, want, available)
		}
		return fmt.Sprintf("%d of %d pods of generation %d available", available, want, o.GetGeneration()), nil
	}
	want, found, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	if !found {
		want = 1
	}
	all, updated, available := number("status", "replicas"), number("status", "updatedReplicas"), number("status", "availableReplicas")
	if o.GetKind() == "StatefulSet" && text("status", "updateRevision") == text("status", "currentRevision") {
		updated = all // it stops counting when it is done
	}
	if all != want || updated != want || available != want {
		return "", fmt.Errorf("%d replicas are asked for, %d are there, %d of the new revision, %d available", want, all, updated, available)
	}
	return fmt.Sprintf("%d of %d replicas of generation %d available", available, want, o.GetGeneration()), nil
}

// spread wants ready pods of a workload in several domains.
func spread(ctx context.Context, client dynamic.Interface, o *unstructured.Unstructured, s *Spread) (string, error) {
	labels, _, _ := unstructured.NestedStringMap(o.Object, "spec", "selector", "matchLabels")
	pods, err := client.Resource(kinds[StaticPod].resource).Namespace(o.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: labels})})
	if err != nil {
		return "", err
	}
	all, err := client.Resource(nodes).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	domain := map[string]string{}
	for i := range all.Items {
		domain[all.Items[i].GetName()] = all.Items[i].GetLabels()[s.Over]
	}
	found := map[string]bool{}
	for i := range pods.Items {
		p := &pods.Items[i]
		node, _, _ := unstructured.NestedString(p.Object, "spec", "nodeName")
		if name := domain[node]; name != "" && p.GetDeletionTimestamp() == nil && podReady(p) {
			found[name] = true
		}
	}
	names := slices.Sorted(maps.Keys(found))
	if len(names) < s.AtLeast {
		return "", fmt.Errorf("it has ready pods in %d domains of %s, want %d", len(names), s.Over, s.AtLeast)
	}
	return fmt.Sprintf("ready pods in %s", strings.Join(names, ", ")), nil
}

func podReady(p *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(p.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == "Ready" && c["status"] == "True" {
			return true
		}
	}
	return false
}

// staticPod wants the component to run on its node with the flags of the file.
// The kubelet tells the API server by a mirror pod of that name.
func staticPod(ctx context.Context, client dynamic.Interface, c *change, undo bool) (string, error) {
	file := c.After
	if undo {
		file = c.Before
	}
	want := manifestFlags(file)
	p, err := client.Resource(kinds[StaticPod].resource).Namespace("kube-system").Get(ctx, c.Name+"-"+c.Node, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	containers, _, _ := unstructured.NestedSlice(p.Object, "spec", "containers")
	var words []string
	if len(containers) > 0 {
		if first, ok := containers[0].(map[string]any); ok {
			words, _, _ = unstructured.NestedStringSlice(first, "command")
		}
	}
	for _, flag := range want {
		if !slices.Contains(words, flag) {
			return "", fmt.Errorf("the one that runs is still without %s", flag)
		}
	}
	if !podReady(p) || p.GetDeletionTimestamp() != nil {
		return "", fmt.Errorf("%s is not Ready", p.GetName())
	}
	var changed []string
	for _, flag := range want {
		if !slices.Contains(manifestFlags(c.Before), flag) {
			changed = append(changed, flag)
		}
	}
	return fmt.Sprintf("%s runs with %s and is Ready", c.ref, strings.Join(changed, " ")), nil
}

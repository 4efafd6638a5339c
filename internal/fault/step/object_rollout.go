package step

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"zdl/internal/fault"
)

// Rollout cleans up after a change of a Deployment's pod template, which other
// steps make: to undo, it waits until the Deployment has rolled back, and deletes
// the ReplicaSets that the change left behind. It comes before those
// steps in a plan, so that it is undone after them.
type Rollout struct {
	w *World
	Ref
	UID         string   `json:"uid"`
	ReplicaSets []string `json:"replicaSets"` // before
	Complete    bool     `json:"complete"`    // the Deployment was fully rolled out
}

// rollbackPatience bounds how long an undo waits for a Deployment, so that one
// that cannot become whole for another reason does not hold the undo up.
const rollbackPatience = 30 * time.Second

// Deployments and ReplicaSets, for List.
var (
	Deployments = Ref{Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment"}
	ReplicaSets = Ref{Group: "apps", Version: "v1", Resource: "replicasets", Kind: "ReplicaSet"}
)

// NewRollout plans to clean up after changes of a Deployment.
func (w *World) NewRollout(ctx context.Context, deployment Ref) (fault.Step, error) {
	o, err := w.Object(ctx, deployment)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fault.Refuse(fmt.Sprintf("There is no %s.", deployment), "kubectl get deployments shows what there is")
	}
	r := &Rollout{w: w, Ref: deployment, UID: string(o.GetUID()), Complete: rolledOut(o)}
	sets, err := r.sets(ctx, o)
	if err != nil {
		return nil, err
	}
	r.ReplicaSets = slices.Sorted(maps.Keys(sets))
	return r, nil
}

// Mechanism is "rollout".
func (r *Rollout) Mechanism() string { return "rollout" }

// Touches the Deployment's ReplicaSets.
func (r *Rollout) Touches() []string { return []string{r.touch("rollout")} }

// Inject does nothing: the Deployment's controller does it.
func (r *Rollout) Inject(context.Context) error { return nil }

// Verify waits until the controller has made a ReplicaSet of the new template.
func (r *Rollout) Verify(ctx context.Context) (string, error) {
	o, err := r.w.Object(ctx, r.Ref)
	if err != nil {
		return "", err
	}
	if o == nil {
		return "", errGone
	}
	sets, err := r.sets(ctx, o)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		if !slices.Contains(r.ReplicaSets, name) {
			return fmt.Sprintf("the new replicaset %s wants %d pods", name, number(sets[name], "spec", "replicas")), nil
		}
	}
	return "", fmt.Errorf("%s has made no new replicaset yet", r.Ref)
}

// Undo waits for the rollback and deletes what it left.
func (r *Rollout) Undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, rollbackPatience)
	defer cancel()
	for {
		o, err := r.w.Object(ctx, r.Ref)
		if err != nil {
			return err
		}
		if o == nil || string(o.GetUID()) != r.UID {
			return nil
		}
		done := rolledOut(o)
		if done || !r.Complete {
			return r.sweep(ctx, o)
		}
		select {
		case <-ctx.Done():
			return nil // State tells what is missing
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// sweep deletes the ReplicaSets that are new and have no pods.
func (r *Rollout) sweep(ctx context.Context, o *unstructured.Unstructured) error {
	sets, err := r.sets(ctx, o)
	if err != nil {
		return err
	}
	for name, set := range sets {
		unused := number(set, "spec", "replicas") == 0 && number(set, "status", "replicas") == 0
		if slices.Contains(r.ReplicaSets, name) || !unused {
			continue
		}
		if err := r.w.drop(ctx, ReplicaSets.In(r.Namespace, name), string(set.GetUID()), metav1.DeletePropagationBackground); err != nil {
			return err
		}
	}
	return nil
}

// State is the Deployment's progress and its ReplicaSets.
func (r *Rollout) State(ctx context.Context) (map[string]string, error) {
	o, err := r.w.Object(ctx, r.Ref)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return map[string]string{"rollout of " + r.Ref.String(): "the object is gone"}, nil
	}
	sets, err := r.sets(ctx, o)
	if err != nil {
		return nil, err
	}
	progress := "complete"
	if !rolledOut(o) {
		progress = fmt.Sprintf("not complete: %d updated, %d available, %d wanted", number(o, "status", "updatedReplicas"), number(o, "status", "availableReplicas"), number(o, "spec", "replicas"))
	}
	return map[string]string{
		"rollout of " + r.Ref.String():     progress,
		"replicasets of " + r.Ref.String(): strings.Join(slices.Sorted(maps.Keys(sets)), " "),
	}, nil
}

// sets are the Deployment's ReplicaSets by name.
func (r *Rollout) sets(ctx context.Context, o *unstructured.Unstructured) (map[string]*unstructured.Unstructured, error) {
	match, _, err := unstructured.NestedStringMap(o.Object, "spec", "selector", "matchLabels")
	if err != nil {
		return nil, err
	}
	list, err := r.w.List(ctx, ReplicaSets.In(r.Namespace, ""), labels.SelectorFromSet(match).String(), "")
	if err != nil {
		return nil, err
	}
	out := map[string]*unstructured.Unstructured{}
	for i := range list {
		if owner := metav1.GetControllerOf(&list[i]); owner != nil && owner.UID == o.GetUID() {
			out[list[i].GetName()] = &list[i]
		}
	}
	return out, nil
}

// rolledOut is what kubectl rollout status waits for.
func rolledOut(o *unstructured.Unstructured) bool {
	want := number(o, "spec", "replicas")
	return number(o, "status", "observedGeneration") >= o.GetGeneration() &&
		number(o, "status", "updatedReplicas") == want && number(o, "status", "replicas") == want &&
		number(o, "status", "availableReplicas") == want
}

func number(o *unstructured.Unstructured, path ...string) int64 {
	n, _, _ := unstructured.NestedInt64(o.Object, path...)
	return n
}

func labelSet(m map[string]string) labels.Set { return labels.Set(m) }

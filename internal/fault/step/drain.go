package step

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"zdl/internal/fault"
)

// Drain evicts every pod of a node as kubectl drain does: through the eviction
// API, which honours PodDisruptionBudgets; all but those of DaemonSets, static
// pods, and pods that have ended. It does not cordon the node; a Patch before it
// does. Undo has nothing to put back, since the pods' controllers have made
// others, except for pods without a controller, which it makes anew.
type Drain struct {
	w    *World
	Node string `json:"node"`
	// Timeout bounds the evictions and the pods' end, nanoseconds.
	Timeout time.Duration `json:"timeout"`
	// Bare are the manifests of pods without a controller.
	Bare map[string]json.RawMessage `json:"bare,omitempty"`
	// Evictable is how many pods were to be evicted.
	Evictable int `json:"evictable"`
}

// evictAgain is the pause after an eviction that a budget refused. kubectl waits
// 5 s.
const evictAgain = 500 * time.Millisecond

// NewDrain plans to evict a node's pods. Pods without a controller are refused
// unless force is set.
func (w *World) NewDrain(ctx context.Context, node string, timeout time.Duration, force bool) (fault.Step, error) {
	d := &Drain{w: w, Node: node, Timeout: timeout, Bare: map[string]json.RawMessage{}}
	pods, err := d.left(ctx)
	if err != nil {
		return nil, err
	}
	d.Evictable = len(pods)
	for i := range pods {
		p := &pods[i]
		if metav1.GetControllerOf(p) != nil {
			continue
		}
		if !force {
			return nil, fault.Refuse(fmt.Sprintf("The pod %s on %s has no controller that would make it anew elsewhere.", p.Namespace+"/"+p.Name, node), "-p force=true evicts it too, and makes it anew when the fault is undone")
		}
		if d.Bare[p.Namespace+"/"+p.Name], err = barePod(p); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func barePod(p *corev1.Pod) (json.RawMessage, error) {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: object}
	u.SetAPIVersion("v1")
	u.SetKind("Pod")
	return manifest(u)
}

// Mechanism is "drain".
func (d *Drain) Mechanism() string { return "drain" }

// Touches the pods of the node.
func (d *Drain) Touches() []string { return []string{"pods-of/" + d.Node} }

// Inject evicts until no pod is left that could be.
func (d *Drain) Inject(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	var refused sync.Map // pod → why
	for {
		pods, err := d.left(ctx)
		if err == nil && len(pods) == 0 {
			return nil
		}
		var group sync.WaitGroup
		for i := range pods {
			if p := &pods[i]; p.DeletionTimestamp == nil {
				group.Go(func() { d.evict(ctx, p, &refused) })
			}
		}
		group.Wait()
		select {
		case <-ctx.Done():
			return fmt.Errorf("drain %s: after %v %s", d.Node, d.Timeout, leftover(pods, &refused))
		case <-time.After(evictAgain):
		}
	}
}

func (d *Drain) evict(ctx context.Context, p *corev1.Pod, refused *sync.Map) {
	kube, err := d.w.Kube()
	if err == nil {
		err = kube.CoreV1().Pods(p.Namespace).EvictV1(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(p.UID))},
		})
	}
	if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		refused.Store(p.Namespace+"/"+p.Name, err.Error())
	}
}

func leftover(pods []corev1.Pod, refused *sync.Map) string {
	var out []string
	for i := range pods {
		name := pods[i].Namespace + "/" + pods[i].Name
		if why, ok := refused.Load(name); ok && pods[i].DeletionTimestamp == nil {
			name += fmt.Sprintf(" (%v)", why)
		}
		out = append(out, name)
	}
	return fmt.Sprintf("%d pods were left: %s", len(pods), strings.Join(out, ", "))
}

// left lists the pods of the node that a drain would evict and that still run.
func (d *Drain) left(ctx context.Context) ([]corev1.Pod, error) {
	kube, err := d.w.Kube()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	list, err := kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + d.Node})
	if err != nil {
		return nil, fmt.Errorf("list the pods of %s: %w", d.Node, err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.Spec.NodeName != d.Node || !evictable(&p) }), nil
}

func evictable(p *corev1.Pod) bool {
	if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return false
	}
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return false
	}
	owner := metav1.GetControllerOf(p)
	return owner == nil || owner.Kind != "DaemonSet"
}

// Verify looks for pods that should have gone.
func (d *Drain) Verify(ctx context.Context) (string, error) {
	pods, err := d.left(ctx)
	if err != nil {
		return "", err
	}
	if len(pods) > 0 {
		return "", fmt.Errorf("%s: %s", d.Node, leftover(pods, new(sync.Map)))
	}
	return fmt.Sprintf("no evictable pod is left on %s, of %d", d.Node, d.Evictable), nil
}

// Undo makes pods anew that have no controller to do so.
func (d *Drain) Undo(ctx context.Context) error {
	for name, data := range d.Bare {
		namespace, pod, _ := strings.Cut(name, "/")
		r := Pods.In(namespace, pod)
		o, err := d.w.Object(ctx, r)
		if err != nil {
			return err
		}
		if o != nil && o.GetDeletionTimestamp() == nil {
			continue
		}
		if err := d.w.make(ctx, r, data, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("make %s anew: %w", r, err) // it may still be going; tried again
		}
	}
	return nil
}

// State lists the pods without a controller.
func (d *Drain) State(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for name := range d.Bare {
		namespace, pod, _ := strings.Cut(name, "/")
		r := Pods.In(namespace, pod)
		o, err := d.w.Object(ctx, r)
		if err != nil {
			return nil, err
		}
		out[r.String()] = map[bool]string{true: "present", false: "absent"}[o != nil]
	}
	return out, nil
}

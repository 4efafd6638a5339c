package step

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"zdl/internal/fault"
)

// Lease takes the lease of a leader election away from its holder, as if another
// candidate had won it, and keeps it. The holder finds out when it next
// renews, and gives up: the components of Kubernetes end their process then. No
// other candidate can lead until undo frees the lease.
//
// Candidates go by the duration that is written in the lease (client-go v0.36,
// tools/leaderelection, isLeaseValid). So it is enough to write it once, with
// a duration that covers the attack; it ends by itself if nobody undoes it.
type Lease struct {
	w *World
	Ref
	Holder  string `json:"holder"`  // before
	Seconds int64  `json:"seconds"` // leaseDurationSeconds before
	Keep    int64  `json:"keep"`    // and while it is ours
	Ours    string `json:"ours"`    // our identity
	// Pod of the component that held it, with how often its container had been
	// started; "" when it is not known.
	Pod      string `json:"pod,omitempty"`
	Restarts int64  `json:"restarts,omitempty"`
}

// longestHold of a lease without an end of its own.
const longestHold = time.Hour

// NewLease plans to take a lease for the duration of an attack, 0 for one without
// an end of its own. pod is that of the component on the node of its holder.
func (w *World) NewLease(ctx context.Context, lease Ref, attack string, lasting time.Duration, pod func(holder string) Ref) (fault.Step, error) {
	o, err := w.Object(ctx, lease)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fault.Refuse(fmt.Sprintf("There is no %s.", lease), "kubectl -n kube-system get leases shows what there is")
	}
	if lasting == 0 {
		lasting = longestHold
	}
	l := &Lease{w: w, Ref: lease, Ours: "zdl-" + attack, Seconds: number(o, "spec", "leaseDurationSeconds"), Keep: int64(lasting/time.Second) + 30}
	l.Holder, _, _ = unstructured.NestedString(o.Object, "spec", "holderIdentity")
	if l.Holder == "" {
		return nil, fault.Refuse(fmt.Sprintf("Nobody holds the %s.", lease), "wait until a leader is elected: zdl status")
	}
	p, err := w.Object(ctx, pod(l.Holder))
	if err != nil {
		return nil, err
	}
	if p != nil {
		l.Pod, l.Restarts = p.GetName(), restarts(p)
	}
	return l, nil
}

// Mechanism is "lease".
func (l *Lease) Mechanism() string { return "lease" }

// Touches the lease.
func (l *Lease) Touches() []string { return []string{l.touch("")} }

// Inject writes our identity into the lease, whoever holds it.
func (l *Lease) Inject(ctx context.Context) error {
	now := time.Now().UTC().Format(metav1.RFC3339Micro)
	return l.merge(ctx, "", map[string]any{"holderIdentity": l.Ours, "leaseDurationSeconds": l.Keep, "acquireTime": now, "renewTime": now})
}

// merge writes fields of the spec; with a version only to that one.
func (l *Lease) merge(ctx context.Context, version string, spec map[string]any) error {
	resource, err := l.w.resource(l.Ref)
	if err != nil {
		return err
	}
	patch := map[string]any{"spec": spec}
	if version != "" {
		patch["metadata"] = map[string]any{"resourceVersion": version}
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	if _, err := resource.Patch(ctx, l.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: ObjectManager}); err != nil {
		return fmt.Errorf("write %s: %w", l.Ref, err)
	}
	return nil
}

// Verify waits until the former leader's process has given up.
func (l *Lease) Verify(ctx context.Context) (string, error) {
	o, err := l.w.Object(ctx, l.Ref)
	if err != nil {
		return "", err
	}
	if o == nil || holder(o) != l.Ours {
		return "", fmt.Errorf("%s was taken back", l.Ref)
	}
	text := fmt.Sprintf("%s is held by %s, no longer by %s", l.Ref, l.Ours, l.Holder)
	if l.Pod == "" {
		return text, nil
	}
	p, err := l.w.Object(ctx, Pods.In(l.Namespace, l.Pod))
	if err != nil {
		return "", err
	}
	if p == nil {
		return "", fmt.Errorf("pod %s: %w", l.Pod, errGone)
	}
	if now := restarts(p); now <= l.Restarts && !ended(p) {
		return "", fmt.Errorf("the process in %s has not given up yet", l.Pod)
	}
	return text + "; the process in " + l.Pod + " gave up", nil
}

// Undo frees the lease for the next candidate, if it is still ours.
func (l *Lease) Undo(ctx context.Context) error {
	for try := 0; ; try++ {
		o, err := l.w.Object(ctx, l.Ref)
		if err != nil || o == nil || holder(o) != l.Ours {
			return err
		}
		err = l.merge(ctx, o.GetResourceVersion(), map[string]any{"holderIdentity": "", "leaseDurationSeconds": l.Seconds})
		if try < 3 && apierrors.IsConflict(err) {
			continue
		}
		return err
	}
}

// State tells whether a component holds the lease. Which of them may change.
func (l *Lease) State(ctx context.Context) (map[string]string, error) {
	o, err := l.w.Object(ctx, l.Ref)
	if err != nil {
		return nil, err
	}
	state := "gone"
	if o != nil {
		switch h := holder(o); {
		case h == "":
			state = "held by nobody"
		case strings.HasPrefix(h, "zdl-"):
			state = "held by " + h
		default:
			state = fmt.Sprintf("held by a candidate for %d s", number(o, "spec", "leaseDurationSeconds"))
		}
	}
	return map[string]string{l.Ref.String(): state}, nil
}

func holder(o *unstructured.Unstructured) string {
	h, _, _ := unstructured.NestedString(o.Object, "spec", "holderIdentity")
	return h
}

func containers(p *unstructured.Unstructured) []any {
	list, _, _ := unstructured.NestedSlice(p.Object, "status", "containerStatuses")
	return list
}

func restarts(p *unstructured.Unstructured) (n int64) {
	for _, c := range containers(p) {
		if status, ok := c.(map[string]any); ok {
			count, _, _ := unstructured.NestedInt64(status, "restartCount")
			n += count
		}
	}
	return n
}

func ended(p *unstructured.Unstructured) bool {
	for _, c := range containers(p) {
		if status, ok := c.(map[string]any); ok {
			if _, found, _ := unstructured.NestedMap(status, "state", "terminated"); found {
				return true
			}
		}
	}
	return false
}

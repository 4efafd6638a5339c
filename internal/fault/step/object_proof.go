package step

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Proof is what must hold besides the object itself before a fault counts as in
// effect: how the API server behaves because of it. Exactly one field is set.
type Proof struct {
	// NoPods is a label selector that must match no pod of the namespace.
	NoPods string `json:"noPods,omitempty"`
	// SomePods is a label selector that must match a pod of the namespace.
	SomePods *string `json:"somePods,omitempty"`
	// Denied is what a service account may no longer do.
	Denied *Access `json:"denied,omitempty"`
	// PodRefused: a pod can no longer be created in the namespace, and the refusal
	// names this.
	PodRefused string `json:"podRefused,omitempty"`
	// Hangs: the dry-run creation of an object waits.
	Hangs *Hang `json:"hangs,omitempty"`
}

// Access is one thing that a user may be allowed to do.
type Access struct {
	User     string   `json:"user"`
	Groups   []string `json:"groups,omitempty"`
	Verb     string   `json:"verb"`
	Group    string   `json:"group,omitempty"`
	Resource string   `json:"resource"`
	Name     string   `json:"name,omitempty"`
	// Namespace is "" for what is allowed, or not, in all of them.
	Namespace string `json:"namespace,omitempty"`
}

func (w *World) prove(ctx context.Context, namespace string, p *Proof) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	switch {
	case p.NoPods != "":
		n, of, err := w.countPods(ctx, namespace, p.NoPods)
		if err == nil && n > 0 {
			err = fmt.Errorf("%s still matches %d pods", p.NoPods, n)
		}
		return fmt.Sprintf("it matches 0 of %d pods", of), err
	case p.SomePods != nil:
		n, of, err := w.countPods(ctx, namespace, *p.SomePods)
		if err == nil && n == 0 {
			err = fmt.Errorf("%s matches no pod", *p.SomePods)
		}
		return fmt.Sprintf("it selects %d of %d pods", n, of), err
	case p.Denied != nil:
		return w.denied(ctx, p.Denied)
	case p.PodRefused != "":
		return w.podRefused(ctx, namespace, p.PodRefused)
	case p.Hangs != nil:
		return w.hangs(ctx, namespace, p.Hangs)
	}
	return "", fmt.Errorf("this zdl does not know the proof that is asked for")
}

// Pods are Kubernetes' pods, for List.
var Pods = Ref{Version: "v1", Resource: "pods", Kind: "Pod"}

func (w *World) countPods(ctx context.Context, namespace, selector string) (n, of int, err error) {
	all, err := w.List(ctx, Pods.In(namespace, ""), "", "")
	if err != nil {
		return 0, 0, err
	}
	matcher, err := metav1.ParseToLabelSelector(selector)
	if err != nil {
		return 0, 0, err
	}
	s, err := metav1.LabelSelectorAsSelector(matcher)
	if err != nil {
		return 0, 0, err
	}
	for i := range all {
		if s.Matches(labelSet(all[i].GetLabels())) {
			n++
		}
	}
	return n, len(all), nil
}

// denied asks the API server what it would answer that user.
func (w *World) denied(ctx context.Context, a *Access) (string, error) {
	kube, err := w.Kube()
	if err != nil {
		return "", err
	}
	answer, err := kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: a.User, Groups: a.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: a.Verb, Group: a.Group, Resource: a.Resource, Name: a.Name, Namespace: a.Namespace},
	}}, metav1.CreateOptions{FieldManager: ObjectManager})
	if err != nil {
		return "", fmt.Errorf("ask what %s may do: %w", a.User, err)
	}
	what := fmt.Sprintf("%s %s", a.Verb, a.Resource)
	if answer.Status.Allowed {
		return "", fmt.Errorf("%s may still %s: %s", a.User, what, answer.Status.Reason)
	}
	return fmt.Sprintf("%s may no longer %s", a.User, what), nil
}

// podRefused tries, without effect, to create a pod.
func (w *World) podRefused(ctx context.Context, namespace, because string) (string, error) {
	err := w.make(ctx, Pods.In(namespace, ""), TrialPod(namespace), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case err == nil:
		return "", fmt.Errorf("a pod can still be created in %s", namespace)
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), because):
		return "a new pod is refused: " + short(err.Error()), nil
	}
	return "", fmt.Errorf("try to create a pod in %s: %w", namespace, err)
}

// TrialPod is a pod for dry runs, which asks for what every kind of quota counts.
func TrialPod(namespace string) []byte {
	amount := map[string]any{"cpu": "1m", "memory": "1Mi"}
	data, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"generateName": "zdl-trial-", "namespace": namespace, "labels": map[string]any{"zdl.dev/trial": "true"}},
		"spec": map[string]any{"containers": []any{map[string]any{
			"name": "trial", "image": "zdl.local/none",
			"resources": map[string]any{"requests": amount, "limits": amount},
			"securityContext": map[string]any{
				"allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65532,
				"capabilities": map[string]any{"drop": []any{"ALL"}}, "seccompProfile": map[string]any{"type": "RuntimeDefault"},
			},
		}}},
	})
	if err != nil {
		panic(err) // it is a literal
	}
	return data
}

func short(s string) string {
	if i := strings.Index(s, "forbidden: "); i >= 0 {
		s = s[i+len("forbidden: "):]
	}
	return s[:min(len(s), 200)]
}

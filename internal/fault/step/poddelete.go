package step

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/fault"
)

// PodDelete deletes exactly the pod with a UID through the API server.
type PodDelete struct {
	w         *World
	Namespace string        `json:"namespace"`
	Name      string        `json:"name"`
	UID       string        `json:"uid"`
	Grace     time.Duration `json:"grace"` // nanoseconds; 0 removes it at once
}

// NewPodDelete plans to delete a pod.
func (w *World) NewPodDelete(namespace, name, uid string, grace time.Duration) fault.Step {
	return &PodDelete{w: w, Namespace: namespace, Name: name, UID: uid, Grace: grace}
}

// Mechanism is "pod-delete".
func (d *PodDelete) Mechanism() string { return "pod-delete" }

// Touches the pod object.
func (d *PodDelete) Touches() []string { return []string{"object/pod/" + d.Namespace + "/" + d.Name} }

// Inject deletes it. A pod that is gone, replaced by one of its name perhaps,
// was deleted by a call before.
func (d *PodDelete) Inject(ctx context.Context) error {
	kube, err := d.w.Kube()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	err = kube.CoreV1().Pods(d.Namespace).Delete(ctx, d.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64(d.Grace.Seconds())), Preconditions: metav1.NewUIDPreconditions(d.UID),
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// Verify asks the API server for it.
func (d *PodDelete) Verify(ctx context.Context) (string, error) {
	kube, err := d.w.Kube()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	pod, err := kube.CoreV1().Pods(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && string(pod.UID) != d.UID:
		return fmt.Sprintf("the API server has no pod %s/%s with the UID %s any more", d.Namespace, d.Name, d.UID), nil
	case err != nil:
		return "", err
	case pod.DeletionTimestamp != nil && d.Grace > 0:
		return fmt.Sprintf("%s/%s is terminating and has %d s", d.Namespace, d.Name, *pod.DeletionGracePeriodSeconds), nil
	}
	return "", fmt.Errorf("the API server still has the pod %s/%s", d.Namespace, d.Name)
}

// Undo has nothing to do: the pod's controller makes another.
func (d *PodDelete) Undo(context.Context) error { return nil }

// State is empty: this pod does not come back.
func (d *PodDelete) State(context.Context) (map[string]string, error) {
	return map[string]string{}, nil
}

// apiPatience bounds one question to the API server.
const apiPatience = 5 * time.Second

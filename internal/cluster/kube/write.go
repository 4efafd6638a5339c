package kube

import (
	"context"
	"fmt"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"zdl/internal/cluster"
)

// DeletePod implements cluster.Cluster.
func (v *View) DeletePod(ctx context.Context, namespace, name, uid string, grace time.Duration) error {
	o := deleteOptions(uid, grace)
	err := v.c.core.Delete().Namespace(namespace).Resource("pods").Name(name).Body(&o).Do(ctx).Error()
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		err = cluster.ErrGone // the name is free, or another pod has it by now
	}
	if err != nil {
		return fmt.Errorf("delete pod %s/%s: %w", namespace, name, err)
	}
	return nil
}

// EvictPod implements cluster.Cluster.
func (v *View) EvictPod(ctx context.Context, namespace, name, uid string) error {
	o := deleteOptions(uid, -1)
	err := v.c.core.Post().Namespace(namespace).Resource("pods").Name(name).SubResource("eviction").
		Body(&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, DeleteOptions: &o}).Do(ctx).Error()
	switch {
	case apierrors.IsTooManyRequests(err):
		err = cluster.ErrDisruptionBudget
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		err = cluster.ErrGone
	}
	if err != nil {
		return fmt.Errorf("evict pod %s/%s: %w", namespace, name, err)
	}
	return nil
}

// deleteOptions are for one pod and no other of the same name. Grace is rounded
// up to seconds, the unit of the API; negative leaves the pod its own.
func deleteOptions(uid string, grace time.Duration) metav1.DeleteOptions {
	var o metav1.DeleteOptions
	if uid != "" {
		u := types.UID(uid)
		o.Preconditions = &metav1.Preconditions{UID: &u}
	}
	if grace >= 0 {
		s := int64((grace + time.Second - 1) / time.Second)
		o.GracePeriodSeconds = &s
	}
	return o
}

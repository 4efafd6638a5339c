package addon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

const (
	// FieldManager is the name by which the API server knows who wrote a field.
	FieldManager = "zdl"
	// manifestHash is an annotation on every object: the hash of the manifest
	// that it was last made from.
	manifestHash = "zdl/manifest-hash"
	// parallel requests: enough to hide the latency of etcd, few enough not to
	// starve the API server's own work while a cluster boots on two cores.
	parallel = 16
	// retryWait between two attempts of one object. An API server that is
	// starting refuses for seconds; asking it is cheap.
	retryWait = 100 * time.Millisecond
)

// Apply makes the cluster hold the objects, namespaces first and workloads last.
// An object that is there and was made from the same manifest is left alone,
// whatever users changed in it since. Every other one is applied, server-side
// and by force.
//
// While the API server starts or fails over, Apply goes on trying until ctx
// ends. An object that the API server rejects ends it at once. The error names
// the object, and after ctx ended also the last reason.
func Apply(ctx context.Context, cfg *rest.Config, objects []*unstructured.Unstructured) error {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1 // the number of requests in flight is bounded here already
	cfg.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("apply addons: %w", err)
	}
	var byStage [stages][]*unstructured.Unstructured
	for _, o := range objects {
		k, err := kindOf(o)
		if err != nil {
			return fmt.Errorf("apply addons: %w", err)
		}
		byStage[k.stage] = append(byStage[k.stage], o)
	}
	for _, batch := range byStage {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(parallel)
		for _, o := range batch {
			group.Go(func() error {
				if err := applyOne(ctx, client, o); err != nil {
					return fmt.Errorf("apply %s: %w", describe(o), err)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// applyOne tries until it succeeds, is rejected for good or ctx ends.
func applyOne(ctx context.Context, client dynamic.Interface, o *unstructured.Unstructured) error {
	o, err := withHash(o)
	if err != nil {
		return err
	}
	resource := resourceOf(client, o)
	var reason error // why it did not work so far
	for {
		err := ensure(ctx, resource, o)
		if err == nil || !temporary(err) {
			return err
		}
		if ctx.Err() == nil {
			reason = err
		}
		select {
		case <-ctx.Done():
			if reason == nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w; until then: %w", context.Cause(ctx), reason)
		case <-time.After(retryWait):
		}
	}
}

func resourceOf(client dynamic.Interface, o *unstructured.Unstructured) dynamic.ResourceInterface {
	k := kinds[o.GroupVersionKind()]
	r := client.Resource(o.GroupVersionKind().GroupVersion().WithResource(k.resource))
	if k.namespaced {
		return r.Namespace(o.GetNamespace())
	}
	return r
}

// ensure looks first, in order not to undo what users changed. A server-side
// apply costs the API server no more than a create (90 ms of CPU for 63 objects
// either way, measured on v1.36.3), and when a field leaves the manifest, the
// next version's apply removes it.
func ensure(ctx context.Context, resource dynamic.ResourceInterface, o *unstructured.Unstructured) error {
	existing, err := resource.Get(ctx, o.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	case existing.GetAnnotations()[manifestHash] == o.GetAnnotations()[manifestHash]:
		return nil
	}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	force := true
	_, err = resource.Patch(ctx, o.GetName(), types.ApplyPatchType, body,
		metav1.PatchOptions{FieldManager: FieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict})
	return err
}

// withHash returns a copy that says what it was made from.
func withHash(o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	text, err := json.Marshal(o) // keys in order, so equal manifests give equal text
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	o = o.DeepCopy()
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[manifestHash] = hex.EncodeToString(sum[:8])
	o.SetAnnotations(annotations)
	return o, nil
}

// temporary tells whether the same request may succeed a moment later: nothing
// answered, the API server is overloaded, starting or has just lost etcd.
func temporary(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // no answer from an API server
	}
	switch code := status.Status().Code; {
	case code == 500 && strings.Contains(err.Error(), "failed to create typed patch object"):
		return false // a field that does not exist; should be 400
	case code >= 500, code == 429, code == 409, code == 408:
		return true
	case code == 404: // the namespace, or the resource, is being made by the API server
		return true
	case code == 401: // authentication has not loaded all it needs
		return true
	case code == 422:
		// While it starts, the API server may not know its Service range yet
		// (pkg/registry/core/service/ipallocator) and calls right addresses wrong.
		return strings.Contains(err.Error(), "failed to allocate IP")
	case code == 403:
		// Admission whose informers are not synced yet answers Forbidden
		// (apiserver/pkg/admission/initializer); missing rights do so too.
		return strings.Contains(err.Error(), "not yet ready to handle request") ||
			strings.Contains(err.Error(), "not found")
	}
	return false
}

package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

const (
	// AttackLabel is on every object that an attack made; its value is the
	// attack's ID.
	AttackLabel = "zdl.dev/attack"
	// ObjectManager is the field manager of all writes by which faults are made
	// and undone. Faults that disturb the API server spare it, so that each of
	// them can be undone.
	ObjectManager = "zdl-fault"
	// objectPatience bounds one call to the API server.
	objectPatience = 10 * time.Second
)

// Ref names one object of Kubernetes.
type Ref struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Resource  string `json:"resource"` // plural, as in URLs: deployments
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is as kubectl names it, with the namespace: "deployment web/web".
func (r Ref) String() string {
	if r.Namespace == "" {
		return strings.ToLower(r.Kind) + " " + r.Name
	}
	return strings.ToLower(r.Kind) + " " + r.Namespace + "/" + r.Name
}

// In is the same kind with another name.
func (r Ref) In(namespace, name string) Ref {
	r.Namespace, r.Name = namespace, name
	return r
}

// touch names the object, or one of its fields, for Touches.
func (r Ref) touch(field string) string {
	path := "object/" + r.Resource + "/"
	if r.Namespace != "" {
		path += r.Namespace + "/"
	}
	if path += r.Name; field != "" {
		path += "#" + field
	}
	return path
}

func (r Ref) apiVersion() string {
	return schema.GroupVersion{Group: r.Group, Version: r.Version}.String()
}

// Objects speaks to the API server about objects of any kind.
func (w *World) Objects() (dynamic.Interface, error) {
	w.once.Lock()
	defer w.once.Unlock()
	if w.objects != nil {
		return w.objects, nil
	}
	config, err := w.Config()
	if err != nil {
		return nil, err
	}
	w.objects, err = dynamic.NewForConfig(config)
	return w.objects, err
}

// resource is the collection that an object is in.
func (w *World) resource(r Ref) (dynamic.ResourceInterface, error) {
	client, err := w.Objects()
	if err != nil {
		return nil, err
	}
	collection := client.Resource(schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Resource})
	if r.Namespace == "" {
		return collection, nil
	}
	return collection.Namespace(r.Namespace), nil
}

// Object reads an object; nil when there is none of that name.
func (w *World) Object(ctx context.Context, r Ref) (*unstructured.Unstructured, error) {
	resource, err := w.resource(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	o, err := resource.Get(ctx, r.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r, err)
	}
	return o, nil
}

// List reads all objects of r's kind and namespace that the selectors match.
func (w *World) List(ctx context.Context, r Ref, labels, fields string) ([]unstructured.Unstructured, error) {
	resource, err := w.resource(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	list, err := resource.List(ctx, metav1.ListOptions{LabelSelector: labels, FieldSelector: fields})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", r.Resource, err)
	}
	return list.Items, nil
}

// make creates an object from a manifest.
func (w *World) make(ctx context.Context, r Ref, manifest []byte, o metav1.CreateOptions) error {
	resource, err := w.resource(r)
	if err != nil {
		return err
	}
	var object unstructured.Unstructured
	if err := object.UnmarshalJSON(manifest); err != nil {
		return fmt.Errorf("manifest of %s: %w", r, err)
	}
	if o.FieldManager == "" {
		o.FieldManager = ObjectManager
	}
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	_, err = resource.Create(ctx, &object, o)
	return err
}

// drop deletes exactly the object with that UID; one that is gone already is
// as good.
func (w *World) drop(ctx context.Context, r Ref, uid string, policy metav1.DeletionPropagation) error {
	resource, err := w.resource(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	err = resource.Delete(ctx, r.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(uid), PropagationPolicy: &policy})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", r, err)
	}
	return nil
}

// manifest is what an object can be made from again: all that somebody decided,
// without what the API server and controllers added.
func manifest(o *unstructured.Unstructured) (json.RawMessage, error) {
	c := o.DeepCopy()
	delete(c.Object, "status")
	for _, f := range []string{"resourceVersion", "uid", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"} {
		unstructured.RemoveNestedField(c.Object, "metadata", f)
	}
	return json.Marshal(c.Object)
}

// fingerprint is short and equal for equal manifests.
func fingerprint(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:6])
}

// errGone is an object that is no longer the one the attack was planned for.
var errGone = errors.New("it is gone, or was made anew")

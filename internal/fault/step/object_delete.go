package step

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/fault"
)

// Delete deletes an object of Kubernetes and makes it anew from its recorded
// manifest to undo, unless somebody else has done so. The new object has another
// UID, and what the old one owned goes with it: only for kinds where that
// matters to nobody.
type Delete struct {
	w *World
	Ref
	UID      string          `json:"uid"`
	Manifest json.RawMessage `json:"manifest"`
	Fields   []string        `json:"fields,omitempty"` // that other faults may hold
}

// NewDelete plans to delete an object. The fields are those, as JSON pointers,
// that other faults of the catalogue change.
func (w *World) NewDelete(ctx context.Context, r Ref, fields ...string) (fault.Step, error) {
	o, err := w.Object(ctx, r)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fault.Refuse(fmt.Sprintf("There is no %s.", r), "kubectl get "+r.Resource+" shows what there is")
	}
	data, err := manifest(o)
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", r, err)
	}
	return &Delete{w: w, Ref: r, UID: string(o.GetUID()), Manifest: data, Fields: fields}, nil
}

// Mechanism is "delete".
func (d *Delete) Mechanism() string { return "delete" }

// Touches the object and its fields.
func (d *Delete) Touches() []string {
	out := []string{d.touch("")}
	for _, f := range d.Fields {
		out = append(out, d.touch(f))
	}
	return out
}

// Inject deletes the object.
func (d *Delete) Inject(ctx context.Context) error {
	return d.w.drop(ctx, d.Ref, d.UID, metav1.DeletePropagationBackground)
}

// Verify looks for an object of that name.
func (d *Delete) Verify(ctx context.Context) (string, error) {
	o, err := d.w.Object(ctx, d.Ref)
	if err != nil {
		return "", err
	}
	if o != nil {
		return "", fmt.Errorf("%s is still there", d.Ref)
	}
	return d.Ref.String() + " is gone", nil
}

// Undo makes it anew.
func (d *Delete) Undo(ctx context.Context) error {
	err := d.w.make(ctx, d.Ref, d.Manifest, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make %s anew: %w", d.Ref, err)
	}
	return nil
}

// State is the object's manifest, as a hash.
func (d *Delete) State(ctx context.Context) (map[string]string, error) {
	o, err := d.w.Object(ctx, d.Ref)
	if err != nil {
		return nil, err
	}
	return map[string]string{d.Ref.String(): presence(o)}, nil
}

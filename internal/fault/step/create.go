package step

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"zdl/internal/fault"
)

// Create makes an object of Kubernetes, labelled as the attack's, and deletes it
// to undo. An object of that name that is not the attack's is never touched.
type Create struct {
	w *World
	Ref
	Attack   string          `json:"attack"`
	Manifest json.RawMessage `json:"manifest"`
	Proof    *Proof          `json:"proof,omitempty"`
}

// NewCreate plans to make an object. The manifest needs no apiVersion, kind and
// name; it gets those of r.
func (w *World) NewCreate(r Ref, attack string, manifest map[string]any, proof *Proof) (fault.Step, error) {
	o := unstructured.Unstructured{Object: manifest}
	o.SetAPIVersion(r.apiVersion())
	o.SetKind(r.Kind)
	o.SetNamespace(r.Namespace)
	o.SetName(r.Name)
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[AttackLabel] = attack
	o.SetLabels(labels)
	data, err := json.Marshal(o.Object)
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", r, err)
	}
	return &Create{w: w, Ref: r, Attack: attack, Manifest: data, Proof: proof}, nil
}

// Mechanism is "create".
func (c *Create) Mechanism() string { return "create" }

// Touches the object.
func (c *Create) Touches() []string { return []string{c.touch("")} }

// Inject makes the object.
func (c *Create) Inject(ctx context.Context) error {
	err := c.w.make(ctx, c.Ref, c.Manifest, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		o, err := c.w.Object(ctx, c.Ref)
		if err == nil && (o == nil || !c.ours(o)) {
			err = fmt.Errorf("there is a %s already, and it is not of this attack", c.Ref)
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", c.Ref, err)
	}
	return nil
}

func (c *Create) ours(o *unstructured.Unstructured) bool {
	return o.GetLabels()[AttackLabel] == c.Attack
}

// Verify reads the object back, and asks for the proof.
func (c *Create) Verify(ctx context.Context) (string, error) {
	o, err := c.w.Object(ctx, c.Ref)
	if err != nil {
		return "", err
	}
	if o == nil || !c.ours(o) {
		return "", fmt.Errorf("%s is not there", c.Ref)
	}
	text := c.Ref.String() + " exists"
	if c.Proof == nil {
		return text, nil
	}
	more, err := c.w.prove(ctx, c.Namespace, c.Proof)
	if err != nil {
		return "", err
	}
	return text + "; " + more, nil
}

// Undo deletes the object if it is the attack's.
func (c *Create) Undo(ctx context.Context) error {
	o, err := c.w.Object(ctx, c.Ref)
	if err != nil || o == nil || !c.ours(o) {
		return err
	}
	return c.w.drop(ctx, c.Ref, string(o.GetUID()), metav1.DeletePropagationBackground)
}

// State tells whether there is an object of that name.
func (c *Create) State(ctx context.Context) (map[string]string, error) {
	o, err := c.w.Object(ctx, c.Ref)
	if err != nil {
		return nil, err
	}
	return map[string]string{c.Ref.String(): presence(o)}, nil
}

func presence(o *unstructured.Unstructured) string {
	if o == nil {
		return "absent"
	}
	data, err := manifest(o)
	if err != nil {
		return "present"
	}
	return fingerprint(data)
}

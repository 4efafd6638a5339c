package step

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"zdl/internal/fault"
)

// Patch changes fields of an object of Kubernetes, and puts exactly these back
// to undo, each only where it still holds what the patch wrote: what somebody
// else has changed meanwhile stays, and shows as residue. An object that was
// deleted meanwhile is not made again, because it was not the patch that
// deleted it; that is residue too.
type Patch struct {
	w *World
	Ref
	UID    string  `json:"uid"`
	Fields []Field `json:"fields"`
	// Proof is what else must hold before the change counts as in effect.
	Proof *Proof `json:"proof,omitempty"`

	// What the API server has just told saves a request each: planned is the object
	// that the plan was made from, and its state before; changed is the answer to
	// the change, the object as etcd holds it from then on, which proves it.
	planned, changed *unstructured.Unstructured
}

// NewPatch plans to change an object. Of the fields, Path and New (nil: remove
// the field) must be set; for a member of a list, either New (add it) or Old
// (remove it). The rest is read from the object.
func (w *World) NewPatch(ctx context.Context, r Ref, proof *Proof, fields ...Field) (*Patch, error) {
	o, err := w.Object(ctx, r)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fault.Refuse(fmt.Sprintf("There is no %s.", r), "kubectl get "+r.Resource+" shows what there is")
	}
	p := &Patch{w: w, Ref: r, UID: string(o.GetUID()), Proof: proof, planned: o}
	var already []string
	for _, f := range fields {
		f.read(o)
		if !f.changes() {
			already = append(already, f.String())
			continue
		}
		p.Fields = append(p.Fields, f)
	}
	if len(p.Fields) == 0 {
		return nil, fault.Refuse(fmt.Sprintf("The %s is like that already: %s.", r, strings.Join(already, ", ")), "nothing would change; choose another target or value")
	}
	return p, nil
}

// Mechanism is "patch".
func (p *Patch) Mechanism() string { return "patch" }

// Touches its fields of the object.
func (p *Patch) Touches() []string {
	var out []string
	for i := range p.Fields {
		out = append(out, p.touch(p.Fields[i].key()))
	}
	return out
}

// Inject writes the new values.
func (p *Patch) Inject(ctx context.Context) error {
	if err := p.write(ctx, false); err != nil {
		return fmt.Errorf("change %s: %w", p.Ref, err)
	}
	return nil
}

// told is the object as it was told, once, or else as it is read.
func (p *Patch) told(ctx context.Context, by **unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if o := *by; o != nil {
		*by = nil
		return o, nil
	}
	return p.w.Object(ctx, p.Ref)
}

// Undo puts back what it was.
func (p *Patch) Undo(ctx context.Context) error {
	if err := p.write(ctx, true); err != nil {
		return fmt.Errorf("put back %s: %w", p.Ref, err)
	}
	return nil
}

// write sends one JSON patch (RFC 6902) that tests what it replaces. At first it
// assumes that the object is as planned, which takes one round trip; where the
// test fails it looks.
func (p *Patch) write(ctx context.Context, undo bool) error {
	resource, err := p.w.resource(p.Ref)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	ops := p.expected(undo)
	p.planned, p.changed = nil, nil
	for try := 0; ; try++ {
		if ops == nil {
			o, err := resource.Get(ctx, p.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) || err == nil && string(o.GetUID()) != p.UID {
				return p.gone(undo)
			}
			if err != nil {
				return err
			}
			if ops, err = p.needed(o, undo); err != nil || len(ops) == 0 {
				return err
			}
		}
		body, err := json.Marshal(append([]operation{{Op: "test", Path: "/metadata/uid", Value: quoted(p.UID)}}, ops...))
		if err != nil {
			return err
		}
		o, err := resource.Patch(ctx, p.Name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: ObjectManager})
		switch {
		case err == nil:
			if !undo {
				p.changed = o
			}
			return nil
		case apierrors.IsNotFound(err):
			return p.gone(undo)
		case try < 3 && (apierrors.IsInvalid(err) || apierrors.IsConflict(err)):
			ops = nil // it is not as expected: look
		default:
			return err
		}
	}
}

func (p *Patch) gone(undo bool) error {
	if undo {
		return nil
	}
	return errGone
}

// expected is the patch of an object that nobody else has changed, or nil where
// lists have to be looked at first.
func (p *Patch) expected(undo bool) []operation {
	var ops []operation
	for i := range p.Fields {
		f := &p.Fields[i]
		if f.Member {
			return nil
		}
		from, to := f.turn(undo)
		ops = append(ops, f.replace(from, to)...)
	}
	return ops
}

// needed is the patch of the object as it is: without what is so already. What
// somebody else changed is left alone by an undo, and stops an injection.
func (p *Patch) needed(o *unstructured.Unstructured, undo bool) ([]operation, error) {
	var ops []operation
	for i := range p.Fields {
		f := &p.Fields[i]
		from, to := f.turn(undo)
		if f.Member {
			ops = append(ops, f.memberOps(o, from, to)...)
			continue
		}
		switch now := lookup(o.Object, f.Path); {
		case same(now, to):
		case same(now, from):
			ops = append(ops, f.parents(o, to)...)
			ops = append(ops, f.replace(from, to)...)
		case !undo:
			return nil, fmt.Errorf("somebody else has changed %s to %s meanwhile", f, f.show(now))
		}
	}
	return ops, nil
}

// Verify looks at the object, and asks for the proof.
func (p *Patch) Verify(ctx context.Context) (string, error) {
	o, err := p.told(ctx, &p.changed)
	if err != nil {
		return "", err
	}
	if o == nil || string(o.GetUID()) != p.UID {
		return "", fmt.Errorf("%s: %w", p.Ref, errGone)
	}
	var said []string
	for i := range p.Fields {
		f := &p.Fields[i]
		if !f.holds(o, f.New, f.Old) {
			return "", fmt.Errorf("%s of %s is not as it was set", f, p.Ref)
		}
		said = append(said, f.change())
	}
	text := p.Ref.String()
	if n := o.GetGeneration(); n > 0 { // not all kinds count
		text += fmt.Sprintf(", generation %d", n)
	}
	text += ": " + strings.Join(said, ", ")
	if p.Proof == nil {
		return text, nil
	}
	more, err := p.w.prove(ctx, p.Namespace, p.Proof)
	if err != nil {
		return "", err
	}
	return text + "; " + more, nil
}

// State is the value of each field.
func (p *Patch) State(ctx context.Context) (map[string]string, error) {
	o, err := p.told(ctx, &p.planned)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i := range p.Fields {
		f := &p.Fields[i]
		name := f.String() + " of " + p.Ref.String()
		switch {
		case o == nil:
			out[name] = "the object is gone"
		case f.Member:
			out[name] = map[bool]string{true: "present", false: "absent"}[position(o.Object, f.Path, f.member()) >= 0]
		default:
			out[name] = f.show(lookup(o.Object, f.Path))
		}
	}
	return out, nil
}

package defence

import (
	"context"
	"encoding/json"
	"os"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// plan looks at what a defence is to change and works out what will be
// different. It touches nothing.
func (k *Keeper) plan(ctx context.Context, d *Defence) ([]change, error) {
	client, err := k.Client()
	if err != nil {
		return nil, refuse("zdl status shows what answers", "The API server cannot be reached: %v.", err)
	}
	var out []change
	for i := range d.Patches {
		p := &d.Patches[i]
		if p.Kind == StaticPod {
			some, err := k.planFiles(p)
			if err != nil {
				return nil, err
			}
			out = append(out, some...)
			continue
		}
		c, err := k.planObject(ctx, client, p)
		if err != nil {
			return nil, err
		}
		if len(c.Fields) > 0 {
			out = append(out, *c)
		}
	}
	if len(out) == 0 {
		return nil, refuse("nothing would change", "%s: the cluster is like that already.", d.Title)
	}
	return out, nil
}

func (k *Keeper) planObject(ctx context.Context, client dynamic.Interface, p *Patch) (*change, error) {
	resource := client.Resource(kinds[p.Kind].resource).Namespace(p.Namespace)
	before, err := resource.Get(ctx, p.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, refuse("kubectl get "+kinds[p.Kind].resource.Resource+" -A shows what there is", "There is no %s.", p.ref())
	case err != nil:
		return nil, refuse("zdl status shows what answers", "%s cannot be read: %v.", p.ref(), err)
	}
	after, err := k.preview(ctx, resource, before, p)
	if err != nil {
		return nil, refuse("the level's file has to be put right, or the cluster", "The API server does not take the change of %s: %v.", p.ref(), err)
	}
	whole, err := json.Marshal(before)
	if err != nil {
		return nil, err
	}
	return &change{ref: p.ref(), UID: string(before.GetUID()), Before: whole, Fields: diff(before.Object, after.Object), Settled: p.Settled, Spread: p.Spread, Shown: p.Shown}, nil
}

// previewer gives an object as it will be.
type previewer func(ctx context.Context, resource dynamic.ResourceInterface, before *unstructured.Unstructured, p *Patch) (*unstructured.Unstructured, error)

// dryRun lets the API server say how it would store the object: with its
// defaults, and refused where a field does not exist. It is about exactly the
// version that was read.
func dryRun(ctx context.Context, resource dynamic.ResourceInterface, before *unstructured.Unstructured, p *Patch) (*unstructured.Unstructured, error) {
	if len(p.Flags) > 0 {
		after, err := withFlags(before, p.Flags)
		if err != nil {
			return nil, err
		}
		return resource.Update(ctx, after, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict})
	}
	if p.Document != nil {
		after, err := withDocument(before, p.Document)
		if err != nil {
			return nil, err
		}
		return resource.Update(ctx, after, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict})
	}
	kind, patch := types.MergePatchType, p.Merge
	if len(p.Strategic) > 0 {
		kind, patch = types.StrategicMergePatchType, p.Strategic
	}
	body, err := patchBody(patch, before.GetResourceVersion())
	if err != nil {
		return nil, err
	}
	return resource.Patch(ctx, p.Name, kind, body, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict})
}

// patchBody is a merge patch that holds only for one version of the object.
func patchBody(patch map[string]any, version string) ([]byte, error) {
	body := map[string]any{}
	for key, v := range patch {
		body[key] = v
	}
	metadata := map[string]any{"resourceVersion": version}
	if given, ok := patch["metadata"].(map[string]any); ok {
		for key, v := range given {
			metadata[key] = v
		}
	}
	body["metadata"] = metadata
	return json.Marshal(body)
}

func (k *Keeper) planFiles(p *Patch) ([]change, error) {
	if k.Manifests == nil {
		return nil, refuse("choose another defence", "The control plane of this cluster is not the lab's to change.")
	}
	var out []change
	for _, node := range k.Manifests.Nodes() {
		if why := k.Manifests.Ready(node); why != "" {
			return nil, refuse("zdl heal --all; zdl power on "+node, "The control plane on %s cannot be changed: %s.", node, why)
		}
		c := change{ref: p.ref(), Settled: p.Settled}
		c.Node = node
		var err error
		if c.Before, err = os.ReadFile(k.Manifests.Path(node, p.Name)); err == nil {
			c.After, err = editManifest(c.Before, p.Flags)
		}
		if err != nil {
			return nil, refuse("nothing was touched", "The manifest of %s cannot be changed: %v.", c.ref, err)
		}
		if string(c.After) != string(c.Before) {
			out = append(out, c)
		}
	}
	return out, nil
}

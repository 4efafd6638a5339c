package catalogue

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"zdl/internal/fault"
	"zdl/internal/fault/step"
)

// object lists the faults of workloads, Services and policies.
func (c *catalogue) object() []fault.Kind {
	return []fault.Kind{c.scaleToZero(), c.badImage(), c.selectorMismatch(), c.networkPolicy(), c.resourceQuota()}
}

func (c *catalogue) scaleToZero() fault.Kind {
	return fault.Kind{
		Name: "scale-to-zero", Layer: fault.LayerObject, Needs: needsAPI,
		Summary: "Set a workload's spec.replicas, to 0 unless told otherwise, and back.",
		Effect:  "Its pods end in their own time; without one left, users get 503 from the ingress.",
		Targets: "deployment, statefulset", TargetHelp: objectHelp(step.Deployments, statefulSets), DefaultTarget: targetName,
		Params: []fault.Param{{Name: "replicas", Type: fault.Integer, Default: "0", Min: "0", Max: "100", Help: "how many replicas are left"}},
		Find:   c.objects(step.Deployments, statefulSets),
		Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			return plan(in, func(t fault.Target) (fault.Step, error) {
				return c.patch(ctx, refOf(t, step.Deployments, statefulSets), nil, step.Set("/spec/replicas", in.Values.Int("replicas")))
			})
		},
	}
}

func (c *catalogue) badImage() fault.Kind {
	return fault.Kind{
		Name: "bad-image-rollout", Layer: fault.LayerObject, Needs: needsAPI,
		Summary: "Roll a deployment out with an image that does not exist, and roll it back.",
		Effect:  "New pods show ErrImagePull and ImagePullBackOff and the rollout is stuck; with maxUnavailable 0 users notice nothing.",
		Targets: "deployment", TargetHelp: objectHelp(step.Deployments), DefaultTarget: targetName,
		Params: []fault.Param{
			{Name: "container", Type: fault.Text, Help: "which container's image; without it the first"},
			{Name: "image", Type: fault.Text, Help: "the image that does not exist; without it the present one with the tag zdl-missing"},
		},
		Find: c.objects(step.Deployments),
		Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			rollouts, patches := fault.Stage{}, fault.Stage{}
			for _, t := range in.Targets {
				r := refOf(t, step.Deployments)
				path, image, err := c.image(ctx, r, in.Values.Text("container"))
				if err != nil {
					return fault.Plan{}, err
				}
				bad := in.Values.Text("image")
				if bad == "" {
					bad = missing(image)
				}
				patch, err := c.patch(ctx, r, nil, step.Set(path, bad))
				if err != nil {
					return fault.Plan{}, err
				}
				rollout, err := c.NewRollout(ctx, r)
				if err != nil {
					return fault.Plan{}, err
				}
				rollouts.Steps, patches.Steps = append(rollouts.Steps, rollout), append(patches.Steps, patch)
			}
			return fault.Plan{Stages: []fault.Stage{rollouts, patches}}, nil
		},
	}
}

// image finds the image of a container, and where it is written.
func (c *catalogue) image(ctx context.Context, r step.Ref, container string) (path, image string, err error) {
	o, err := c.Object(ctx, r)
	if err != nil {
		return "", "", err
	}
	if o == nil {
		return "", "", fault.Refuse(fmt.Sprintf("There is no %s.", r), "kubectl get deployments shows what there is")
	}
	list, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return "", "", err
	}
	var names []string
	for i, item := range list {
		spec, _ := item.(map[string]any)
		name, _ := spec["name"].(string)
		if container == "" || container == name {
			image, _ = spec["image"].(string)
			return fmt.Sprintf("/spec/template/spec/containers/%d/image", i), image, nil
		}
		names = append(names, name)
	}
	return "", "", fault.Refuse(fmt.Sprintf("The %s has no container %q.", r, container), "it has "+strings.Join(names, ", "))
}

// missing is a reference like image that nobody has pushed.
func missing(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		image = image[:colon]
	}
	return image + ":zdl-missing"
}

func (c *catalogue) selectorMismatch() fault.Kind {
	return fault.Kind{
		Name: "selector-mismatch", Layer: fault.LayerObject, Needs: needsAPI,
		Summary: "Add a label to a Service's selector that no pod has, and take it out again.",
		Effect:  "The Service loses all its endpoints while every pod is healthy; users get 503 from the ingress.",
		Targets: "service", TargetHelp: objectHelp(services), DefaultTarget: targetName,
		Find: c.objects(services),
		Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			return plan(in, func(t fault.Target) (fault.Step, error) {
				const key = "zdl.dev/selector-mismatch"
				r := refOf(t, services)
				o, err := c.Object(ctx, r)
				if err != nil {
					return nil, err
				}
				if o == nil {
					return nil, fault.Refuse(fmt.Sprintf("There is no %s.", r), "kubectl get services shows what there is")
				}
				selector, _, _ := unstructured.NestedStringMap(o.Object, "spec", "selector")
				if len(selector) == 0 {
					return nil, fault.Refuse(fmt.Sprintf("The %s has no selector.", r), "choose a Service that selects pods")
				}
				selector[key] = in.ID
				proof := &step.Proof{NoPods: labels.SelectorFromSet(selector).String()}
				return c.patch(ctx, r, proof, step.Set("/spec/selector/"+step.Escape(key), in.ID))
			})
		},
	}
}

func (c *catalogue) networkPolicy() fault.Kind {
	return fault.Kind{
		Name: "network-policy-deny", Layer: fault.LayerObject, Needs: needsAPI,
		Summary: "Make a NetworkPolicy that denies all traffic to or from a workload's pods.",
		Effect:  "New connections to the pods are dropped without an answer, except from their own node; clients run into timeouts.",
		Targets: "deployment, statefulset", TargetHelp: objectHelp(step.Deployments, statefulSets), DefaultTarget: targetName,
		Params: []fault.Param{{Name: "direction", Type: fault.Choice, Choices: []string{"ingress", "egress", "both"}, Default: "ingress", Help: "which traffic is denied, as the pods see it"}},
		Find:   c.objects(step.Deployments, statefulSets),
		Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			types := map[string][]any{"ingress": {"Ingress"}, "egress": {"Egress"}, "both": {"Ingress", "Egress"}}[in.Values.Text("direction")]
			return plan(in, func(t fault.Target) (fault.Step, error) {
				r := refOf(t, step.Deployments, statefulSets)
				o, err := c.Object(ctx, r)
				if err != nil {
					return nil, err
				}
				if o == nil {
					return nil, fault.Refuse(fmt.Sprintf("There is no %s.", r), "kubectl get deployments shows what there is")
				}
				match, _, err := unstructured.NestedMap(o.Object, "spec", "selector")
				if err != nil {
					return nil, err
				}
				pods, _, _ := unstructured.NestedStringMap(match, "matchLabels")
				proof := &step.Proof{SomePods: new(string)}
				*proof.SomePods = labels.SelectorFromSet(pods).String()
				return c.NewCreate(networkPolicies.In(r.Namespace, "zdl-"+in.ID+"-"+r.Name), in.ID, map[string]any{
					"spec": map[string]any{"podSelector": match, "policyTypes": types},
				}, proof)
			})
		},
	}
}

func (c *catalogue) resourceQuota() fault.Kind {
	return fault.Kind{
		Name: "resource-quota", Layer: fault.LayerObject, Needs: needsAPI,
		Summary: "Make a ResourceQuota that allows nothing more in a namespace.",
		Effect:  "Running pods stay, but none that ends is replaced: replicasets report FailedCreate, \"exceeded quota\".",
		Targets: "namespace", TargetHelp: "NAMESPACE, or any", DefaultTarget: targetName,
		Params: []fault.Param{{Name: "resource", Type: fault.Choice, Choices: []string{"pods", "cpu", "memory"}, Default: "pods", Help: "of what there is no more"}},
		Find:   c.namespaces,
		Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
			hard := map[string]string{"pods": "pods", "cpu": "requests.cpu", "memory": "requests.memory"}[in.Values.Text("resource")]
			return plan(in, func(t fault.Target) (fault.Step, error) {
				name := "zdl-" + in.ID
				return c.NewCreate(resourceQuotas.In(t.Name, name), in.ID, map[string]any{"spec": map[string]any{"hard": map[string]any{hard: "0"}}}, &step.Proof{PodRefused: name})
			})
		},
	}
}

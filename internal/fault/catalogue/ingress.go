package catalogue

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"zdl/internal/fault"
	"zdl/internal/fault/step"
)

// ingress lists the faults of routes from the edge to services.
func (c *catalogue) ingress() []fault.Kind {
	return []fault.Kind{{
		Name: "ingress-route-lost", Layer: fault.LayerEdge, Needs: needsAPI,
		Summary: "Make an Ingress lead nowhere: its rules answer to a host that nobody asks for, or name a Service that does not exist, or it is deleted.",
		Effect:  "While every pod is healthy users get 404 (no route for what they ask), or 5xx from the route to a missing Service.",
		Targets: "ingress", TargetHelp: objectHelp(ingresses), DefaultTarget: targetName,
		Params: []fault.Param{{Name: "how", Type: fault.Choice, Choices: []string{"host", "service", "delete"}, Default: "host", Help: "host: its rules are for another host; service: they name a Service that does not exist; delete: the Ingress is deleted"}},
		Find:   c.objects(ingresses),
		Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			return plan(in, func(t fault.Target) (fault.Step, error) {
				r := refOf(t, ingresses)
				if in.Values.Text("how") == "delete" {
					return c.NewDelete(ctx, r, "/spec/rules", "/spec/tls")
				}
				o, err := c.Object(ctx, r)
				if err != nil {
					return nil, err
				}
				if o == nil {
					return nil, fault.Refuse(fmt.Sprintf("There is no %s.", r), "kubectl get ingresses shows what there is")
				}
				rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
				if len(rules) == 0 {
					return nil, fault.Refuse(fmt.Sprintf("The %s has no rules.", r), "choose another Ingress")
				}
				return c.patch(ctx, r, nil, step.Set("/spec/rules", misled(rules, in.Values.Text("how"))))
			})
		},
	}}
}

// misled is a copy of an Ingress's rules that lead nowhere.
func misled(rules []any, how string) []any {
	for _, item := range rules {
		rule, _ := item.(map[string]any)
		if how == "host" {
			rule["host"] = "zdl-lost.invalid"
			continue
		}
		paths, _, _ := unstructured.NestedSlice(rule, "http", "paths")
		for _, p := range paths {
			if path, ok := p.(map[string]any); ok {
				_ = unstructured.SetNestedField(path, "zdl-missing", "backend", "service", "name")
			}
		}
		_ = unstructured.SetNestedSlice(rule, paths, "http", "paths")
	}
	return rules
}

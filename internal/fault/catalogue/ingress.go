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
		Effect:  "While every pod is healthy, users get 404 from the ingress, within its poll interval of a second.",
		Targets: "ingress", TargetHelp: objectHelp(ingresses), DefaultTarget: targetName,
		Params: []fault.Param{{Name: "how", Type: fault.Choice, Choices: []string{"host", "service", "delete"}, Default: "host", Help: "host: its rules are for another host; service: they name a Service that does not exist; delete: the Ingress is deleted"}},
		Find:   c.objects(ingresses),
		Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			return plan(in, func(t fault.Target) (fault.Step, error) {
				r := refOf(t, ingresses)
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
				switch in.Values.Text("how") {
				case "host":
					return c.patch(ctx, r, nil, changes(ruleHosts(rules), "zdl-lost.invalid")...)
				case "service":
					return c.patch(ctx, r, nil, changes(ruleServices(rules), "zdl-missing")...)
				}
				return c.NewDelete(ctx, r, append(ruleHosts(rules), ruleServices(rules)...)...)
			})
		},
	}}
}

// ruleHosts and ruleServices are where an Ingress says for which host, and to
// which Service, as JSON pointers.
func ruleHosts(rules []any) []string {
	var out []string
	for i := range rules {
		out = append(out, fmt.Sprintf("/spec/rules/%d/host", i))
	}
	return out
}

func ruleServices(rules []any) []string {
	var out []string
	for i, item := range rules {
		rule, _ := item.(map[string]any)
		paths, _, _ := unstructured.NestedSlice(rule, "http", "paths")
		for j, p := range paths {
			path, _ := p.(map[string]any)
			if _, found, _ := unstructured.NestedString(path, "backend", "service", "name"); found {
				out = append(out, fmt.Sprintf("/spec/rules/%d/http/paths/%d/backend/service/name", i, j))
			}
		}
	}
	return out
}

func changes(paths []string, value string) []step.Field {
	var out []step.Field
	for _, p := range paths {
		out = append(out, step.Set(p, value))
	}
	return out
}

package catalogue

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"zdl/internal/fault"
	"zdl/internal/fault/step"
)

// objectAccess lists the faults of access rights.
func (c *catalogue) objectAccess() []fault.Kind {
	return []fault.Kind{{
		Name: "service-account-revoked", Layer: fault.LayerObject, Needs: needsAPI,
		Summary: "Take a service account out of every role binding that names it, and put it back.",
		Effect:  "The API server answers 403 to its program: an ingress controller that polls goes on with the routes it knows and sends requests to pods that are gone; watches that are open live on until they end.",
		Targets: "serviceaccount", TargetHelp: "NAMESPACE/SERVICEACCOUNT, such as kube-system/coredns", DefaultTarget: "kube-system/skipper-ingress",
		Find: c.objects(serviceAccounts),
		Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			var steps []fault.Step
			for _, t := range in.Targets {
				revoked, err := c.revoke(ctx, refOf(t, serviceAccounts))
				if err != nil {
					return fault.Plan{}, err
				}
				steps = append(steps, revoked...)
			}
			return fault.Together(steps...), nil
		},
	}}
}

// revoke makes a step for each binding of a service account.
func (c *catalogue) revoke(ctx context.Context, account step.Ref) ([]fault.Step, error) {
	var steps []fault.Step
	for _, kind := range []step.Ref{clusterRoleBindings, roleBindings} {
		list, err := c.List(ctx, kind, "", "")
		if err != nil {
			return nil, err
		}
		for i := range list {
			binding := &list[i]
			subjects, _, _ := unstructured.NestedSlice(binding.Object, "subjects")
			for _, s := range subjects {
				subject, _ := s.(map[string]any)
				namespace, _ := subject["namespace"].(string)
				if subject["kind"] != "ServiceAccount" || subject["name"] != account.Name || namespace != account.Namespace {
					continue
				}
				access, err := c.granted(ctx, binding, account)
				if err != nil {
					return nil, err
				}
				var proof *step.Proof
				if access != nil {
					proof = &step.Proof{Denied: access}
				}
				one, err := c.patch(ctx, kind.In(binding.GetNamespace(), binding.GetName()), proof, step.RemoveMember("/subjects", subject))
				if err != nil {
					return nil, err
				}
				steps = append(steps, one)
			}
		}
	}
	if len(steps) == 0 {
		return nil, fault.Refuse(fmt.Sprintf("No role binding names the %s.", account), "kube-system/coredns and kube-system/skipper-ingress have one")
	}
	return steps, nil
}

// granted is one thing that a binding allows, or nil where its role allows nothing
// that could be asked for.
func (c *catalogue) granted(ctx context.Context, binding *unstructured.Unstructured, account step.Ref) (*step.Access, error) {
	name, _, _ := unstructured.NestedString(binding.Object, "roleRef", "name")
	kind, _, _ := unstructured.NestedString(binding.Object, "roleRef", "kind")
	r := clusterRoles.In("", name)
	if kind == "Role" {
		r = roles.In(binding.GetNamespace(), name)
	}
	role, err := c.Object(ctx, r)
	if err != nil || role == nil {
		return nil, err
	}
	rules, _, _ := unstructured.NestedSlice(role.Object, "rules")
	for _, rule := range rules {
		m, _ := rule.(map[string]any)
		verb, resource := first(m["verbs"]), first(m["resources"])
		if verb == "" || resource == "" || strings.Contains(resource, "/") {
			continue // of no resource, or of a subresource, which is asked for otherwise
		}
		return &step.Access{
			User:   "system:serviceaccount:" + account.Namespace + ":" + account.Name,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + account.Namespace, "system:authenticated"},
			Verb:   verb, Group: first(m["apiGroups"]), Resource: resource, Name: first(m["resourceNames"]), Namespace: binding.GetNamespace(),
		}, nil
	}
	return nil, nil
}

func first(list any) string {
	items, _ := list.([]any)
	if len(items) == 0 {
		return ""
	}
	s, _ := items[0].(string)
	return s
}

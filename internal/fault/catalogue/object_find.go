package catalogue

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/fault/step"
)

// Kinds of objects that faults change; the rest are in package step.
var (
	statefulSets        = step.Ref{Group: "apps", Version: "v1", Resource: "statefulsets", Kind: "StatefulSet"}
	services            = step.Ref{Version: "v1", Resource: "services", Kind: "Service"}
	endpointSlices      = step.Ref{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices", Kind: "EndpointSlice"}
	ingresses           = step.Ref{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses", Kind: "Ingress"}
	networkPolicies     = step.Ref{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies", Kind: "NetworkPolicy"}
	resourceQuotas      = step.Ref{Version: "v1", Resource: "resourcequotas", Kind: "ResourceQuota"}
	configMaps          = step.Ref{Version: "v1", Resource: "configmaps", Kind: "ConfigMap"}
	secrets             = step.Ref{Version: "v1", Resource: "secrets", Kind: "Secret"}
	kubeNodes           = step.Ref{Version: "v1", Resource: "nodes", Kind: "Node"}
	kubeNamespaces      = step.Ref{Version: "v1", Resource: "namespaces", Kind: "Namespace"}
	serviceAccounts     = step.Ref{Version: "v1", Resource: "serviceaccounts", Kind: "ServiceAccount"}
	leases              = step.Ref{Group: "coordination.k8s.io", Version: "v1", Resource: "leases", Kind: "Lease"}
	roles               = step.Ref{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles", Kind: "Role"}
	clusterRoles        = step.Ref{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles", Kind: "ClusterRole"}
	roleBindings        = step.Ref{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings", Kind: "RoleBinding"}
	clusterRoleBindings = step.Ref{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings", Kind: "ClusterRoleBinding"}
	validatingWebhooks  = step.Ref{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations", Kind: "ValidatingWebhookConfiguration"}
)

// needsAPI is what all faults of objects need.
var needsAPI = []cluster.Capability{cluster.CapabilityAPI}

// targetName is the name of most objects of the service under attack.
const targetName = "web"

// objectHelp shows what a target of one of these kinds looks like.
func objectHelp(kinds ...step.Ref) string {
	var words []string
	for _, k := range kinds {
		words = append(words, strings.ToUpper(k.Kind))
	}
	name := strings.Join(words, " or ")
	return name + " (in the namespace of the service under attack), NAMESPACE/NAME, any, NAMESPACE/any"
}

// objects finds objects of some namespaced kinds.
func (c *catalogue) objects(kinds ...step.Ref) func(context.Context, string) ([]fault.Target, error) {
	return func(ctx context.Context, selector string) ([]fault.Target, error) {
		namespace, name, ok := strings.Cut(selector, "/")
		if !ok {
			namespace, name = c.Snapshot().Target.Namespace, selector
		}
		if namespace == "" {
			return nil, fault.Refuse("The cluster was not seen yet.", "wait until zdl status shows pods, or name the target as NAMESPACE/NAME")
		}
		var out []fault.Target
		var names []string
		for _, kind := range kinds {
			list, err := c.List(ctx, kind.In(namespace, ""), "", "")
			if err != nil {
				return nil, err
			}
			for i := range list {
				o := &list[i]
				names = append(names, o.GetName())
				if name == "any" || name == "all" || name == o.GetName() {
					out = append(out, fault.Target{Type: strings.ToLower(kind.Kind), Name: namespace + "/" + o.GetName(), UID: string(o.GetUID())})
				}
			}
		}
		if len(out) == 0 {
			hint := "there is none in the namespace " + namespace
			if slices.Sort(names); len(names) > 0 {
				hint = "there are " + strings.Join(names, ", ")
			}
			return nil, fault.Refuse(fmt.Sprintf("No %s matches %q.", strings.ToLower(kinds[0].Kind), selector), hint)
		}
		return sorted(out), nil
	}
}

// refOf is the object that a target found by objects is.
func refOf(t fault.Target, kinds ...step.Ref) step.Ref {
	namespace, name, ok := strings.Cut(t.Name, "/")
	if !ok {
		namespace, name = "", t.Name
	}
	for _, k := range kinds {
		if strings.ToLower(k.Kind) == t.Type {
			return k.In(namespace, name)
		}
	}
	return kinds[0].In(namespace, name)
}

// namespaces finds namespaces that are not the cluster's own, unless one of
// those is named.
func (c *catalogue) namespaces(ctx context.Context, selector string) ([]fault.Target, error) {
	list, err := c.List(ctx, kubeNamespaces, "", "")
	if err != nil {
		return nil, err
	}
	var out []fault.Target
	for i := range list {
		name := list[i].GetName()
		if name == selector || selector == "any" && !systemNamespace(name) {
			out = append(out, fault.Target{Type: "namespace", Name: name, UID: string(list[i].GetUID())})
		}
	}
	return sorted(out), nil
}

func systemNamespace(name string) bool {
	return strings.HasPrefix(name, "kube-") || name == "local-path-storage"
}

// plan makes one step for each target, all done together.
func plan(in fault.Input, one func(t fault.Target) (fault.Step, error)) (fault.Plan, error) {
	var steps []fault.Step
	for _, t := range in.Targets {
		s, err := one(t)
		if err != nil {
			return fault.Plan{}, err
		}
		steps = append(steps, s)
	}
	return fault.Together(steps...), nil
}

// patch is the step of one target whose fields are changed.
func (c *catalogue) patch(ctx context.Context, r step.Ref, proof *step.Proof, fields ...step.Field) (fault.Step, error) {
	p, err := c.NewPatch(ctx, r, proof, fields...)
	if err != nil {
		return nil, err // a nil *Patch must not become a Step
	}
	return p, nil
}

package addon

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// stage is a step of Apply: all objects of one are there before the next begins.
type stage int

const (
	foundations stage = iota // namespaces, and definitions that others need in order to be accepted
	settings                 // everything that only has to exist
	workloads                // what makes pods, so that these find all of the above
	stages
)

// kind is what Apply has to know of a kind of object. Asking the API server for
// it (discovery) would be some thirty requests in the busiest second of a boot.
type kind struct {
	resource   string
	namespaced bool
	stage      stage
}

// kinds are the kinds that manifests may use.
var kinds = map[schema.GroupVersionKind]kind{
	{Group: "", Version: "v1", Kind: "Namespace"}:                                    {"namespaces", false, foundations},
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}: {"customresourcedefinitions", false, foundations},
	{Group: "scheduling.k8s.io", Version: "v1", Kind: "PriorityClass"}:               {"priorityclasses", false, foundations},
	{Group: "", Version: "v1", Kind: "ServiceAccount"}:                               {"serviceaccounts", true, settings},
	{Group: "", Version: "v1", Kind: "ConfigMap"}:                                    {"configmaps", true, settings},
	{Group: "", Version: "v1", Kind: "Secret"}:                                       {"secrets", true, settings},
	{Group: "", Version: "v1", Kind: "Service"}:                                      {"services", true, settings},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}:         {"clusterroles", false, settings},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"}:  {"clusterrolebindings", false, settings},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"}:                {"roles", true, settings},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"}:         {"rolebindings", true, settings},
	{Group: "networking.k8s.io", Version: "v1", Kind: "IngressClass"}:                {"ingressclasses", false, settings},
	{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"}:                     {"ingresses", true, settings},
	{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"}:               {"networkpolicies", true, settings},
	{Group: "storage.k8s.io", Version: "v1", Kind: "StorageClass"}:                   {"storageclasses", false, settings},
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"}:                    {"poddisruptionbudgets", true, settings},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"}:           {"horizontalpodautoscalers", true, settings},
	{Group: "apps", Version: "v1", Kind: "Deployment"}:                               {"deployments", true, workloads},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"}:                                {"daemonsets", true, workloads},
	{Group: "apps", Version: "v1", Kind: "StatefulSet"}:                              {"statefulsets", true, workloads},
	{Group: "batch", Version: "v1", Kind: "Job"}:                                     {"jobs", true, workloads},
	{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"}:             {"apiservices", false, workloads},
}

func kindOf(o *unstructured.Unstructured) (kind, error) {
	k, ok := kinds[o.GroupVersionKind()]
	switch {
	case !ok:
		return kind{}, fmt.Errorf("%s: addons do not know the kind %s", describe(o), o.GroupVersionKind())
	case k.namespaced && o.GetNamespace() == "":
		return kind{}, fmt.Errorf("%s: names no namespace", describe(o))
	case !k.namespaced && o.GetNamespace() != "":
		return kind{}, fmt.Errorf("%s: belongs to no namespace, but names %s", describe(o), o.GetNamespace())
	}
	return k, nil
}

func describe(o *unstructured.Unstructured) string {
	if ns := o.GetNamespace(); ns != "" {
		return fmt.Sprintf("%s %s/%s", o.GetKind(), ns, o.GetName())
	}
	return fmt.Sprintf("%s %s", o.GetKind(), o.GetName())
}

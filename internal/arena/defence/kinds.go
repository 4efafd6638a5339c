package defence

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// StaticPod is the kind of a control plane's own programs: pods that a kubelet
// runs from a file, so that the file is what is changed.
const StaticPod = "StaticPod"

// kind is what has to be known of a kind of object.
type kind struct {
	resource schema.GroupVersionResource
	pods     bool // it has a pod template
	settles  []Condition
}

// kinds are those that a defence may change.
var kinds = map[string]kind{
	"Deployment":          {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, true, []Condition{Rollout}},
	"StatefulSet":         {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}, true, []Condition{Rollout}},
	"DaemonSet":           {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}, true, []Condition{Rollout}},
	"PodDisruptionBudget": {schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}, false, []Condition{Observed}},
	"ConfigMap":           {schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, false, []Condition{Present}},
	"Service":             {schema.GroupVersionResource{Version: "v1", Resource: "services"}, false, []Condition{Present}},
	"Endpoints":           {schema.GroupVersionResource{Version: "v1", Resource: "endpoints"}, false, []Condition{Present}},
	StaticPod:             {schema.GroupVersionResource{Version: "v1", Resource: "pods"}, true, []Condition{Rollout}},
}

func kindNames() []string { return slices.Sorted(maps.Keys(kinds)) }

// ref names an object, or with a Node the file of a StaticPod there.
type ref struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Node      string `json:"node,omitempty"`
}

func (r ref) String() string {
	switch {
	case r.Node != "":
		return fmt.Sprintf("%s on %s", r.Name, r.Node)
	case r.Namespace != "":
		return fmt.Sprintf("%s %s/%s", r.Kind, r.Namespace, r.Name)
	}
	return r.Kind + " " + r.Name
}

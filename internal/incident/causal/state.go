package causal

import (
	"fmt"
	"slices"
	"strings"
)

// State is what is wrong with an entity, from a closed list: a diagnosis is
// compared, not interpreted.
type State string

// StateInfo describes one state.
type StateInfo struct {
	Name  State    `json:"name"`
	Of    []string `json:"of"` // kinds of entities that may be in it
	Means string   `json:"means"`
}

var workloads = []string{"deployment", "statefulset", "daemonset", "pod"}

var webhooks = []string{"validatingwebhookconfiguration", "mutatingwebhookconfiguration"}

// states is the whole list. A state means the same in every scenario.
var states = []StateInfo{
	{"errors", []string{"users"}, "their requests fail"},
	{"slow-answers", []string{"users"}, "their requests take too long"},
	{"certificate-refused", []string{"users"}, "they hang up, because the certificate does not convince them"},

	{"too-few-replicas", []string{"deployment", "statefulset"}, "fewer pods serve than the load needs"},
	{"saturated", workloads, "it gets more work than it can do in time"},
	{"evicted", workloads, "pods were ended by eviction"},
	{"probe-failing", workloads, "probes fail, so pods leave their Service or are restarted"},
	{"oom-killed", workloads, "the kernel ended containers at their memory limit"},
	{"crash-looping", workloads, "containers end again and again, and the kubelet waits longer each time"},
	{"exits-with-error", workloads, "the program ends by itself with an exit code other than 0"},
	{"image-pull-failing", workloads, "an image cannot be pulled"},
	{"unscheduled", workloads, "pods wait for a node"},
	{"not-replaced", workloads, "pods that ended are not replaced"},
	{"limits-missing", workloads, "there are no limits or requests of resources where there must be"},

	{"allows-too-many-evictions", []string{"poddisruptionbudget"}, "it lets so many pods be evicted at once that too few are left"},
	{"blocks-evictions", []string{"poddisruptionbudget"}, "it lets no pod be evicted"},
	{"metric-missing", []string{"horizontalpodautoscaler"}, "the metric by which it is to scale does not exist"},
	{"minimum-too-low", []string{"horizontalpodautoscaler"}, "its minimum leaves too few pods"},
	{"at-maximum", []string{"horizontalpodautoscaler"}, "it would add pods and may not"},
	{"does-not-scale", []string{"horizontalpodautoscaler"}, "it adds no pods although they are needed"},

	{"not-ready", []string{"node"}, "Kubernetes takes it for lost"},
	{"drained", []string{"node"}, "it takes no new pods, and its own were evicted"},
	{"disk-pressure", []string{"node"}, "its kubelet reports DiskPressure"},
	{"memory-pressure", []string{"node"}, "its kubelet reports MemoryPressure, or its kernel kills for memory"},
	{"kubelet-io-timeouts", []string{"node"}, "its kubelet or runtime waits for the disk beyond its deadlines"},
	{"slow-disk", []string{"disk"}, "the disk takes too long for each request"},
	{"full", []string{"disk", "persistentvolume"}, "no space is left"},

	{"partitioned", []string{"link", "machine", "node", "zone"}, "packets do not get through"},
	{"delayed", []string{"link"}, "each request on it takes longer"},
	{"without-leader", []string{"etcd"}, "the member knows no leader"},
	{"without-quorum", []string{"etcd"}, "no majority of the members reach each other"},
	{"slow-requests", []string{"etcd", "apiserver"}, "it answers, but late"},
	{"timing-out", []string{"apiserver"}, "requests to it end without an answer"},
	{"starved", []string{"apiserver", "etcd", "scheduler", "controller-manager", "pod"}, "it gets too little processor time or memory"},
	{"not-reconciling", []string{"controller-manager", "scheduler"}, "it does not do its work"},
	{"not-enforced", []string{"networkpolicy"}, "traffic that it forbids passes, or a change of it has no effect"},

	{"wrong-provisioner", []string{"storageclass"}, "nobody provides volumes under the name that it gives"},
	{"wrong-class", []string{"persistentvolumeclaim"}, "it asks for a storage class that does not exist"},
	{"provisioning-failed", []string{"persistentvolumeclaim"}, "its volume could not be made"},
	{"pending", []string{"persistentvolumeclaim"}, "it waits for its volume"},

	{"out-of-step", []string{"secret", "configmap"}, "what it says is not what the other side knows"},
	{"authentication-refused", []string{"statefulset", "service"}, "it refuses its clients' credentials"},
	{"certificate-expired", []string{"secret"}, "the certificate in it has expired"},
	{"certificate-of-wrong-host", []string{"secret"}, "the certificate in it is for another host"},
	{"certificate-of-unknown-authority", []string{"secret"}, "nobody trusts who signed the certificate in it"},
	{"serves-bad-certificate", []string{"ingress"}, "it presents a certificate that clients refuse"},
	{"routes-all-to-one", []string{"ingress"}, "it sends the paths of all services to one"},
	{"without-route", []string{"ingress"}, "it leads nowhere"},

	{"exhausted", []string{"resourcequota"}, "it is used up"},
	{"creations-refused", []string{"namespace", "deployment", "replicaset", "statefulset"}, "the API server refuses to create its objects"},
	{"hangs", webhooks, "whom it asks does not answer"},
}

// States lists all states, in an order that does not change.
func States() []StateInfo { return slices.Clone(states) }

// StatesOf lists the states that entities of a kind may be in.
func StatesOf(kind string) []State {
	var out []State
	for _, s := range states {
		if slices.Contains(s.Of, kind) {
			out = append(out, s.Name)
		}
	}
	return out
}

// Means says in words what a state is, "" for none of the list.
func (s State) Means() string {
	for _, info := range states {
		if info.Name == s {
			return info.Means
		}
	}
	return ""
}

// CheckState says what is wrong with saying that an entity is in a state, or nil.
func CheckState(e Entity, s State) error {
	if s.Means() == "" {
		return fmt.Errorf("there is no state %.60q; of a %s there are %s", s, e.Kind(), words(StatesOf(e.Kind())))
	}
	if of := StatesOf(e.Kind()); !slices.Contains(of, s) {
		return fmt.Errorf("a %s cannot be %s; it can be %s", e.Kind(), s, words(of))
	}
	return nil
}

func words(list []State) string {
	if len(list) == 0 {
		return "none"
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return strings.Join(out, ", ")
}

// Package cluster holds the words of a Kubernetes cluster as its users and
// attackers see it: zones, nodes, pods, who leads, which endpoints serve. It is
// data and one interface; providers below it (kube for observation, local for
// machines) fill it in, and everything above it reads only this.
package cluster

import (
	"context"
	"net"
	"time"
)

// Cluster is a running Kubernetes cluster.
type Cluster interface {
	// Snapshot is the cluster as last seen, never nil slices where JSON shows
	// lists. It costs microseconds and may be called at will.
	Snapshot() Snapshot
	// Changed gives a channel that is closed at the next change of the snapshot.
	// Take the channel first, then the snapshot, and no change is missed.
	Changed() <-chan struct{}
	// DeletePod deletes exactly the pod with that UID. A zero grace removes it
	// at once (kubectl delete --grace-period=0 --force); a negative grace
	// leaves the pod its own terminationGracePeriodSeconds. The error is
	// ErrGone if that pod no longer exists.
	DeletePod(ctx context.Context, namespace, name, uid string, grace time.Duration) error
	// EvictPod asks for eviction, which PodDisruptionBudgets may refuse
	// (ErrDisruptionBudget).
	EvictPod(ctx context.Context, namespace, name, uid string) error
	// DialUsers connects as a user would, from outside the cluster.
	DialUsers(ctx context.Context, network, addr string) (net.Conn, error)
	// Capabilities lists what can be done to this cluster.
	Capabilities() []Capability
}

// Capability is something a provider may be able to do.
type Capability string

const (
	CapabilityAPI   Capability = "api"   // change objects through the API server
	CapabilityPower Capability = "power" // cut and restore a node's power
	CapabilityLink  Capability = "link"  // unplug and plug network cables
	CapabilityDisk  Capability = "disk"  // disturb a node's disk
	CapabilityExec  Capability = "exec"  // run a command on a node
)

// Error is a sentinel of this package.
type Error string

func (e Error) Error() string { return string(e) }

const (
	// ErrGone means that the object with that UID no longer exists.
	ErrGone Error = "it no longer exists"
	// ErrDisruptionBudget means that a PodDisruptionBudget refused an eviction.
	ErrDisruptionBudget Error = "its PodDisruptionBudget allows no disruption now"
)

// Snapshot is the whole view at one moment.
type Snapshot struct {
	// Version grows with each change; equal versions are equal snapshots
	// except for AgeMS, Stale and when leaders renewed their leases.
	Version int64 `json:"version"`
	// Synced tells whether the API server was ever read completely.
	Synced bool `json:"synced"`
	// Stale means that the API server has not confirmed this view for more
	// than StaleAfter. The cluster may look different by now.
	Stale bool `json:"stale"`
	// AgeMS is how long ago the view was last known to be current, in ms.
	AgeMS int64 `json:"ageMs"`
	// Trouble says in one sentence why the view is stale, or "".
	Trouble string `json:"trouble,omitempty"`

	Zones     []Zone     `json:"zones"`
	System    []Pod      `json:"system"`    // pods that are not the target's, by namespace and name
	Pending   []Pod      `json:"pending"`   // target pods without a node yet
	Leaders   []Leader   `json:"leaders"`   // scheduler and controller manager; etcd where it can be seen
	Endpoints []Endpoint `json:"endpoints"` // the target Service's backends
	Machines  []Machine  `json:"machines"`  // machines that are not nodes: load balancers, routers; empty on clusters of others
	Target    Target     `json:"target"`

	// When the last change of any pod and of any endpoint was heard of, zero if
	// unknown.
	PodsSeen, EndpointsSeen time.Time `json:"-"`
}

// StaleAfter is the silence of the API server after which a view counts as
// stale: two heartbeats of one second and their answer time.
const StaleAfter = 2500 * time.Millisecond

// Target names the service under attack.
type Target struct {
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	Selector  string `json:"selector"` // label selector of its pods
	Desired   int    `json:"desired"`  // replicas asked for; 0 when unknown
	Ready     int    `json:"ready"`    // pods ready now
}

// Zone is a failure domain: the nodes that share topology.kubernetes.io/zone.
type Zone struct {
	Name  string `json:"name"` // "" when nodes carry no zone label
	Nodes []Node `json:"nodes"`
}

// Node is one Kubernetes node.
type Node struct {
	Name          string    `json:"name"`
	Zone          string    `json:"zone"`
	Roles         []string  `json:"roles"` // from node-role.kubernetes.io/ labels; empty for a worker
	ControlPlane  bool      `json:"controlPlane"`
	Ready         bool      `json:"ready"`
	Reason        string    `json:"reason,omitempty"`    // of the Ready condition when it is not True
	ReadySince    time.Time `json:"readySince,omitzero"` // since when Ready is as it is, by the object, in whole seconds
	Taints        []string  `json:"taints,omitempty"`    // KEY=VALUE:EFFECT, sorted
	Unschedulable bool      `json:"unschedulable,omitempty"`
	Address       string    `json:"address"` // InternalIP
	Power         Power     `json:"power"`
	Version       string    `json:"version"` // kubelet's
	UID           string    `json:"uid"`
	// Seen is when the object's last change was heard of, zero if unknown.
	Seen   time.Time `json:"-"`
	Pods   []Pod     `json:"pods"`   // the target's pods on it
	System int       `json:"system"` // count of other pods on it
}

// Power is the state of a machine's power switch.
type Power string

const (
	PowerUnknown Power = ""       // a cluster without power switches
	PowerOn      Power = "on"     //
	PowerOff     Power = "off"    //
	PowerFrozen  Power = "frozen" // hung: nothing on it runs, nothing died
)

// Machine is a machine of the lab that is not a Kubernetes node.
type Machine struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"` // edge, router, outside
	Address string   `json:"address"`
	Power   Power    `json:"power"`
	Holds   []string `json:"holds,omitempty"` // virtual IPs it answers for at present: "users", "api" or an address
}

// Pod is one pod.
type Pod struct {
	Namespace  string    `json:"namespace"`
	Name       string    `json:"name"`
	UID        string    `json:"uid"`
	Node       string    `json:"node"`
	App        string    `json:"app"` // label app.kubernetes.io/name, app, k8s-app or component; else ""
	IP         string    `json:"ip,omitempty"`
	Role       string    `json:"role,omitempty"`   // of a database's member, by its label: RolePrimary, RoleReplica; that of a dead node says what it was
	Phase      string    `json:"phase"`            // Pending, Running, Succeeded, Failed, Unknown
	Reason     string    `json:"reason,omitempty"` // of a waiting container or the pod: CrashLoopBackOff, …
	Ready      bool      `json:"ready"`
	ReadySince time.Time `json:"readySince,omitzero"` // since when Ready is as it is, by the object, in whole seconds
	Restarts   int32     `json:"restarts"`
	Created    time.Time `json:"created"`
	Started    time.Time `json:"started,omitzero"`
	Seen       time.Time `json:"-"`                 // when its last change was heard of, zero if unknown
	Deleting   time.Time `json:"deleting,omitzero"` // when deletion was asked for; zero while it may live
}

// Etcd is the component whose leader is no lease's holder.
const Etcd = "etcd"

// Leader is the holder of a leader-election lease.
type Leader struct {
	Component string    `json:"component"` // kube-scheduler, kube-controller-manager, etcd
	Holder    string    `json:"holder"`    // holder identity up to the first "_": the node's name on kubeadm clusters
	Since     time.Time `json:"since"`     // when it acquired the lease; etcd has none
	Renewed   time.Time `json:"renewed"`
	Changes   int32     `json:"changes"` // leaseTransitions
}

// Endpoint is one backend of the target's Service.
type Endpoint struct {
	Address     string `json:"address"`
	Pod         string `json:"pod"`
	Node        string `json:"node,omitempty"`
	Ready       bool   `json:"ready"`
	Serving     bool   `json:"serving"`
	Terminating bool   `json:"terminating"`
}

// Package step holds the mechanisms by which faults change the world: cut a
// machine's power, freeze a control group, drop packets, shape a link, run a
// process, replace a file, patch an object. Each is a fault.Step: data that is
// written down before anything is touched, and four verbs.
//
// Adding one: a struct whose exported fields say what to do and how to undo it,
// the methods of fault.Step, and a line in New.
package step

import (
	"log/slog"
	"sync"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"zdl/internal/cluster"
	"zdl/internal/cluster/local"
	"zdl/internal/fault"
)

// World is what steps reach.
type World struct {
	// Local is the lab's own machines and network; nil on clusters of others.
	Local *local.Cluster
	// Config gives access to the API server. Calls fail while that does not
	// answer, and Config itself may fail before the first boot is through.
	Config func() (*rest.Config, error)
	// Snapshot is the cluster as last seen; not Synced until it was.
	Snapshot func() cluster.Snapshot
	// Capabilities is what can be done to this cluster.
	Capabilities []cluster.Capability
	// Dir is a directory that survives the daemon and a reboot, for what steps
	// must keep to undo.
	Dir string
	// Init is the path of the program zdl-init, which runs helpers in machines.
	Init string
	Log  *slog.Logger

	once   sync.Mutex
	client kubernetes.Interface
	shapes shapes
	// objects is beside client, for kinds that are named by data.
	objects dynamic.Interface

	helpers helpers
}

// Kube speaks to the API server through its virtual IP.
func (w *World) Kube() (kubernetes.Interface, error) {
	w.once.Lock()
	defer w.once.Unlock()
	if w.client != nil {
		return w.client, nil
	}
	config, err := w.Config()
	if err != nil {
		return nil, err
	}
	w.client, err = kubernetes.NewForConfig(config)
	return w.client, err
}

// Mechanics makes empty steps that are bound to this world.
func (w *World) Mechanics(mechanism string) fault.Step {
	switch mechanism {
	case "dns":
		return &DNS{w: w}
	case "health-check":
		return &HealthCheck{w: w}
	case "tcp-delay":
		return &TCPDelay{w: w}
	case "drop":
		return &Drop{w: w}
	case "link":
		return &Link{w: w}
	case "shape":
		return &Shape{w: w}
	case "power":
		return &Power{w: w}
	case "freeze":
		return &Freeze{w: w}
	case "kill":
		return &Kill{w: w}
	case "no-quorum":
		return &NoQuorum{w: w}
	case "pod-delete":
		return &PodDelete{w: w}
	case "pod-image":
		return &PodImage{w: w}
	case "reboot":
		return &Reboot{w: w}
	case "service-stop":
		return &ServiceStop{w: w}
	case "switchover":
		return &Switchover{w: w}
	case "vip-flap":
		return &VIPFlap{w: w}
	case "patch":
		return &Patch{w: w}
	case "create":
		return &Create{w: w}
	case "delete":
		return &Delete{w: w}
	case "rollout":
		return &Rollout{w: w}
	case "drain":
		return &Drain{w: w}
	case "lease":
		return &Lease{w: w}
	case "file":
		return &File{w: w}
	case "stress":
		return &Stress{w: w}
	case "fill":
		return &Fill{w: w}
	case "throttle":
		return &Throttle{w: w}
	case "pid-limit":
		return &PIDLimit{w: w}
	case "disk-error":
		return &DiskError{w: w}
	case "cpu-quota":
		return &CPUQuota{w: w}
	case "alarm":
		return &Alarm{w: w}
	case "member-loss":
		return &MemberLoss{w: w}
	case "ingress-certificate":
		return &IngressCertificate{Patch: Patch{w: w}}
	case "certificate":
		return &Certificate{File: File{w: w}}
	}
	return nil
}

// Package labfile is the description of a lab: which zones and machines it has,
// how big they are and which timings it runs with. It is what `-f lab.yaml`
// holds, what a profile stands for and what `zdl up --print-config` prints.
package labfile

// Lab is one lab as its file describes it. A Lab that came from Parse or
// Profile is complete and valid: every default is filled in.
type Lab struct {
	APIVersion string `yaml:"apiVersion" json:"apiVersion"` // "zdl/v1"
	Kind       string `yaml:"kind" json:"kind"`             // "Lab"
	// Timing chooses the failure clock of Kubernetes: "realistic" keeps the
	// defaults of kubeadm, "fast" shortens leases and grace periods,
	// "patient" lengthens them for machines that are many times slower.
	Timing Timing `yaml:"timing" json:"timing"`
	// Zones are the failure domains, 1 to 5, each a switch and a subnet.
	Zones []string `yaml:"zones" json:"zones"`
	// Edge is the number of load balancer machines, 1 or 2.
	Edge int `yaml:"edge" json:"edge"`
	// Routers is the number of routers between the zones, 1 or 2.
	Routers int `yaml:"routers" json:"routers"`
	// Nodes are the Kubernetes nodes. 1, 3 or 5 of them are control planes,
	// and each control plane holds one etcd member.
	Nodes []Node `yaml:"nodes" json:"nodes"`
	// Replicas of the target service, 1 to 9.
	Replicas int `yaml:"replicas" json:"replicas"`
}

// Timing names a profile of failure-detection timings.
type Timing string

const (
	Realistic Timing = "realistic"
	Fast      Timing = "fast"
	Patient   Timing = "patient"
)

// Slowness is by how much longer the lab's own checks, polls and time-outs are
// than on a machine of usual speed: 10 with "patient", else 1.
func (t Timing) Slowness() int {
	if t == Patient {
		return 10
	}
	return 1
}

// Timings lists the profiles of timings.
func Timings() []string { return []string{string(Realistic), string(Fast), string(Patient)} }

// Role is what a node is for.
type Role string

const (
	ControlPlane Role = "control-plane"
	Worker       Role = "worker"
)

// Node is one Kubernetes node.
type Node struct {
	Name   string            `yaml:"name" json:"name"` // RFC 1123 label, 1 to 40 characters
	Role   Role              `yaml:"role" json:"role"`
	Zone   string            `yaml:"zone" json:"zone"`     // one of Lab.Zones
	Memory string            `yaml:"memory" json:"memory"` // Kubernetes quantity, 512Mi or more
	CPUs   int               `yaml:"cpus" json:"cpus"`     // 1 to 64; shares and limit of the machine
	Disk   string            `yaml:"disk" json:"disk"`     // Kubernetes quantity, 1Gi or more; sparse
	Labels map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
	Taints []Taint           `yaml:"taints,omitempty" json:"taints,omitempty"`
}

// Taint is a Kubernetes taint.
type Taint struct {
	Key    string `yaml:"key" json:"key"`
	Value  string `yaml:"value,omitempty" json:"value,omitempty"`
	Effect string `yaml:"effect" json:"effect"` // NoSchedule, PreferNoSchedule or NoExecute
}

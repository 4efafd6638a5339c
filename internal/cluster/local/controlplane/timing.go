package controlplane

import "zdl/internal/labfile"

// Timing is the failure clock of a cluster: how long Kubernetes takes to notice
// that something is gone. Durations are in the notation of Go and of the flags.
type Timing struct {
	LeaseDuration, RenewDeadline string // leader election of scheduler and controller manager
	RetryPeriod                  string // between attempts to get or renew the lease
	NodeMonitorPeriod            string // how often the controller manager looks at the nodes
	NodeMonitorGrace             string // silence after which a node is NotReady
	NodeLeaseSeconds             int    // kubelet's lease; it renews after a quarter of it
	NodeStatusFrequency          string // kubelet's status update
	TolerationSeconds            int    // how long pods stay on a node that is NotReady or unreachable
}

// Timings gives the failure clock of a profile. "realistic" is Kubernetes 1.36's
// own: pkg/controller/nodelifecycle/config (50 s grace, 5 s period),
// component-base/config/v1alpha1 (15/10/2 s leases), pkg/kubelet/apis/config/v1beta1
// (40 s node lease) and plugin/pkg/admission/defaulttolerationseconds (300 s).
// "fast" shortens each by about a factor of five for lessons and tests, at the
// price of more requests while idle. "patient" is for machines that are many
// times slower: under emulation an API server takes longer to answer than the
// controller manager waits before it gives up its lease.
func Timings(t labfile.Timing) Timing {
	switch t {
	case labfile.Patient:
		return Timing{
			LeaseDuration: "60s", RenewDeadline: "50s", RetryPeriod: "5s",
			NodeMonitorPeriod: "5s", NodeMonitorGrace: "200s",
			NodeLeaseSeconds: 160, NodeStatusFrequency: "30s", TolerationSeconds: 300,
		}
	case labfile.Fast:
		return Timing{
			LeaseDuration: "4s", RenewDeadline: "3s", RetryPeriod: "1s",
			NodeMonitorPeriod: "1s", NodeMonitorGrace: "8s",
			NodeLeaseSeconds: 6, NodeStatusFrequency: "2s", TolerationSeconds: 5,
		}
	}
	return Timing{
		LeaseDuration: "15s", RenewDeadline: "10s", RetryPeriod: "2s",
		NodeMonitorPeriod: "5s", NodeMonitorGrace: "50s",
		NodeLeaseSeconds: 40, NodeStatusFrequency: "10s", TolerationSeconds: 300,
	}
}

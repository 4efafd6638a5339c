package catalogue

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/tcpfault"
	"zdl/internal/topology"
)

// connections lists the faults with a relay in the way of TCP connections.
func (c *catalogue) connections() []fault.Kind {
	return []fault.Kind{{
		Name: "apiserver-etcd-delay", Layer: fault.LayerControlPlane,
		Summary: "A relay between an API server and the etcd member beside it delays every request; whatever else connects to 127.0.0.1:2379 there is delayed too.",
		Effect:  "Writes and consistent reads through this API server are slower by the delay or more; its watches lag.",
		Targets: "control-plane", TargetHelp: "CONTROL-PLANE, or any", Find: c.kindOf(topology.KindControlPlane, "control-plane"),
		Params: []fault.Param{{Name: "latency", Type: fault.Duration, Default: "50ms", Min: "1ms", Max: "10s", Help: "added to each round trip"}},
		Needs:  []cluster.Capability{cluster.CapabilityLink},
		Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
			var plan fault.Plan
			for _, t := range in.Targets {
				if !c.Local.Powered(t.Name) {
					return plan, fault.Refuse(fmt.Sprintf("%s is off.", t.Name), "power it on first")
				}
				plan = withStep(plan, c.NewTCPDelay(t.Name, "API server to etcd", tcpfault.Config{
					Server: etcdClient, Latency: in.Values.Duration("latency"), Table: tableName(in),
				}))
			}
			plan.Patience = 4*in.Values.Duration("latency") + 10*time.Second
			return plan, nil
		},
	}}
}

// etcdClient is where kubeadm's API servers find their etcd.
var etcdClient = netip.MustParseAddrPort("127.0.0.1:2379")

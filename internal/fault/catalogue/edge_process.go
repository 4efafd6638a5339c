package catalogue

import (
	"context"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// edgeHelp is about load balancers.
const edgeHelp = "LOAD-BALANCER, any, or holder: the one that has the users' virtual IP"

// edgeProcesses lists the faults of what runs on load balancers.
func (c *catalogue) edgeProcesses() []fault.Kind {
	needs := []cluster.Capability{cluster.CapabilityExec}
	alone := ""
	if c.Local != nil && len(c.Local.Topology.Of(topology.KindEdge)) < 2 {
		alone = "this lab has a single load balancer, so its virtual IPs cannot move; the profile ha has two"
	}
	return []fault.Kind{
		{
			Name: "lb-process-kill", Layer: fault.LayerEdge, Instant: true,
			Summary: "SIGKILL HAProxy on a load balancer.",
			Effect:  "Every connection through it is reset and new ones are refused until its supervisor has started it again, after about 0.3 s; the virtual IPs stay.",
			Targets: "load-balancer", TargetHelp: edgeHelp, DefaultTarget: "holder",
			Find: c.onMachines("load-balancer", c.holder("users"), topology.KindEdge), Needs: needs,
			Plan: eachTarget(func(ctx context.Context, _ fault.Input, t fault.Target) (fault.Step, error) {
				if err := c.needOn(t.Name); err != nil {
					return nil, err
				}
				return c.NewServiceKill(ctx, t.Name, "haproxy")
			}),
		},
		{
			Name: "vip-flap", Layer: fault.LayerEdge, Unavailable: alone,
			Summary: "Move the virtual IPs between the load balancers again and again, by restarting keepalived on the one that holds them.",
			Effect:  "At each move connections through the old one break, and clients learn the new one by gratuitous ARP.",
			Params: []fault.Param{{Name: "interval", Type: fault.Duration, Default: "5s", Min: "500ms", Max: "5m",
				Help: "time between the beginnings of two moves"}},
			Needs: needs,
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				var names []string
				for _, m := range c.Local.Topology.Of(topology.KindEdge) {
					if err := c.needOn(m.Name); err != nil {
						return fault.Plan{}, err
					}
					names = append(names, m.Name)
				}
				return fault.Together(c.NewVIPFlap(names, in.Values.Duration("interval"))), nil
			},
		},
	}
}

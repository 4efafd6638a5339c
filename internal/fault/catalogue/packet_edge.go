package catalogue

import (
	"context"
	"errors"

	"zdl/internal/cluster"
	"zdl/internal/cluster/local"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// backends are HAProxy's names for what stands behind the virtual IPs.
var backends = map[string]string{"api": "apiservers", "ingress": "ingress"}

// balancing lists the faults of load balancing.
func (c *catalogue) balancing() []fault.Kind {
	return []fault.Kind{{
		Name: "backend-healthcheck-blind", Layer: fault.LayerEdge,
		Summary: "All load balancers stop checking the health of the servers behind a virtual IP, by HAProxy's runtime API.",
		Effect:  "Nothing, until a server fails: then its share of connections goes to it still, and fails or is tried again elsewhere.",
		Targets: "backend", TargetHelp: "ingress (behind the users' virtual IP), api (behind the API servers'), or any",
		Needs: []cluster.Capability{cluster.CapabilityLink},
		Find: func(_ context.Context, selector string) ([]fault.Target, error) {
			var out []fault.Target
			for _, name := range []string{"api", "ingress"} {
				if selector == name || selector == "any" {
					out = append(out, fault.Target{Type: "backend", Name: name})
				}
			}
			return out, nil
		},
		Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			var plan fault.Plan
			for _, t := range in.Targets {
				for _, m := range c.Local.Topology.Of(topology.KindEdge) {
					s, err := c.NewHealthCheck(ctx, m.Name, backends[t.Name])
					if errors.Is(err, local.ErrNoHAProxy) {
						continue
					}
					if err != nil {
						return plan, err
					}
					plan = withStep(plan, s)
				}
			}
			if len(plan.Stages) == 0 {
				return plan, fault.Refuse("No load balancer runs.", "power one on first")
			}
			return plan, nil
		},
	}}
}

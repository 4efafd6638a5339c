package catalogue

import (
	"context"

	"zdl/internal/cluster"
	"zdl/internal/fault"
)

// power lists the faults of power switches.
func (c *catalogue) power() []fault.Kind {
	return []fault.Kind{
		{
			Name: "node-power-off", Layer: fault.LayerNode,
			Summary: "Cut a node's power: its link goes, then every process at once; unsynced data is lost.",
			Effect:  "Connections to it hang until timeouts; Kubernetes notices after the node-monitor grace period.",
			Targets: "node", TargetHelp: machineHelp, Find: c.machines,
			Needs: []cluster.Capability{cluster.CapabilityPower},
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				var steps []fault.Step
				for _, t := range in.Targets {
					steps = append(steps, c.NewPower(t.Name))
				}
				return fault.Together(steps...), nil
			},
		},
	}
}

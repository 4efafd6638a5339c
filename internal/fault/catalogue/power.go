package catalogue

import (
	"context"
	"fmt"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// power lists the faults of power switches.
func (c *catalogue) power() []fault.Kind {
	needs := []cluster.Capability{cluster.CapabilityPower}
	return []fault.Kind{
		{
			Name: "node-power-off", Layer: fault.LayerNode,
			Summary: "Cut a node's power: its link goes, then every process at once; unsynced data is lost.",
			Effect:  "Connections to it hang until timeouts; Kubernetes notices after the node-monitor grace period.",
			Targets: "node", TargetHelp: machineHelp, Find: c.machines,
			Needs: needs, Plan: eachTarget(c.powerOff),
		},
		{
			Name: "node-reboot", Layer: fault.LayerNode, Instant: true,
			Summary: "Cut a node's power and switch it on again at once, with the same disk, name and address.",
			Effect:  "Its containers start anew; connections to it are reset when it is back. It is Ready again within seconds.",
			Targets: "node", TargetHelp: machineHelp, Find: c.machines,
			Needs: needs,
			Plan: eachTarget(func(_ context.Context, _ fault.Input, t fault.Target) (fault.Step, error) {
				if c.Local.PowerState(t.Name) == cluster.PowerOff {
					return nil, fault.Refuse(t.Name+" is off, so it cannot be rebooted.", "zdl node power-on "+t.Name)
				}
				return c.NewReboot(t.Name)
			}),
		},
		{
			Name: "zone-power-off", Layer: fault.LayerZone,
			Summary: "Cut the power of every machine of a zone at the same time.",
			Effect:  "All that runs in the zone is gone; etcd members, API servers and pods of the other zones have to do.",
			Targets: "zone", TargetHelp: zoneHelp, Find: c.labZones,
			Needs: needs, Plan: c.zonePowerOff,
		},
		{
			Name: "edge-power-off", Layer: fault.LayerEdge,
			Summary: "Cut the power of a load balancer.",
			Effect:  "The other one takes the virtual IPs over; connections through the lost one hang until they time out.",
			Targets: "load-balancer", TargetHelp: edgeHelp, DefaultTarget: "holder",
			Find:  c.onMachines("load-balancer", c.holder("users"), topology.KindEdge),
			Needs: needs, Plan: eachTarget(c.powerOff),
		},
		{
			Name: "router-down", Layer: fault.LayerNetwork,
			Summary: "Cut the power of a router.",
			Effect:  "The other one takes the gateway addresses of all segments over; until then nothing crosses between zones, edge and outside.",
			Targets: "router", TargetHelp: "ROUTER, any, or holder: the one that has the gateway addresses", DefaultTarget: "holder",
			Find:  c.onMachines("router", c.holder("gateways"), topology.KindRouter),
			Needs: needs, Plan: eachTarget(c.powerOff),
		},
	}
}

func (c *catalogue) powerOff(_ context.Context, _ fault.Input, t fault.Target) (fault.Step, error) {
	if c.Local.PowerState(t.Name) == cluster.PowerOff {
		return nil, fault.Refuse(t.Name+" is off already.", "zdl status shows the machines; zdl node power-on "+t.Name)
	}
	return c.NewPower(t.Name), nil
}

// labZones finds failure domains without the API server.
func (c *catalogue) labZones(_ context.Context, selector string) ([]fault.Target, error) {
	var out []fault.Target
	for _, s := range c.Local.Topology.Segments {
		if s.Zone && (selector == "any" || selector == s.Name) {
			out = append(out, fault.Target{Type: "zone", Name: s.Name, Zone: s.Name})
		}
	}
	return sorted(out), nil
}

// zonePowerOff leaves out what is off already.
func (c *catalogue) zonePowerOff(_ context.Context, in fault.Input) (fault.Plan, error) {
	var steps []fault.Step
	for _, t := range in.Targets {
		before := len(steps)
		for _, m := range c.Local.Topology.Nodes() {
			if m.Zone == t.Name && c.Local.PowerState(m.Name) != cluster.PowerOff {
				steps = append(steps, c.NewPower(m.Name))
			}
		}
		if len(steps) == before {
			return fault.Plan{}, fault.Refuse(fmt.Sprintf("Every machine of %s is off already.", t.Name), "zdl status shows the machines")
		}
	}
	return fault.Together(steps...), nil
}

// holder resolves the word "holder" to the machine that has a virtual IP.
func (c *catalogue) holder(purpose string) func(context.Context, string) (string, error) {
	return func(_ context.Context, word string) (string, error) {
		if word != "holder" {
			return "", nil
		}
		name := c.Local.Holder(purpose)
		if name == "" {
			return "", fault.Refuse(fmt.Sprintf("Nobody holds the virtual IP of the %s at this moment.", purpose), "name a machine, or any")
		}
		return name, nil
	}
}

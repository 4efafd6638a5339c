package catalogue

import (
	"context"
	"fmt"
	"strings"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// links lists the faults of cables and switches.
func (c *catalogue) links() []fault.Kind {
	needs := []cluster.Capability{cluster.CapabilityLink}
	port := fault.Param{Name: "port", Type: fault.Text, Default: "all", Help: "all, or one port of the machine: eth0; routers have one for each switch"}
	return []fault.Kind{
		{
			Name: "node-link-down", Layer: fault.LayerNode,
			Summary: "Pull a machine's network cable at the switch: its carrier is lost, its processes live on.",
			Effect:  "Nobody reaches it and it reaches nobody; open connections stall; traffic returns as soon as it is undone.",
			Targets: "machine", TargetHelp: machineHelp, Find: c.machines, Params: []fault.Param{port}, Needs: needs,
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				return c.pull(in, c.NewLink)
			},
		},
		{
			Name: "link-flap", Layer: fault.LayerNetwork,
			Summary: "A flapping link: a machine's cable is pulled and connected again and again.",
			Effect:  "Latency spikes and resets; health checks and elections that are too eager never come to rest.",
			Targets: "machine", TargetHelp: machineHelp, Find: c.machines,
			Params: []fault.Param{
				{Name: "down", Type: fault.Duration, Default: "1s", Min: "20ms", Max: "5m", Help: "how long it is down each time"},
				{Name: "up", Type: fault.Duration, Default: "2s", Min: "20ms", Max: "5m", Help: "how long it is up between"},
				port,
			},
			Needs: needs,
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				down, up := in.Values.Duration("down"), in.Values.Duration("up")
				return c.pull(in, func(machine, port string) (fault.Step, error) { return c.NewFlap(machine, port, down, up) })
			},
		},
		{
			Name: "zone-switch-down", Layer: fault.LayerZone,
			Summary: "A zone's switch fails: every machine of the zone loses its carrier at once. The routers' ports there stay, for keepalived would give up all gateways with one.",
			Effect:  "The machines of the zone are alone, each for itself; unlike with zone-isolate they do not reach each other either.",
			Targets: "zone", TargetHelp: zoneHelp, Find: c.zones, Needs: needs,
			Plan: c.switchesDown,
		},
	}
}

// pull plans a step for each chosen port of each target.
func (c *catalogue) pull(in fault.Input, step func(machine, port string) (fault.Step, error)) (fault.Plan, error) {
	var plan fault.Plan
	for _, t := range in.Targets {
		ports, err := portsOf(c.Local.Topology.Machine(t.Name), in.Values.Text("port"))
		if err != nil {
			return plan, err
		}
		for _, port := range ports {
			s, err := step(t.Name, port)
			if err != nil {
				return plan, err
			}
			plan = withStep(plan, s)
		}
	}
	return plan, nil
}

func portsOf(m *topology.Machine, wanted string) ([]string, error) {
	var out, all []string
	for _, p := range m.Ports {
		all = append(all, p.Name)
		if wanted == "all" || wanted == p.Name {
			out = append(out, p.Name)
		}
	}
	if len(out) == 0 {
		return nil, fault.Refuse(fmt.Sprintf("%s has no port %q.", m.Name, wanted), "all, or one of "+strings.Join(all, ", "))
	}
	return out, nil
}

func (c *catalogue) switchesDown(_ context.Context, in fault.Input) (fault.Plan, error) {
	var plan fault.Plan
	nodes, struck := 0, 0
	for i := range c.Local.Topology.Machines {
		m := &c.Local.Topology.Machines[i]
		if !m.IsNode() {
			continue
		}
		nodes++
		for _, t := range in.Targets {
			if m.Zone != t.Name {
				continue
			}
			struck++
			s, err := c.NewLink(m.Name, m.Ports[0].Name)
			if err != nil {
				continue // it is off, and has no link
			}
			plan = withStep(plan, s)
		}
	}
	if struck == nodes && !in.Force {
		return plan, fault.Refuse("This would cut off every node of the lab.", "fewer zones; --force if you mean it")
	}
	if len(plan.Stages) == 0 {
		return plan, fault.Refuse("Every machine of the zone is off.", "power one on first")
	}
	return plan, nil
}

package catalogue

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// sideHelp is for the two sides of a partition.
const sideHelp = "MACHINE, a group (workers, control-planes, nodes, load-balancers, routers), zone=ZONE, or several with commas: together one side"

// packets lists the faults that cut the network in two.
func (c *catalogue) packets() []fault.Kind {
	link := []cluster.Capability{cluster.CapabilityLink}
	direction := fault.Param{Name: "direction", Type: fault.Choice, Choices: []string{"both", "to", "from"}, Default: "both",
		Help: "what is stopped: both ways, only what goes to the other side, or only what comes from it"}
	action := fault.Param{Name: "action", Type: fault.Choice, Choices: []string{"drop", "reject"}, Default: "drop",
		Help: "drop: senders hear nothing and wait; reject: they are told at once (TCP reset, ICMP port unreachable)"}
	return []fault.Kind{
		{
			Name: "partition", Layer: fault.LayerNetwork,
			Summary: "Stop every packet between two sets of machines, and their pods, in the switches (nftables).",
			Effect:  "Each side works on alone and takes the other for dead; open connections stall or are reset.",
			Targets: "machines", TargetHelp: sideHelp, Find: c.side,
			Params: []fault.Param{
				{Name: "with", Type: fault.Text, Default: "rest", Help: "the other side: " + sideHelp + "; rest: all other machines except routers and outside"},
				direction, action,
			},
			Needs: link, Plan: c.partition,
		},
		{
			Name: "zone-isolate", Layer: fault.LayerZone,
			Summary: "Stop every packet between a zone's machines and all others; inside the zone the network works.",
			Effect:  "The zone lives on alone: its nodes become NotReady, its etcd member loses the quorum, load balancers take its servers out.",
			Targets: "zone", TargetHelp: zoneHelp, Find: c.zones, Params: []fault.Param{action},
			Needs: link, Plan: c.isolateZones,
		},
		{
			Name: "etcd-leader-isolate", Layer: fault.LayerEtcd,
			Summary: "Stop the etcd leader's traffic with the other members (TCP port 2380), new and open connections, both ways.",
			Effect:  "The others elect a new leader after the election timeout; writes through the old one hang until it steps down.",
			Needs:   link, Plan: c.isolateEtcdLeader,
		},
		{
			Name: "pod-network-partition", Layer: fault.LayerPod,
			Summary: "Stop a pod's packets with chosen peers on its node, behind the translation of Service addresses.",
			Effect:  "The pod runs on but cannot be reached, or cannot reach what it needs; with peer=all its probes fail too.",
			Targets: "pod", TargetHelp: podHelp, Find: c.pods,
			Params: []fault.Param{
				{Name: "peer", Type: fault.Text, Default: "all", Help: "all, an address range such as 198.19.3.0/24, or pods: " + podHelp},
				direction, action,
			},
			Needs: link, Plan: c.partitionPods,
		},
	}
}

// side finds a set of machines as one target: a partition is between all of both
// sides, whatever the mode.
func (c *catalogue) side(ctx context.Context, selector string) ([]fault.Target, error) {
	found, err := c.machines(ctx, selector)
	if err != nil {
		return nil, err
	}
	t := fault.Target{Type: "machines", Name: selector}
	if len(found) == 1 {
		t = found[0]
		t.Type = "machines"
	}
	return []fault.Target{t}, nil
}

// machinesNamed resolves a side to machines.
func (c *catalogue) machinesNamed(ctx context.Context, selector string) ([]*topology.Machine, error) {
	found, err := c.machines(ctx, selector)
	var out []*topology.Machine
	for _, t := range found {
		out = append(out, c.Local.Topology.Machine(t.Name))
	}
	return out, err
}

// others lists the machines that are not among some, without those of the kinds.
func (c *catalogue) others(some []*topology.Machine, without ...topology.Kind) []*topology.Machine {
	var out []*topology.Machine
	for i := range c.Local.Topology.Machines {
		if m := &c.Local.Topology.Machines[i]; !slices.Contains(some, m) && !slices.Contains(without, m.Kind) {
			out = append(out, m)
		}
	}
	return out
}

func (c *catalogue) partition(ctx context.Context, in fault.Input) (fault.Plan, error) {
	a, err := c.machinesNamed(ctx, in.Targets[0].Name)
	if err != nil {
		return fault.Plan{}, err
	}
	with := in.Values.Text("with")
	var b []*topology.Machine
	if with == "rest" {
		b = c.others(a, topology.KindRouter, topology.KindOutside)
	} else if b, err = c.machinesNamed(ctx, with); err != nil {
		return fault.Plan{}, err
	}
	for _, m := range a {
		if slices.Contains(b, m) {
			return fault.Plan{}, fault.Refuse(fmt.Sprintf("%s is on both sides of the partition.", m.Name), "with= takes other machines than the target; rest is all others")
		}
	}
	if len(b) == 0 {
		return fault.Plan{}, fault.Refuse("There is nothing on the other side.", "with= takes "+sideHelp)
	}
	for _, m := range slices.Concat(a, b) {
		if m.Kind == topology.KindOutside && !in.Force {
			return fault.Plan{}, fault.Refuse("This partition would cut off outside, which the lab itself stands on.", "choose other machines; --force if you mean it")
		}
	}
	return c.cutBetween(in, in.Targets[0].Name+" and "+with, a, b, 0)
}

func (c *catalogue) isolateZones(_ context.Context, in fault.Input) (fault.Plan, error) {
	var a []*topology.Machine
	var names []string
	for i := range c.Local.Topology.Machines {
		m := &c.Local.Topology.Machines[i]
		if slices.ContainsFunc(in.Targets, func(t fault.Target) bool { return t.Name == m.Zone }) {
			a = append(a, m)
		}
	}
	for _, t := range in.Targets {
		names = append(names, t.Name)
	}
	b := c.others(a, topology.KindRouter)
	if !in.Force && !slices.ContainsFunc(b, (*topology.Machine).IsNode) {
		return fault.Plan{}, fault.Refuse("This would cut off every node of the lab.", "isolate fewer zones; --force if you mean it")
	}
	return c.cutBetween(in, strings.Join(names, ", ")+" and all else", a, b, 0)
}

// etcdPeerPort is where members talk to each other.
const etcdPeerPort = 2380

func (c *catalogue) isolateEtcdLeader(ctx context.Context, in fault.Input) (fault.Plan, error) {
	members := c.Local.Topology.Of(topology.KindControlPlane)
	if len(members) < 2 {
		return fault.Plan{}, fault.Refuse("This lab has a single etcd member, which has nobody to be isolated from.", "zdl up --profile ha has three")
	}
	name := c.Local.EtcdLeader(ctx)
	if name == "" {
		return fault.Plan{}, fault.Refuse("No etcd member says that it leads.", "wait for an election; zdl status shows the control plane")
	}
	leader := c.Local.Topology.Machine(name)
	var others []*topology.Machine
	for _, m := range members {
		if m != leader {
			others = append(others, m)
		}
	}
	return c.cutBetween(in, "etcd's leader on "+name+" and its peers", []*topology.Machine{leader}, others, etcdPeerPort)
}

// cutBetween plans to stop packets between two sets of machines.
func (c *catalogue) cutBetween(in fault.Input, what string, a, b []*topology.Machine, port uint16) (fault.Plan, error) {
	for _, side := range [][]*topology.Machine{a, b} {
		if !slices.ContainsFunc(side, func(m *topology.Machine) bool { return c.Local.Powered(m.Name) }) {
			return fault.Plan{}, fault.Refuse("Every machine of one side is off.", "a partition can be proven between machines that are on")
		}
	}
	direction := in.Values.Text("direction")
	x := cut{
		name: tableName(in), a: a, b: b, topology: c.Local.Topology, port: port, on: c.Local.Powered,
		aToB: direction != "from", bToA: direction != "to", reject: in.Values.Text("action") == "reject",
	}
	return fault.Together(c.NewDrop(what, x.filters(), x.probes(), x.reject)), nil
}

// tableName is that of an attack's own tables.
func tableName(in fault.Input) string { return "zdl-" + in.ID }

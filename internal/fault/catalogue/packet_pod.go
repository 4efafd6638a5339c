package catalogue

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/fault/step"
	"zdl/internal/packetfilter"
	"zdl/internal/topology"
)

// partitionPods plans a table on each pod's node. Packets of a pod pass its
// node's hooks with the addresses of pods, not of Services: requests are
// translated before the hook "forward" and answers after it.
func (c *catalogue) partitionPods(ctx context.Context, in fault.Input) (fault.Plan, error) {
	peers, err := c.peers(ctx, in.Values.Text("peer"))
	if err != nil {
		return fault.Plan{}, err
	}
	var plan fault.Plan
	for i, t := range in.Targets {
		own, err := c.podAddr(t)
		if err != nil {
			return fault.Plan{}, err
		}
		probe, err := c.peerOf(t, own, peers)
		if err != nil {
			return fault.Plan{}, err
		}
		table := podTable(fmt.Sprintf("%s-%d", tableName(in), i+1), own, c.Local.Topology.Machine(t.Node), peers,
			in.Values.Text("direction"), packetfilter.Verdict(in.Values.Text("action")))
		s := c.NewDrop(t.Name+" and "+in.Values.Text("peer"), []step.Filter{{Machine: t.Node, Tables: []packetfilter.Table{table}}},
			[]step.Probe{{Machine: t.Node, Pod: t.UID, To: probe}}, in.Values.Text("action") == "reject")
		plan = withStep(plan, s)
	}
	return plan, nil
}

// withStep adds a step to the plan's only stage.
func withStep(p fault.Plan, s fault.Step) fault.Plan {
	if len(p.Stages) == 0 {
		return fault.Together(s)
	}
	p.Stages[0].Steps = append(p.Stages[0].Steps, s)
	return p
}

func podTable(name string, own netip.Addr, node *topology.Machine, peers []netip.Prefix, direction string, do packetfilter.Verdict) packetfilter.Table {
	pod := []netip.Prefix{netip.PrefixFrom(own, 32)}
	out := packetfilter.Rule{From: pod, To: peers, Do: do}
	in := packetfilter.Rule{From: peers, To: pod, Do: do}
	both := map[packetfilter.Hook][]packetfilter.Rule{}
	if direction != "from" {
		both[packetfilter.Forward] = append(both[packetfilter.Forward], out)
		both[packetfilter.Input] = append(both[packetfilter.Input], out) // to the node itself
	}
	if direction != "to" {
		both[packetfilter.Forward] = append(both[packetfilter.Forward], in)
		// From the node itself: its kubelet's probes. Resets that it sends in the name
		// of others, to reject, must get through.
		if in.From = nodeAmong(node, peers); len(in.From) > 0 {
			both[packetfilter.Output] = append(both[packetfilter.Output], in)
		}
	}
	table := packetfilter.Table{Family: packetfilter.IPv4, Name: name}
	for _, hook := range []packetfilter.Hook{packetfilter.Forward, packetfilter.Input, packetfilter.Output} {
		if len(both[hook]) > 0 {
			table.Chains = append(table.Chains, packetfilter.Chain{Name: string(hook), Hook: hook, Rules: both[hook]})
		}
	}
	return table
}

// nodeAmong lists a node's own addresses that are among the peers: that of its
// link, and the first of its pods' range, from which it speaks to its pods.
func nodeAmong(node *topology.Machine, peers []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range []netip.Addr{node.Addr(), node.PodCIDR.Addr().Next()} {
		if peers == nil || slices.ContainsFunc(peers, func(p netip.Prefix) bool { return p.Contains(a) }) {
			out = append(out, netip.PrefixFrom(a, 32))
		}
	}
	return out
}

// peers resolves the parameter peer to address ranges; nil stands for all.
func (c *catalogue) peers(ctx context.Context, peer string) ([]netip.Prefix, error) {
	if peer == "all" {
		return nil, nil
	}
	if p, err := netip.ParsePrefix(peer); err == nil && p.Addr().Is4() {
		return []netip.Prefix{p.Masked()}, nil
	}
	if a, err := netip.ParseAddr(peer); err == nil && a.Is4() {
		return []netip.Prefix{netip.PrefixFrom(a, 32)}, nil
	}
	found, err := c.pods(ctx, peer)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, t := range found {
		if a, err := c.podAddr(t); err == nil {
			out = append(out, netip.PrefixFrom(a, 32))
		}
	}
	if len(out) == 0 {
		return nil, fault.Refuse(fmt.Sprintf("No peer matches %q.", peer), "all, an address range such as 198.19.3.0/24, or pods: "+podHelp)
	}
	return out, nil
}

// peerOf gives an address among the peers to try from the pod: its own node, or
// some machine or pod that is on.
func (c *catalogue) peerOf(t fault.Target, own netip.Addr, peers []netip.Prefix) (netip.AddrPort, error) {
	const discard = 9
	if peers == nil {
		return netip.AddrPortFrom(c.Local.Topology.Machine(t.Node).Addr(), discard), nil
	}
	var candidates []netip.Addr
	for i := range c.Local.Topology.Machines {
		if m := &c.Local.Topology.Machines[i]; c.Local.Powered(m.Name) {
			candidates = append(candidates, m.Addr())
		}
	}
	snap := c.Snapshot()
	for _, p := range append(snap.TargetPods(), snap.System...) {
		if a, err := netip.ParseAddr(p.IP); err == nil && p.Phase == "Running" {
			candidates = append(candidates, a)
		}
	}
	for _, a := range candidates {
		for _, p := range peers {
			if a != own && p.Contains(a) {
				return netip.AddrPortFrom(a, discard), nil
			}
		}
	}
	return netip.AddrPort{}, fault.Refuse(fmt.Sprintf("No machine or pod that is on has an address in %v, so nothing could prove the partition of %s.", peers, t.Name), "peer=all, a range of machines or pods, or other pods")
}

// podAddr is the address of a pod with a network of its own.
func (c *catalogue) podAddr(t fault.Target) (netip.Addr, error) {
	snap := c.Snapshot()
	for _, p := range append(snap.TargetPods(), snap.System...) {
		if p.UID != t.UID {
			continue
		}
		a, err := netip.ParseAddr(p.IP)
		if err != nil {
			return a, fault.Refuse(fmt.Sprintf("%s has no address yet.", t.Name), "wait until it runs")
		}
		if m := c.Local.Topology.Machine(p.Node); m == nil || !m.PodCIDR.Contains(a) {
			return a, fault.Refuse(fmt.Sprintf("%s uses its node's network.", t.Name), "strike the node: partition "+p.Node)
		}
		return a, nil
	}
	return netip.Addr{}, cluster.ErrGone
}

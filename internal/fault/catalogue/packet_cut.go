package catalogue

import (
	"net/netip"
	"slices"

	"zdl/internal/cluster/local/fabric"
	"zdl/internal/fault/step"
	"zdl/internal/packetfilter"
	"zdl/internal/topology"
)

// cut describes a cut between two sets of machines.
type cut struct {
	name   string // of the tables
	a, b   []*topology.Machine
	aToB   bool // stop what goes from a to b
	bToA   bool
	reject bool
	port   uint16 // TCP port of either end; 0: every packet
	// on tells whether a machine has a port at its switch; nil: all have.
	on       func(machine string) bool
	topology *topology.Topology
}

// filters gives a table for each switch that one of the machines is plugged into.
//
// A packet is stopped where it enters its sender's switch, told by the port it
// comes from and the address it goes to, or where it would leave for its
// receiver, told by the address it comes from. So it does not matter which of
// them holds a virtual IP, nor what translates addresses in machines, and a
// machine's own root sees nothing of it. Only IPv4 is stopped, not ARP, so that
// senders wait instead of being told that there is no such host.
//
// Routers carry other machines' packets, so addresses tell nothing about them:
// between a router and a machine on the same switch every frame is stopped.
func (c *cut) filters() []step.Filter {
	var out []step.Filter
	for i := range c.topology.Segments {
		segment := c.topology.Segments[i].Name
		var rules []packetfilter.Rule
		if c.aToB {
			rules = append(rules, c.oneWay(c.a, c.b, segment)...)
		}
		if c.bToA {
			rules = append(rules, c.oneWay(c.b, c.a, segment)...)
		}
		if len(rules) == 0 {
			continue
		}
		tables := []packetfilter.Table{{
			Family: packetfilter.Bridge, Name: c.name,
			Chains: []packetfilter.Chain{{Name: "cut", Hook: packetfilter.Forward, Rules: rules}},
		}}
		if table := c.refusals(segment); len(table.Chains) > 0 {
			tables = append(tables, table)
		}
		out = append(out, step.Filter{Switch: segment, Tables: tables})
	}
	return out
}

// oneWay gives the rules of one switch against packets of from to to.
func (c *cut) oneWay(from, to []*topology.Machine, segment string) []packetfilter.Rule {
	fromPorts, fromRouters := switchPorts(from, segment)
	toPorts, toRouters := switchPorts(to, segment)
	var out []packetfilter.Rule
	if len(fromPorts) > 0 {
		out = append(out, c.onPorts(packetfilter.Rule{In: fromPorts, To: ranges(to), Do: packetfilter.Drop})...)
	}
	if len(toPorts) > 0 {
		out = append(out, c.onPorts(packetfilter.Rule{Out: toPorts, From: ranges(from), Do: packetfilter.Drop})...)
	}
	if all := append(toPorts, toRouters...); len(fromRouters) > 0 && len(all) > 0 {
		out = append(out, packetfilter.Rule{In: fromRouters, Out: all, Do: packetfilter.Drop})
	}
	if len(toRouters) > 0 && len(fromPorts) > 0 {
		out = append(out, packetfilter.Rule{In: fromPorts, Out: toRouters, Do: packetfilter.Drop})
	}
	return out
}

// refusals gives a switch's table that answers a sender at the port where its
// packet comes in: a forwarding bridge itself cannot send resets.
func (c *cut) refusals(segment string) packetfilter.Table {
	table := packetfilter.Table{Family: packetfilter.Netdev, Name: c.name}
	if !c.reject {
		return table
	}
	add := func(from, to []*topology.Machine) {
		// Before Linux 6.16 a chain cannot wait for an interface that is not there.
		there := slices.DeleteFunc(slices.Clone(from), func(m *topology.Machine) bool { return c.on != nil && !c.on(m.Name) })
		ports, _ := switchPorts(there, segment)
		for _, port := range ports {
			table.Chains = append(table.Chains, packetfilter.Chain{
				Name: port, Hook: packetfilter.Ingress, Device: port,
				Rules: c.onPorts(packetfilter.Rule{To: ranges(to), Do: packetfilter.Reject}),
			})
		}
	}
	if c.aToB {
		add(c.a, c.b)
	}
	if c.bToA {
		add(c.b, c.a)
	}
	return table
}

// onPorts narrows a rule to the TCP port, at either end.
func (c *cut) onPorts(r packetfilter.Rule) []packetfilter.Rule {
	if c.port == 0 {
		return []packetfilter.Rule{r}
	}
	r.Protocol = "tcp"
	there, back := r, r
	there.ToPort, back.FromPort = c.port, c.port
	return []packetfilter.Rule{there, back}
}

// probes gives connections that try the cut: each machine takes part in one for
// each direction that is cut.
func (c *cut) probes() []step.Probe {
	port := c.port
	if port == 0 {
		port = 9 // discard: nobody listens, so an uncut machine answers with a reset
	}
	var out []step.Probe
	pair := func(from, to []*topology.Machine) {
		for i := range max(len(from), len(to)) {
			sender, receiver := from[i%len(from)], to[i%len(to)]
			out = append(out, step.Probe{Machine: sender.Name, To: netip.AddrPortFrom(near(receiver, sender), port)})
		}
	}
	if c.aToB {
		pair(c.a, c.b)
	}
	if c.bToA {
		pair(c.b, c.a)
	}
	return out
}

// near is an address of m on a switch that it shares with other, if there is one.
func near(m, other *topology.Machine) netip.Addr {
	for _, p := range m.Ports {
		for _, q := range other.Ports {
			if p.Segment == q.Segment {
				return p.Addr
			}
		}
	}
	return m.Addr()
}

// switchPorts names the interfaces of a switch that lead to machines, those to
// routers apart.
func switchPorts(machines []*topology.Machine, segment string) (ports, routers []string) {
	for _, m := range machines {
		for _, p := range m.Ports {
			switch {
			case p.Segment != segment:
			case m.Kind == topology.KindRouter:
				routers = append(routers, fabric.SwitchPort(m))
			default:
				ports = append(ports, fabric.SwitchPort(m))
			}
		}
	}
	return ports, routers
}

// ranges lists the addresses of machines and of their pods. Virtual IPs are not
// among them: whoever has one is told by its port.
func ranges(machines []*topology.Machine) []netip.Prefix {
	var out []netip.Prefix
	for _, m := range machines {
		for _, p := range m.Ports {
			out = append(out, netip.PrefixFrom(p.Addr, 32))
		}
		if m.IsNode() {
			out = append(out, m.PodCIDR)
		}
	}
	return out
}

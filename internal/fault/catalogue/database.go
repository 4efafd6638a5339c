package catalogue

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/database"
	"zdl/internal/database/patroni"
	"zdl/internal/fault"
	"zdl/internal/fault/step"
	"zdl/internal/packetfilter"
)

const databaseHelp = "primary, replica (any that does not lead), any, or POD of the database"

// databases lists the faults of the lab's PostgreSQL, which zdl database up
// installs.
func (c *catalogue) databases() []fault.Kind {
	exec := []cluster.Capability{cluster.CapabilityExec}
	kill := func(ctx context.Context, in fault.Input) (fault.Plan, error) {
		return eachTarget(c.killContainer(database.Container))(ctx, in)
	}
	return []fault.Kind{
		{
			Name: "database-primary-kill", Layer: fault.LayerDatabase, Instant: true,
			Summary: "SIGKILL the member of the database that leads, Patroni and PostgreSQL, from the host: nothing is written out or handed over.",
			Effect:  "Connections are reset and writes refused until it has been started again and has recovered, or until its lease has expired and another member has been promoted, on a new timeline.",
			Targets: "pod", TargetHelp: databaseHelp, DefaultTarget: "primary", Find: c.primaryOnly,
			Needs: exec, Plan: kill,
		},
		{
			Name: "database-member-kill", Layer: fault.LayerDatabase, Instant: true,
			Summary: "SIGKILL a member of the database, Patroni and PostgreSQL, from the host.",
			Effect:  "Of a replica nobody notices, unless commits wait for it; the kubelet starts it again and it catches up.",
			Targets: "pod", TargetHelp: databaseHelp, DefaultTarget: "replica", Find: c.databaseMembers,
			Needs: exec, Plan: kill,
		},
		{
			Name: "database-primary-isolate", Layer: fault.LayerDatabase,
			Summary: "Stop every packet of the member that leads, on its node: users, other members and the API server are out of its reach.",
			Effect:  "It gives up leading before its lease expires, so that there are never two; then another member is promoted. Undone, it follows, put back to where the ways parted.",
			Targets: "pod", TargetHelp: databaseHelp, DefaultTarget: "primary", Find: c.primaryOnly,
			Needs: []cluster.Capability{cluster.CapabilityLink}, Plan: c.isolateMembers,
		},
		{
			Name: "database-switchover", Layer: fault.LayerDatabase, Instant: true,
			Summary: "Hand over leading to another member as planned (Patroni's switchover): nothing that was committed can be lost.",
			Effect:  "Connections to the old primary end; writes wait for the promotion, a second or two.",
			Targets: "pod", TargetHelp: "the member that shall lead: POD of the database, or replica: any that may", DefaultTarget: "replica", Find: c.databaseMembers,
			Needs: []cluster.Capability{cluster.CapabilityAPI, cluster.CapabilityExec}, Plan: c.switchover,
		},
		{
			Name: "database-disk-fill", Layer: fault.LayerDatabase,
			Summary: "Fill the volume of a member with a file of real blocks: the disk of its node.",
			Effect:  "PostgreSQL cannot write its log and ends; of the primary, another member takes over. The kubelet reports DiskPressure.",
			Targets: "pod", TargetHelp: databaseHelp, DefaultTarget: "primary", Find: c.databaseMembers,
			Needs: []cluster.Capability{cluster.CapabilityDisk},
			Params: []fault.Param{{Name: "percent", Type: fault.Percent, Default: "100%", Min: "1%", Max: "100%",
				Help: "share of what is free to take"}},
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				return eachPod(in, func(t fault.Target, namespace, pod string) (fault.Step, error) {
					p, err := c.PlaceOf(t.Node, namespace, pod, database.Container)
					if err != nil {
						return nil, err
					}
					return c.NewPodFill(p, database.DataDirectory, 0, in.Values.Fraction("percent"), in.ID)
				})
			},
		},
	}
}

// databaseMember is a member that was asked.
type databaseMember struct {
	fault.Target
	pod  string
	addr netip.Addr
	said *patroni.Member // nil: it does not answer
}

// members finds the pods of the database and asks them: labels say what a member
// was when the API server last heard of it.
func (c *catalogue) members(ctx context.Context) ([]databaseMember, error) {
	pods, err := c.pods(ctx, database.Namespace+"/app="+database.App)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, fault.Refuse("There is no database in this lab, or none of its pods runs.", "zdl database up installs one, zdl database status shows it")
	}
	var out []databaseMember
	var at []netip.Addr
	for _, t := range pods {
		addr, err := c.podAddr(t)
		if err != nil {
			continue // it has none yet
		}
		out = append(out, databaseMember{Target: t, pod: strings.TrimPrefix(t.Name, database.Namespace+"/"), addr: addr})
		at = append(at, addr)
	}
	for i, m := range c.Patroni().All(ctx, at) {
		out[i].said = m
	}
	return out, nil
}

// leader is the member that takes writes; nil: none does.
func leader(members []databaseMember) *databaseMember {
	var found *databaseMember
	for i := range members {
		m := &members[i]
		if m.said != nil && m.said.Leads() && (found == nil || m.said.Timeline > found.said.Timeline) {
			found = m
		}
	}
	return found
}

var errNoLeader = fault.Refuse("No member of the database leads at this moment.", "zdl database status shows the members; wait until one leads")

func (c *catalogue) databaseMembers(ctx context.Context, selector string) ([]fault.Target, error) {
	members, err := c.members(ctx)
	if err != nil {
		return nil, err
	}
	first := leader(members)
	if first == nil && (selector == "primary" || selector == "replica") {
		return nil, errNoLeader
	}
	var out []fault.Target
	for i := range members {
		m := &members[i]
		replica := m.said != nil && m.said.Role == cluster.RoleReplica && m.said.State == "running"
		switch {
		case selector == "any", selector == "all", selector == m.pod, selector == m.Name, selector == m.UID,
			selector == "primary" && m == first, selector == "replica" && replica:
			out = append(out, m.Target)
		}
	}
	if len(out) == 0 {
		return nil, fault.Refuse(fmt.Sprintf("No member of the database matches %q.", selector), "a target is "+databaseHelp)
	}
	return sorted(out), nil
}

// primaryOnly refuses every member that does not lead.
func (c *catalogue) primaryOnly(ctx context.Context, selector string) ([]fault.Target, error) {
	found, err := c.databaseMembers(ctx, selector)
	if err != nil || selector == "primary" {
		return found, err
	}
	lead, err := c.databaseMembers(ctx, "primary")
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(t fault.Target) bool { return t.UID != lead[0].UID })
	if len(found) == 0 {
		return nil, fault.Refuse(fmt.Sprintf("This fault strikes the member that leads, which is %s, not %q.", lead[0].Name, selector), "leave the target out; database-member-kill takes any")
	}
	return found, nil
}

// isolateMembers stops all packets of the pods.
func (c *catalogue) isolateMembers(_ context.Context, in fault.Input) (fault.Plan, error) {
	var plan fault.Plan
	for i, t := range in.Targets {
		own, err := c.podAddr(t)
		if err != nil {
			return fault.Plan{}, err
		}
		probe, err := c.peerOf(t, own, nil)
		if err != nil {
			return fault.Plan{}, err
		}
		table := podTable(fmt.Sprintf("%s-%d", tableName(in), i+1), own, c.Local.Topology.Machine(t.Node), nil, "both", "drop")
		plan = withStep(plan, c.NewDrop(t.Name+" and all else", []step.Filter{{Machine: t.Node, Tables: []packetfilter.Table{table}}},
			[]step.Probe{{Machine: t.Node, Pod: t.UID, To: probe}}, false))
	}
	return plan, nil
}

func (c *catalogue) switchover(ctx context.Context, in fault.Input) (fault.Plan, error) {
	members, err := c.members(ctx)
	if err != nil {
		return fault.Plan{}, err
	}
	first := leader(members)
	if first == nil {
		return fault.Plan{}, errNoLeader
	}
	if len(in.Targets) != 1 {
		return fault.Plan{}, fault.Refuse("One member can lead, not several.", "name one, or leave the mode out")
	}
	for _, m := range members {
		switch {
		case m.UID != in.Targets[0].UID:
			continue
		case m.UID == first.UID:
			return fault.Plan{}, fault.Refuse(m.pod+" leads already.", "name another member, or leave the target out")
		case !slices.ContainsFunc(first.said.Standbys, func(s patroni.Standby) bool { return s.Name == m.pod && s.State == "streaming" }):
			return fault.Plan{}, fault.Refuse(m.pod+" does not follow "+first.pod+" at this moment.", "zdl database status shows the members; name one that streams")
		}
		plan := fault.Together(c.NewSwitchover(first.pod, m.pod, first.addr, m.addr, first.said.Timeline))
		plan.Patience = 20 * time.Second
		return plan, nil
	}
	return fault.Plan{}, fault.Refuse("That member is gone.", "choose another")
}

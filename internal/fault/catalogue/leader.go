package catalogue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// Help texts for members of the control plane.
const (
	controlPlaneHelp = "CONTROL-PLANE, any, zone=ZONE, or several with commas"
	leaderHelp       = "leader"
)

// controlPlaneProcesses lists the faults that end or stop a member of the control
// plane. None of them needs the API server.
func (c *catalogue) controlPlaneProcesses() []fault.Kind {
	needs := []cluster.Capability{cluster.CapabilityExec}
	find := c.onMachines("control-plane", nil, topology.KindControlPlane)
	kill := func(component string) planner {
		return eachTarget(func(_ context.Context, _ fault.Input, t fault.Target) (fault.Step, error) {
			found, err := c.component(t.Name, component)
			if err != nil {
				return nil, err
			}
			return c.NewContainerKill(found)
		})
	}
	leaderKill := func(kind, component, effect string) fault.Kind {
		return fault.Kind{
			Name: kind, Layer: fault.LayerControlPlane, Instant: true,
			Summary: "SIGKILL the " + component + " that leads, from the host.",
			Effect:  effect,
			Targets: "control-plane", TargetHelp: leaderHelp, DefaultTarget: "leader",
			Find:  c.onMachines("control-plane", only("leader", c.leaseHolder(component)), topology.KindControlPlane),
			Needs: needs, Plan: kill(component),
		}
	}
	return []fault.Kind{
		{
			Name: "apiserver-kill", Layer: fault.LayerControlPlane, Instant: true,
			Summary: "SIGKILL an API server, from the host.",
			Effect:  "Its clients' connections and watches are reset and go to another one; the kubelet starts it again within seconds.",
			Targets: "control-plane", TargetHelp: controlPlaneHelp, DefaultTarget: "any", Find: find, Needs: needs,
			Plan: kill("kube-apiserver"),
		},
		{
			Name: "apiserver-freeze", Layer: fault.LayerControlPlane,
			Summary: "Stop an API server where it stands (cgroup freezer): it hangs instead of dying.",
			Effect:  "Requests to it hang until the load balancer's health check fails; its watches fall silent. After about 80 s the kubelet tries to kill it.",
			Targets: "control-plane", TargetHelp: controlPlaneHelp, DefaultTarget: "any", Find: find, Needs: needs,
			Plan: eachTarget(c.freezeComponent("kube-apiserver")),
		},
		leaderKill("scheduler-leader-kill", "kube-scheduler",
			"New pods stay Pending until its lease has expired and another scheduler has it."),
		leaderKill("controller-manager-leader-kill", "kube-controller-manager",
			"Nothing is replaced, scaled or evicted until its lease has expired and another controller manager has it."),
		{
			Name: "etcd-member-kill", Layer: fault.LayerEtcd, Instant: true,
			Summary: "SIGKILL an etcd member, from the host.",
			Effect:  "With a majority left writes go on, after an election if it led; the kubelet starts it again within seconds.",
			Targets: "control-plane", TargetHelp: controlPlaneHelp, DefaultTarget: "any", Find: find, Needs: needs,
			Plan: kill("etcd"),
		},
		{
			Name: "etcd-leader-kill", Layer: fault.LayerEtcd, Instant: true,
			Summary: "SIGKILL the etcd member that leads, from the host.",
			Effect:  "Writes wait for the election of another leader, one to two seconds.",
			Targets: "control-plane", TargetHelp: leaderHelp, DefaultTarget: "leader",
			Find:  c.onMachines("control-plane", only("leader", c.etcdLeader), topology.KindControlPlane),
			Needs: needs, Plan: kill("etcd"),
		},
		{
			Name: "etcd-quorum-loss", Layer: fault.LayerEtcd,
			Summary: "Stop so many etcd members where they stand (cgroup freezer) that no majority is left.",
			Effect:  "Writes and consistent reads through the API server time out; pods and Services go on as they are.",
			Needs:   needs, Plan: c.quorumLoss,
		},
	}
}

// freezeComponent plans to freeze a static pod of a control plane.
func (c *catalogue) freezeComponent(component string) func(context.Context, fault.Input, fault.Target) (fault.Step, error) {
	return func(_ context.Context, _ fault.Input, t fault.Target) (fault.Step, error) {
		found, err := c.component(t.Name, component)
		if err != nil {
			return nil, err
		}
		return c.NewPodFreeze(found), nil
	}
}

// only refuses every selector but one.
func only(word string, find func(context.Context) (string, error)) func(context.Context, string) (string, error) {
	return func(ctx context.Context, selector string) (string, error) {
		if selector != word {
			return "", fault.Refuse(fmt.Sprintf("This fault strikes the leader, not %q.", selector), "leave the target out; the fault without leader in its name takes any")
		}
		return find(ctx)
	}
}

// leaseHolder names the control plane whose component leads: as last seen, or
// asked of the API server where that is not fresh.
func (c *catalogue) leaseHolder(component string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		snap := c.Snapshot()
		if snap.Synced && !snap.Stale {
			for _, l := range snap.Leaders {
				if l.Component == component && l.Holder != "" {
					return l.Holder, nil
				}
			}
		}
		kube, err := c.Kube()
		if err != nil {
			return "", err
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		lease, err := kube.CoordinationV1().Leases("kube-system").Get(ctx, component, metav1.GetOptions{})
		if err != nil {
			return "", fmt.Errorf("ask who leads as %s: %w", component, err)
		}
		if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
			return "", fault.Refuse("No "+component+" leads at this moment.", "wait until zdl status names one")
		}
		holder, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
		return holder, nil
	}
}

func (c *catalogue) etcdLeader(ctx context.Context) (string, error) {
	leader := c.Local.EtcdLeader(ctx)
	if leader == "" {
		return "", fault.Refuse("No etcd member leads at this moment.", "wait until a majority of the members runs")
	}
	return leader, nil
}

// quorumLoss freezes as many of the members that run as are needed, by chance.
func (c *catalogue) quorumLoss(_ context.Context, in fault.Input) (fault.Plan, error) {
	members := c.Local.Topology.Of(topology.KindControlPlane)
	var alive []*topology.Machine
	for _, m := range members {
		if c.Local.PowerState(m.Name) == cluster.PowerOn {
			alive = append(alive, m)
		}
	}
	quorum := len(members)/2 + 1
	surplus := len(alive) - (quorum - 1)
	if surplus <= 0 {
		return fault.Plan{}, fault.Refuse(fmt.Sprintf("Only %d of %d etcd members run: there is no majority already.", len(alive), len(members)), "switch control planes on")
	}
	r := rand.New(rand.NewPCG(in.Seed, 0))
	r.Shuffle(len(alive), func(i, j int) { alive[i], alive[j] = alive[j], alive[i] })
	var steps []fault.Step
	for _, m := range alive[:surplus] {
		found, err := c.component(m.Name, "etcd")
		if err != nil {
			return fault.Plan{}, err
		}
		steps = append(steps, c.NewPodFreeze(found))
	}
	// Who is asked: one that still runs, where there is one.
	proof := c.NewNoQuorum(slices.Concat(alive[surplus:], alive)[0].Name)
	return fault.Plan{Stages: []fault.Stage{{Steps: steps}, {Steps: []fault.Step{proof}}}}, nil
}

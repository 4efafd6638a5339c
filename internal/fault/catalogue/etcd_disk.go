package catalogue

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"zdl/internal/cluster"
	"zdl/internal/cluster/local"
	"zdl/internal/fault"
	"zdl/internal/fault/step"
	"zdl/internal/topology"
)

const memberHelp = "CONTROL-PLANE, any, leader, followers, or several with commas"

// etcdData lists the faults of etcd's disk and data, and that of an API server
// which is only slow.
func (c *catalogue) etcdData() []fault.Kind {
	disk := []cluster.Capability{cluster.CapabilityDisk}
	return []fault.Kind{
		{
			Name: "etcd-slow-disk", Layer: fault.LayerEtcd,
			Summary: "Let the disk serve one read and one write of an etcd member per LATENCY, by the kernel's throttle on the member's control group.",
			Effect:  "Every fsync of its log takes a multiple of LATENCY. A slow leader slows all writes and may lose its leadership; a slow follower falls behind unnoticed.",
			Targets: "node", TargetHelp: memberHelp, DefaultTarget: "any", Find: c.etcdMembers, Needs: disk,
			Params: []fault.Param{paramLatency},
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				return eachNode(in, func(node string) (fault.Step, error) {
					found, err := c.static(node, "etcd")
					if err != nil {
						return nil, err
					}
					p := step.Place{Machine: node, Namespace: found.Namespace, Pod: found.Pod, Container: found.Name}
					return c.NewThrottle(p, in.Values.Duration("latency"))
				})
			},
		},
		{
			Name: "etcd-nospace", Layer: fault.LayerEtcd,
			Summary: "Raise etcd's alarm NOSPACE, as a member whose database has reached its quota does. Undo disarms it, for which etcd needs a quorum.",
			Effect:  "Every write of the whole cluster is refused with \"database space exceeded\", leases included, so leaders step down; reads go on.",
			Targets: "node", TargetHelp: memberHelp, DefaultTarget: "any", Find: c.etcdMembers, Needs: []cluster.Capability{cluster.CapabilityExec},
			Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
				if len(in.Targets) > 1 {
					return fault.Plan{}, fault.Refuse("One alarm stops the writes of all members.", "mode one")
				}
				return eachNode(in, func(node string) (fault.Step, error) { return c.NewNoSpace(ctx, node) })
			},
		},
		{
			Name: "etcd-member-data-loss", Layer: fault.LayerEtcd,
			Summary: "Take the data of an etcd member away and kill it. Undo gives them back, to kubelet a restart, and the member catches up.",
			Effect:  "kubelet starts the member empty; it ends at once, again and again (\"member has already been bootstrapped\"), until an administrator removes and adds it. One loss less is tolerated.",
			Targets: "node", TargetHelp: memberHelp, DefaultTarget: "any", Find: c.etcdMembers, Needs: disk,
			Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
				return eachNode(in, func(node string) (fault.Step, error) { return c.NewMemberLoss(ctx, node, in.ID) })
			},
		},
		{
			Name: "apiserver-one-of-three-gray", Layer: fault.LayerControlPlane,
			Summary: "Let an API server have only a share of a CPU, by the quota of its pod: it lives and mostly passes its health checks, but is slow.",
			Effect:  "Requests that reach it take a tenth of a second to seconds; whether load balancer and kubelet notice depends on their timeouts.",
			Targets: "node", TargetHelp: "CONTROL-PLANE, any, or several with commas", DefaultTarget: "any", Find: c.controlPlanes, Needs: []cluster.Capability{cluster.CapabilityExec},
			Params: []fault.Param{{Name: "share", Type: fault.Percent, Default: "3%", Min: "1%", Max: "100%", Help: "of one CPU"}},
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				return eachNode(in, func(node string) (fault.Step, error) {
					found, err := c.static(node, "kube-apiserver")
					if err != nil {
						return nil, err
					}
					url := fmt.Sprintf("https://%s:%d/livez", c.Local.Topology.Machine(node).Addr(), topology.APIPort)
					return c.NewCPUQuota(found, in.Values.Fraction("share"), url)
				})
			},
		},
	}
}

// static is the container of a control plane's static pod.
func (c *catalogue) static(node, name string) (*local.Container, error) {
	all, err := c.Local.Containers(node)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(f local.Container) bool {
		return f.Name == name && !f.Sandbox && f.In("kube-system", name+"-"+node)
	})
	if at < 0 {
		return nil, fault.Refuse(fmt.Sprintf("No %s runs on %s.", name, node), "choose another control plane")
	}
	return &all[at], nil
}

// controlPlanes finds control planes; it needs no API server.
func (c *catalogue) controlPlanes(ctx context.Context, selector string) ([]fault.Target, error) {
	if selector == "any" || selector == "all" {
		selector = "control-planes"
	}
	found, err := c.nodesWithoutAPI(ctx, selector)
	return slices.DeleteFunc(found, func(t fault.Target) bool {
		return c.Local.Topology.Machine(t.Name).Kind != topology.KindControlPlane
	}), err
}

// etcdMembers finds control planes by their part in etcd, too.
func (c *catalogue) etcdMembers(ctx context.Context, selector string) ([]fault.Target, error) {
	if selector != "leader" && selector != "followers" {
		return c.controlPlanes(ctx, selector)
	}
	leader := c.Local.EtcdLeader(ctx)
	if leader == "" {
		return nil, fault.Refuse("No etcd member says that it leads.", "name a control plane: "+strings.Join(c.controlPlaneNames(), ", "))
	}
	all, err := c.controlPlanes(ctx, "any")
	return slices.DeleteFunc(all, func(t fault.Target) bool { return (t.Name == leader) != (selector == "leader") }), err
}

func (c *catalogue) controlPlaneNames() []string {
	var out []string
	for _, m := range c.Local.Topology.Of(topology.KindControlPlane) {
		out = append(out, m.Name)
	}
	return out
}

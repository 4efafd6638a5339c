package catalogue

import (
	"context"
	"syscall"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// nodeProcesses lists the faults of what runs on a node.
func (c *catalogue) nodeProcesses() []fault.Kind {
	needs := []cluster.Capability{cluster.CapabilityExec}
	find := c.onMachines("node", nil, topology.KindControlPlane, topology.KindWorker)
	signals := []fault.Param{{Name: "signal", Type: fault.Choice, Choices: []string{"KILL", "TERM"}, Default: "KILL",
		Help: "what ends it: KILL at once, or TERM as systemctl stop does, after which it may take its time"}}
	stop := func(service string) planner {
		return eachTarget(func(ctx context.Context, in fault.Input, t fault.Target) (fault.Step, error) {
			if err := c.needOn(t.Name); err != nil {
				return nil, err
			}
			signal := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM}[in.Values.Text("signal")]
			return c.NewServiceStop(ctx, t.Name, service, signal)
		})
	}
	return []fault.Kind{
		{
			Name: "node-freeze", Layer: fault.LayerNode,
			Summary: "Stop every process of a node where it stands (cgroup freezer), as a hung machine: its kernel goes on.",
			Effect:  "It answers pings and accepts connections, but nobody answers on them; Kubernetes notices after the node-monitor grace period.",
			Targets: "node", TargetHelp: nodeHelp, Find: find, Needs: needs,
			Plan: eachTarget(func(_ context.Context, _ fault.Input, t fault.Target) (fault.Step, error) {
				if err := c.needOn(t.Name); err != nil {
					return nil, err
				}
				return c.NewMachineFreeze(t.Name), nil
			}),
		},
		{
			Name: "kubelet-stop", Layer: fault.LayerNode,
			Summary: "End the kubelet of a node and keep it stopped.",
			Effect:  "Pods go on serving; after the node-monitor grace period the node is NotReady, its pods leave their Services and are evicted.",
			Targets: "node", TargetHelp: nodeHelp, Find: find, Params: signals, Needs: needs, Plan: stop("kubelet"),
		},
		{
			Name: "runtime-stop", Layer: fault.LayerNode,
			Summary: "End containerd on a node and keep it stopped; containers live on with their shims.",
			Effect:  "Pods go on serving, but none starts, ends or is probed by exec; the kubelet reports the node NotReady.",
			Targets: "node", TargetHelp: nodeHelp, Find: find, Params: signals, Needs: needs, Plan: stop("containerd"),
		},
		{
			Name: "kube-proxy-stop", Layer: fault.LayerNode,
			Summary: "Freeze kube-proxy's pod on a node (cgroup freezer).",
			Effect:  "The rules that are programmed stay and go on working, but endpoints that come and go are not followed: Services lead to pods that are gone.",
			Targets: "node", TargetHelp: nodeHelp, Find: find, Needs: needs,
			Plan: eachTarget(func(_ context.Context, _ fault.Input, t fault.Target) (fault.Step, error) {
				if err := c.needOn(t.Name); err != nil {
					return nil, err
				}
				pods, err := c.running("kube-system", "kube-proxy")(nil, "node="+t.Name)
				if err != nil {
					return nil, err
				}
				if len(pods) == 0 {
					return nil, fault.Refuse("No kube-proxy runs on "+t.Name+" at this moment.", "wait until its pod is Running")
				}
				found, err := c.container(pods[0], "kube-proxy")
				if err != nil {
					return nil, err
				}
				return c.NewPodFreeze(found), nil
			}),
		},
		{
			Name: "coredns-kill", Layer: fault.LayerNameService, Instant: true,
			Summary: "SIGKILL CoreDNS in a pod, from the host.",
			Effect:  "Lookups that it was asked are lost and tried again after 5 s; the kubelet starts it again within seconds.",
			Targets: "pod", TargetHelp: systemPodHelp, DefaultTarget: "any", Find: c.running("kube-system", "coredns"), Needs: needs,
			Plan: eachTarget(c.killContainer("coredns")),
		},
		{
			Name: "ingress-controller-kill", Layer: fault.LayerEdge, Instant: true,
			Summary: "SIGKILL the ingress controller (Skipper) on a node, from the host.",
			Effect:  "Users' connections through it are reset, new ones refused until a load balancer's health check fails or the kubelet has started it again.",
			Targets: "pod", TargetHelp: systemPodHelp, DefaultTarget: "any", Find: c.running("kube-system", "skipper-ingress"), Needs: needs,
			Plan: eachTarget(c.killContainer("skipper-ingress")),
		},
	}
}

// systemPodHelp is about pods of one program.
const systemPodHelp = "POD, any, node=NODE or zone=ZONE"

// killContainer plans to kill a container of that name in each target.
func (c *catalogue) killContainer(name string) func(context.Context, fault.Input, fault.Target) (fault.Step, error) {
	return func(_ context.Context, _ fault.Input, t fault.Target) (fault.Step, error) {
		found, err := c.container(t, name)
		if err != nil {
			return nil, err
		}
		return c.NewContainerKill(found)
	}
}

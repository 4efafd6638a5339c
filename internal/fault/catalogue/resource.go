package catalogue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/fault/step"
	"zdl/internal/stress"
)

// Parameters that several kinds share.
var (
	paramContainer = fault.Param{Name: "container", Type: fault.Text, Help: "name of the container; may be left out where the pod has only one"}
	paramWorkers   = fault.Param{Name: "workers", Type: fault.Integer, Default: "1", Min: "1", Max: "64", Help: "threads that compute"}
	paramLoad      = fault.Param{Name: "load", Type: fault.Percent, Default: "100%", Min: "1%", Max: "100%", Help: "share of a CPU that each worker asks for"}
	paramRate      = fault.Param{Name: "rate", Type: fault.Bytes, Default: "256Mi", Min: "1Mi", Max: "16Gi", Help: "bytes a second by which the memory grows"}
)

func paramSize(most, help string) fault.Param {
	return fault.Param{Name: "size", Type: fault.Bytes, Min: "1Mi", Max: most, Help: help}
}

// resources lists the faults of processor time, memory, disks and process numbers.
func (c *catalogue) resources() []fault.Kind {
	exec := []cluster.Capability{cluster.CapabilityExec}
	disk := []cluster.Capability{cluster.CapabilityDisk}
	return []fault.Kind{
		{
			Name: "pod-cpu-stress", Layer: fault.LayerPod,
			Summary: "Compute in a container's control group and PID namespace, so that its CPU limit and shares apply; ends with the container.",
			Effect:  "The pod answers more slowly once limit or node are used up; autoscalers see the usage.",
			Targets: "pod", TargetHelp: podHelp, Find: c.pods, Needs: exec,
			Params: []fault.Param{paramWorkers, paramLoad, paramContainer},
			Plan:   c.planStress,
		},
		{
			Name: "pod-memory-stress", Layer: fault.LayerPod,
			Summary: "Take memory in a container's control group at a steady rate, charged to the container; ends with the container.",
			Effect:  "Beyond the limit the kernel kills the container (OOMKilled) and kubelet starts another; below it the usage rises.",
			Targets: "pod", TargetHelp: podHelp, Find: c.pods, Needs: exec,
			Params: []fault.Param{
				paramSize("64Gi", "bytes to take, beside what the container uses"),
				{Name: "percent", Type: fault.Percent, Default: "100%", Min: "1%", Max: "200%", Help: "share of the memory limit to take when size is not given; 100% exceeds it"},
				paramRate, paramContainer,
			},
			Plan: c.planStress,
		},
		{
			Name: "pod-disk-fill", Layer: fault.LayerPod,
			Summary: "Allocate a file of real blocks in a directory of a container: in its writable layer, or in a volume on the node's disk.",
			Effect:  "Writes of every pod of that node fail when its disk is full; kubelet evicts pods over their ephemeral-storage limit, and under DiskPressure.",
			Targets: "pod", TargetHelp: podHelp, Find: c.pods, Needs: disk,
			Params: []fault.Param{
				{Name: "path", Type: fault.Text, Default: step.DefaultFillDir, Help: "directory in the container; where " + step.DefaultFillDir + " is read-only the first writable volume is taken"},
				paramSize("64Gi", "bytes to allocate"),
				{Name: "percent", Type: fault.Percent, Default: "90%", Min: "1%", Max: "100%", Help: "share of what is free on the disk, when size is not given"},
				paramContainer,
			},
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				return eachPod(in, func(t fault.Target, namespace, pod string) (fault.Step, error) {
					p, err := c.PlaceOf(t.Node, namespace, pod, in.Values.Text("container"))
					if err != nil {
						return nil, err
					}
					return c.NewPodFill(p, in.Values.Text("path"), in.Values.Int("size"), in.Values.Fraction("percent"), in.ID)
				})
			},
		},
		{
			Name: "node-cpu-stress", Layer: fault.LayerNode,
			Summary: "Compute on a node, in the control group of its own daemons.",
			Effect:  "Everything on the node competes for its CPUs; probes and heartbeats may come late.",
			Targets: "node", TargetHelp: nodeHelp, Find: c.nodesWithoutAPI, Needs: exec,
			Params: []fault.Param{paramWorkers, paramLoad},
			Plan:   c.planStress,
		},
		{
			Name: "node-memory-stress", Layer: fault.LayerNode,
			Summary: "Take memory of a node at a steady rate, in the control group of its own daemons.",
			Effect:  "kubelet reports MemoryPressure and evicts pods; beyond the node's memory the kernel kills the least important processes.",
			Targets: "node", TargetHelp: nodeHelp, Find: c.nodesWithoutAPI, Needs: exec,
			Params: []fault.Param{
				paramSize("64Gi", "bytes to take"),
				{Name: "percent", Type: fault.Percent, Default: "50%", Min: "1%", Max: "100%", Help: "share of the node's memory to take when size is not given"},
				paramRate,
			},
			Plan: c.planStress,
		},
		{
			Name: "node-disk-fill", Layer: fault.LayerNode,
			Summary: "Fill a node's disk (/var: containers, volumes, logs, etcd) with a file of real blocks.",
			Effect:  "Writes fail with \"no space left on device\"; kubelet reports DiskPressure and evicts pods; on a control plane etcd ends.",
			Targets: "node", TargetHelp: nodeHelp, Find: c.nodesWithoutAPI, Needs: disk,
			Params: []fault.Param{
				{Name: "leave", Type: fault.Bytes, Default: "0", Min: "0", Help: "bytes to leave free"},
				{Name: "percent", Type: fault.Percent, Min: "1%", Max: "100%", Help: "fill the disk up to this share; overrides leave"},
			},
			Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
				return eachNode(in, func(node string) (fault.Step, error) {
					return c.NewNodeFill(ctx, node, in.Values.Int("leave"), in.Values.Fraction("percent"), in.ID)
				})
			},
		},
		{
			Name: "node-disk-latency", Layer: fault.LayerNode,
			Summary: "Let a node's disk serve one read and one write per LATENCY, by the kernel's throttle on its loop device. Up to cgroup v1 each control group that exists now has that by itself, and write-back that nobody waits for has no limit; with v2 it holds for the node as a whole.",
			Effect:  "Every synchronous write takes LATENCY for each request it makes, more when they queue; etcd on a control plane loses its leadership.",
			Targets: "node", TargetHelp: nodeHelp, Find: c.nodesWithoutAPI, Needs: disk,
			Params: []fault.Param{paramLatency},
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				return eachNode(in, func(node string) (fault.Step, error) {
					return c.NewThrottle(step.Place{Machine: node}, in.Values.Duration("latency"))
				})
			},
		},
		{
			Name: "node-disk-error", Layer: fault.LayerNode,
			Summary: "Break a node's disk: every write, and every read of what is not in memory, fails with EIO. Undo cuts the node's power and switches it on again.",
			Effect:  "kubelet and containers fail one after the other; what was not synced is lost.",
			Targets: "node", TargetHelp: nodeHelp, Find: c.nodesWithoutAPI,
			Needs: []cluster.Capability{cluster.CapabilityDisk, cluster.CapabilityPower},
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				return eachNode(in, c.NewDiskError)
			},
		},
		{
			Name: "node-pid-exhaustion", Layer: fault.LayerNode,
			Summary: "Lower the number of processes and threads that a node may have to those it has.",
			Effect:  "Nothing new starts on the node: forks fail with \"resource temporarily unavailable\", exec probes and new containers with them.",
			Targets: "node", TargetHelp: nodeHelp, Find: c.nodesWithoutAPI, Needs: exec,
			Params: []fault.Param{{Name: "leave", Type: fault.Integer, Default: "0", Min: "0", Max: "200", Help: "how many more may be started"}},
			Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
				return eachNode(in, func(node string) (fault.Step, error) { return c.NewPIDLimit(node, int(in.Values.Int("leave"))) })
			},
		},
	}
}

// The kernel's throttle works in slices of 100 ms (block/blk-throttle.c), within
// which a shorter latency would let single requests pass at once.
var paramLatency = fault.Param{Name: "latency", Type: fault.Duration, Default: "100ms", Min: "100ms", Max: "1s", Help: "time per request; the kernel throttles in slices of 100 ms"}

// planStress makes stress steps of whichever parameters the kind has.
func (c *catalogue) planStress(_ context.Context, in fault.Input) (fault.Plan, error) {
	v := in.Values
	config := stress.Config{Workers: int(v.Int("workers")), Load: v.Fraction("load"), Memory: v.Int("size"), Rate: v.Int("rate")}
	var plan fault.Plan
	var group fault.Stage
	for _, t := range in.Targets {
		p := step.Place{Machine: t.Node}
		if t.Type == "pod" {
			namespace, pod, _ := strings.Cut(t.Name, "/")
			var err error
			if p, err = c.PlaceOf(t.Node, namespace, pod, v.Text("container")); err != nil {
				return plan, err
			}
		}
		s, err := c.NewStress(p, config, v.Fraction("percent"))
		if err != nil {
			return plan, err
		}
		if s.Memory > 0 && s.Rate > 0 {
			plan.Patience = max(plan.Patience, time.Duration(s.Memory/s.Rate+10)*time.Second)
		}
		group.Steps = append(group.Steps, s)
	}
	plan.Stages = []fault.Stage{group}
	return plan, nil
}

// nodesWithoutAPI finds nodes of the lab; it needs no API server.
func (c *catalogue) nodesWithoutAPI(ctx context.Context, selector string) ([]fault.Target, error) {
	if selector == "any" || selector == "all" {
		selector = "nodes"
	}
	found, err := c.machines(ctx, selector)
	var out []fault.Target
	for _, t := range found {
		if m := c.Local.Topology.Machine(t.Name); m.Node != nil {
			t.Type = "node"
			out = append(out, t)
		}
	}
	return out, err
}

func eachNode(in fault.Input, plan func(node string) (fault.Step, error)) (fault.Plan, error) {
	var steps []fault.Step
	for _, t := range in.Targets {
		s, err := plan(t.Name)
		if err != nil {
			return fault.Plan{}, err
		}
		steps = append(steps, s)
	}
	return fault.Together(steps...), nil
}

func eachPod(in fault.Input, plan func(t fault.Target, namespace, pod string) (fault.Step, error)) (fault.Plan, error) {
	var steps []fault.Step
	for _, t := range in.Targets {
		namespace, pod, ok := strings.Cut(t.Name, "/")
		if !ok {
			return fault.Plan{}, fmt.Errorf("%s is no pod", t.Name)
		}
		s, err := plan(t, namespace, pod)
		if err != nil {
			return fault.Plan{}, err
		}
		steps = append(steps, s)
	}
	return fault.Together(steps...), nil
}

package catalogue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zdl/internal/cluster"
	"zdl/internal/cluster/local"
	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// finder finds targets by a selector.
type finder = func(context.Context, string) ([]fault.Target, error)

// planner makes one plan for all chosen targets.
type planner = func(context.Context, fault.Input) (fault.Plan, error)

// eachTarget plans one step for every target, done at the same time.
func eachTarget(plan func(ctx context.Context, in fault.Input, t fault.Target) (fault.Step, error)) planner {
	return func(ctx context.Context, in fault.Input) (fault.Plan, error) {
		var steps []fault.Step
		for _, t := range in.Targets {
			s, err := plan(ctx, in, t)
			if err != nil {
				return fault.Plan{}, err
			}
			steps = append(steps, s)
		}
		return fault.Together(steps...), nil
	}
}

// onMachines finds machines of some kinds, without the API server. The words
// that stand for several leave out those that are off; in addition the selector
// may be one that special knows.
func (c *catalogue) onMachines(word string, special func(context.Context, string) (string, error), kinds ...topology.Kind) finder {
	return func(ctx context.Context, selector string) ([]fault.Target, error) {
		var out []fault.Target
		for _, part := range strings.Split(selector, ",") {
			if special != nil {
				name, err := special(ctx, part)
				if err != nil {
					return nil, err
				}
				if name != "" {
					part = name
				}
			}
			for _, m := range c.Local.Topology.Of(kinds...) {
				t := fault.Target{Type: word, Name: m.Name, Node: m.Name, Zone: m.Zone}
				group := part == "any" || part == "all" || part == string(m.Kind)+"s" || part == "zone="+m.Zone && m.Zone != ""
				if (part == m.Name || group && c.Local.Powered(m.Name)) && !slices.Contains(out, t) {
					out = append(out, t)
				}
			}
		}
		return sorted(out), nil
	}
}

// needOn refuses a machine that is off or hangs.
func (c *catalogue) needOn(name string) error {
	switch state := c.Local.PowerState(name); state {
	case cluster.PowerOn:
		return nil
	default:
		return fault.Refuse(fmt.Sprintf("%s is %s.", name, state), "zdl status shows the machines; zdl node power-on "+name)
	}
}

// running finds the pods of a namespace in which a container of that name runs,
// without the API server: on all nodes that are on.
func (c *catalogue) running(namespace, container string) finder {
	return func(_ context.Context, selector string) ([]fault.Target, error) {
		var out []fault.Target
		for _, m := range c.Local.Topology.Nodes() {
			if zone, ok := strings.CutPrefix(selector, "zone="); ok && zone != m.Zone {
				continue
			}
			if node, ok := strings.CutPrefix(selector, "node="); ok && node != m.Name {
				continue
			}
			containers, err := c.Local.Containers(m.Name)
			if errors.Is(err, machine.ErrOff) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, x := range containers {
				named := selector == x.Pod || selector == x.Namespace+"/"+x.Pod
				group := selector == "any" || selector == "all" || strings.HasPrefix(selector, "zone=") || strings.HasPrefix(selector, "node=")
				if x.Namespace == namespace && x.Name == container && (named || group) {
					out = append(out, fault.Target{Type: "pod", Name: x.Namespace + "/" + x.Pod, UID: x.PodUID, Node: m.Name, Zone: m.Zone})
				}
			}
		}
		return sorted(out), nil
	}
}

// container finds a container of a pod on its node: that of the name, or with ""
// the first one, which is the one that started first.
func (c *catalogue) container(t fault.Target, name string) (*local.Container, error) {
	namespace, pod, _ := strings.Cut(t.Name, "/")
	all, err := c.Local.Containers(t.Node)
	if err != nil {
		return nil, err
	}
	var found []local.Container
	for _, x := range all {
		if x.Namespace == namespace && x.Pod == pod && !x.Sandbox {
			found = append(found, x)
		}
	}
	// A pod that replaces one of its name, as those of StatefulSets do, may run
	// beside its end. Static pods have another UID at the API server.
	if own := slices.DeleteFunc(slices.Clone(found), func(x local.Container) bool { return x.PodUID != t.UID }); len(own) > 0 {
		found = own
	}
	if len(found) == 0 {
		return nil, fault.Refuse(fmt.Sprintf("No container of %s runs on %s at this moment.", t.Name, t.Node), "wait until the pod is Running, or choose another")
	}
	if name == "" {
		return c.first(found), nil
	}
	var names []string
	for i := range found {
		if found[i].Name == name {
			return &found[i], nil
		}
		names = append(names, found[i].Name)
	}
	return nil, fault.Refuse(fmt.Sprintf("%s has no running container %q.", t.Name, name), "it has "+strings.Join(names, ", "))
}

// first is the container of a pod whose first process started first; sandboxes
// are not among them.
func (c *catalogue) first(of []local.Container) *local.Container {
	at, earliest := 0, ^uint64(0)
	if len(of) > 1 {
		for i := range of {
			if p, err := c.Local.ContainerProcess(&of[i]); err == nil && p.Start < earliest {
				at, earliest = i, p.Start
			}
		}
	}
	return &of[at]
}

// component finds the container of a static pod of the control plane on a node.
func (c *catalogue) component(node, container string) (*local.Container, error) {
	if err := c.needOn(node); err != nil {
		return nil, err
	}
	return c.container(fault.Target{Name: "kube-system/" + container + "-" + node, Node: node}, container)
}

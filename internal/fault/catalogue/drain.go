package catalogue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"zdl/internal/fault"
	"zdl/internal/fault/step"
)

// drain lists the faults that keep pods off nodes.
func (c *catalogue) drain() []fault.Kind {
	return []fault.Kind{
		{
			Name: "node-cordon", Layer: fault.LayerNode, Needs: needsAPI,
			Summary: "Mark a node unschedulable, as kubectl cordon does.",
			Effect:  "Its pods stay, but no new one is placed on it.",
			Targets: "node", TargetHelp: nodeHelp, Find: c.nodes,
			Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
				return plan(in, func(t fault.Target) (fault.Step, error) {
					return c.patch(ctx, kubeNodes.In("", t.Name), nil, cordon())
				})
			},
		},
		{
			Name: "node-drain", Layer: fault.LayerNode, Needs: needsAPI,
			Summary: "Cordon a node and evict its pods as kubectl drain does, honouring disruption budgets; pods of daemon sets and static pods stay, data in emptyDir volumes is lost.",
			Effect:  "Its pods end in their own time and start elsewhere; a service with enough replicas and a budget is not interrupted.",
			Targets: "node", TargetHelp: nodeHelp, Find: c.nodes,
			Params: []fault.Param{
				{Name: "timeout", Type: fault.Duration, Default: "90s", Min: "1s", Max: "10m", Help: "how long to go on until no pod is left"},
				fault.Flag("force", "evict pods without a controller too; they are made anew when the fault is undone", false),
			},
			Plan: c.planDrain,
		},
		{
			Name: "taint", Layer: fault.LayerObject, Needs: needsAPI,
			Summary: "Taint a node, and take the taint off again.",
			Effect:  "No pod that does not tolerate it is placed on the node; with NoExecute those on it are evicted at once, and no disruption budget is asked.",
			Targets: "node", TargetHelp: nodeHelp, Find: c.nodes,
			Params: []fault.Param{
				{Name: "key", Type: fault.Text, Default: "zdl.dev/taint", Help: "the taint's key"},
				{Name: "value", Type: fault.Text, Help: "the taint's value"},
				{Name: "effect", Type: fault.Choice, Choices: []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}, Default: "NoSchedule", Help: "what becomes of pods that do not tolerate it"},
			},
			Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
				key, value := in.Values.Text("key"), in.Values.Text("value")
				if wrong := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(wrong) > 0 {
					return fault.Plan{}, fault.Refuse(fmt.Sprintf("%s=%s cannot be a taint.", key, value), strings.Join(wrong, "; "))
				}
				taint := map[string]any{"key": key, "effect": in.Values.Text("effect")}
				if value != "" {
					taint["value"] = value
				}
				return plan(in, func(t fault.Target) (fault.Step, error) {
					return c.patch(ctx, kubeNodes.In("", t.Name), nil, step.AddMember("/spec/taints", taint))
				})
			},
		},
	}
}

func cordon() step.Field { return step.Set("/spec/unschedulable", true) }

func (c *catalogue) planDrain(ctx context.Context, in fault.Input) (fault.Plan, error) {
	cordons, drains := fault.Stage{}, fault.Stage{}
	for _, t := range in.Targets {
		node := kubeNodes.In("", t.Name)
		o, err := c.Object(ctx, node)
		if err != nil {
			return fault.Plan{}, err
		}
		if o == nil {
			return fault.Plan{}, fault.Refuse(fmt.Sprintf("There is no %s.", node), "kubectl get nodes shows what there is")
		}
		if already, _, _ := unstructured.NestedBool(o.Object, "spec", "unschedulable"); !already {
			s, err := c.patch(ctx, node, nil, cordon())
			if err != nil {
				return fault.Plan{}, err
			}
			cordons.Steps = append(cordons.Steps, s)
		}
		s, err := c.NewDrain(ctx, t.Name, in.Values.Duration("timeout"), in.Values.Bool("force"))
		if err != nil {
			return fault.Plan{}, err
		}
		drains.Steps = append(drains.Steps, s)
	}
	if len(cordons.Steps) == 0 {
		return fault.Plan{Stages: []fault.Stage{drains}}, nil
	}
	return fault.Plan{Stages: []fault.Stage{cordons, drains}}, nil
}

// objectLease lists the faults of leader elections.
func (c *catalogue) objectLease() []fault.Kind {
	return []fault.Kind{{
		Name: "lease-loss", Layer: fault.LayerControlPlane, Needs: needsAPI,
		Summary: "Take the lease of the leading scheduler or controller manager away, as if another had won the election, and keep it.",
		Effect:  "The leader's process gives up within its renew deadline (10 s, 3 s with fast timings) and is started again; nobody schedules, or reconciles, until the fault is undone and a candidate takes the lease.",
		Targets: "lease", TargetHelp: "kube-scheduler or kube-controller-manager", DefaultTarget: "kube-scheduler",
		Find: func(_ context.Context, selector string) ([]fault.Target, error) {
			var out []fault.Target
			for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
				if selector == name || selector == "any" {
					out = append(out, fault.Target{Type: "lease", Name: "kube-system/" + name})
				}
			}
			return out, nil
		},
		Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			p, err := plan(in, func(t fault.Target) (fault.Step, error) {
				_, name, _ := strings.Cut(t.Name, "/")
				// kubeadm's static pods are named after component and node, and so are
				// the holders of leases: NODE_UUID.
				pod := func(holder string) step.Ref {
					node, _, _ := strings.Cut(holder, "_")
					return step.Pods.In("kube-system", name+"-"+node)
				}
				return c.NewLease(ctx, leases.In("kube-system", name), in.ID, in.For, pod)
			})
			p.Patience = 30 * time.Second
			return p, err
		},
	}}
}

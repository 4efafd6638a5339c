package catalogue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/fault"
	"zdl/internal/fault/step"
)

// restartParam starts pods that read what was changed.
var restartParam = fault.Flag("restart", "roll the deployment out anew, so that a pod starts with what was changed; without it nothing happens until the next pod starts", true)

// objectConfig lists the faults of what workloads are configured by.
func (c *catalogue) objectConfig() []fault.Kind {
	return []fault.Kind{
		{
			Name: "secret-missing-key", Layer: fault.LayerObject, Needs: needsAPI,
			Summary: "Remove a key from a Secret that a deployment's pods need in order to start.",
			Effect:  "New pods show CreateContainerConfigError and the rollout is stuck; pods that run already do not notice.",
			Targets: "deployment", TargetHelp: objectHelp(step.Deployments), DefaultTarget: targetName,
			Params: []fault.Param{
				{Name: "secret", Type: fault.Text, Help: "which of the Secrets that the deployment uses; without it the first"},
				{Name: "key", Type: fault.Text, Help: "which key; without it the first that the deployment uses"},
				restartParam,
			},
			Find: c.objects(step.Deployments),
			Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
				return c.planConfig(ctx, in, secrets, in.Values.Text("secret"), func(key string) step.Field {
					return step.Field{Path: "/data/" + step.Escape(key), Secret: true}
				})
			},
		},
		{
			Name: "configmap-broken", Layer: fault.LayerObject, Needs: needsAPI,
			Summary: "Give a ConfigMap that a deployment's pods read a value that their program cannot start with.",
			Effect:  "New pods crash, CrashLoopBackOff, and the rollout is stuck; pods that run already do not notice.",
			Targets: "deployment", TargetHelp: objectHelp(step.Deployments), DefaultTarget: targetName,
			Params: []fault.Param{
				{Name: "configmap", Type: fault.Text, Help: "which of the ConfigMaps that the deployment uses; without it the first"},
				{Name: "key", Type: fault.Text, Help: "which key; without it the first that the deployment uses"},
				{Name: "value", Type: fault.Text, Default: "broken by zdl", Help: "the value that it gets"},
				restartParam,
			},
			Find: c.objects(step.Deployments),
			Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
				return c.planConfig(ctx, in, configMaps, in.Values.Text("configmap"), func(key string) step.Field {
					return step.Set("/data/"+step.Escape(key), in.Values.Text("value"))
				})
			},
		},
	}
}

// planConfig changes a key of an object that deployments use, and restarts them.
func (c *catalogue) planConfig(ctx context.Context, in fault.Input, kind step.Ref, object string, change func(key string) step.Field) (fault.Plan, error) {
	var rollouts, changes, restarts fault.Stage
	changed := map[string]bool{} // several deployments may use the same object
	for _, t := range in.Targets {
		r := refOf(t, step.Deployments)
		source, key, err := c.source(ctx, r, kind, object, in.Values.Text("key"))
		if err != nil {
			return fault.Plan{}, err
		}
		if id := source.Name + "/" + key; !changed[r.Namespace+"/"+id] {
			changed[r.Namespace+"/"+id] = true
			s, err := c.patch(ctx, source, nil, change(key))
			if err != nil {
				return fault.Plan{}, err
			}
			changes.Steps = append(changes.Steps, s)
		}
		if !in.Values.Bool("restart") {
			continue
		}
		rollout, err := c.NewRollout(ctx, r)
		if err != nil {
			return fault.Plan{}, err
		}
		restart, err := c.patch(ctx, r, nil, step.Set("/spec/template/metadata/annotations/"+step.Escape("zdl.dev/restart"), in.ID))
		if err != nil {
			return fault.Plan{}, err
		}
		rollouts.Steps, restarts.Steps = append(rollouts.Steps, rollout), append(restarts.Steps, restart)
	}
	if len(restarts.Steps) == 0 {
		return fault.Plan{Stages: []fault.Stage{changes}}, nil
	}
	return fault.Plan{Stages: []fault.Stage{rollouts, changes, restarts}}, nil
}

// source finds the ConfigMap or Secret, and its key, that a deployment reads.
func (c *catalogue) source(ctx context.Context, r, kind step.Ref, object, key string) (step.Ref, string, error) {
	kube, err := c.Kube()
	if err != nil {
		return kind, "", err
	}
	d, err := kube.AppsV1().Deployments(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
	if err != nil {
		return kind, "", fmt.Errorf("read %s: %w", r, err)
	}
	uses := usesOf(&d.Spec.Template.Spec, kind.Kind)
	if object == "" && len(uses) > 0 {
		object = uses[0].object
	}
	var named []string
	found := false
	for _, u := range uses {
		named = append(named, u.object)
		if u.object == object && !found {
			found = true
			if key == "" {
				key = u.key
			}
		}
	}
	if !found {
		hint := fmt.Sprintf("it uses no %s that it cannot do without", kind.Kind)
		if len(named) > 0 {
			hint = "it uses " + strings.Join(slices.Compact(named), ", ")
		}
		return kind, "", fault.Refuse(fmt.Sprintf("The %s does not use the %s %q.", r, kind.Kind, object), hint)
	}
	o, err := c.Object(ctx, kind.In(r.Namespace, object))
	if err != nil {
		return kind, "", err
	}
	if o == nil {
		return kind, "", fault.Refuse(fmt.Sprintf("The %s uses the %s %q, and there is none.", r, kind.Kind, object), "make it first")
	}
	data, _ := o.Object["data"].(map[string]any)
	keys := slices.Sorted(maps.Keys(data))
	if key == "" && len(keys) > 0 {
		key = keys[0]
	}
	if _, ok := data[key]; !ok {
		return kind, "", fault.Refuse(fmt.Sprintf("The %s %s has no key %q.", kind.Kind, object, key), "it has "+strings.Join(keys, ", "))
	}
	return kind.In(r.Namespace, object), key, nil
}

// use is one place where pods need a ConfigMap or Secret; key is "" where they
// need all of it.
type use struct{ object, key string }

// usesOf lists what containers read from objects of a kind without being told
// that it is optional: variables first, for these are read at the start.
func usesOf(p *corev1.PodSpec, kind string) []use {
	var out []use
	add := func(object, key string, optional *bool) {
		if object != "" && (optional == nil || !*optional) {
			out = append(out, use{object, key})
		}
	}
	for i := range p.Containers {
		for _, e := range p.Containers[i].Env {
			if e.ValueFrom == nil {
				continue
			}
			if r := e.ValueFrom.ConfigMapKeyRef; r != nil && kind == "ConfigMap" {
				add(r.Name, r.Key, r.Optional)
			}
			if r := e.ValueFrom.SecretKeyRef; r != nil && kind == "Secret" {
				add(r.Name, r.Key, r.Optional)
			}
		}
		for _, e := range p.Containers[i].EnvFrom {
			if r := e.ConfigMapRef; r != nil && kind == "ConfigMap" {
				add(r.Name, "", r.Optional)
			}
			if r := e.SecretRef; r != nil && kind == "Secret" {
				add(r.Name, "", r.Optional)
			}
		}
	}
	for i := range p.Volumes {
		if v := p.Volumes[i].ConfigMap; v != nil && kind == "ConfigMap" {
			add(v.Name, itemKey(v.Items), v.Optional)
		}
		if v := p.Volumes[i].Secret; v != nil && kind == "Secret" {
			add(v.SecretName, itemKey(v.Items), v.Optional)
		}
	}
	return out
}

func itemKey(items []corev1.KeyToPath) string {
	if len(items) == 0 {
		return ""
	}
	return items[0].Key
}

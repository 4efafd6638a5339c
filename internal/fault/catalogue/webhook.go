package catalogue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"zdl/internal/fault"
	"zdl/internal/fault/step"
)

// blackHole is an address of the range for benchmarks (RFC 2544) that the lab
// gives to nobody. Nothing is ever sent to it.
const blackHole = "198.18.255.254"

// webhook lists the faults of admission webhooks.
func (c *catalogue) webhook() []fault.Kind {
	return []fault.Kind{{
		Name: "webhook-hang", Layer: fault.LayerControlPlane, Needs: needsAPI,
		Summary: "Register a validating admission webhook whose backend never answers, for one namespace.",
		Effect:  "Every creation and change of the chosen resources waits until the timeout and is then refused (failurePolicy Fail) or let through (Ignore): pods that end are not replaced, or late.",
		Targets: "namespace", TargetHelp: "NAMESPACE, or any; none of the cluster's own, so that it can be healed", DefaultTarget: targetName,
		Params: []fault.Param{
			{Name: "timeout", Type: fault.Integer, Default: "10", Min: "1", Max: "30", Help: "the webhook's timeoutSeconds"},
			{Name: "policy", Type: fault.Choice, Choices: []string{"Fail", "Ignore"}, Default: "Fail", Help: "the webhook's failurePolicy: what becomes of requests after the timeout"},
			{Name: "resources", Type: fault.Choice, Choices: []string{"pods", "configmaps", "secrets", "services", "all"}, Default: "pods", Help: "whose creation and change it is asked about"},
		},
		Find: c.namespaces,
		Plan: func(_ context.Context, in fault.Input) (fault.Plan, error) {
			var names []any
			for _, t := range in.Targets {
				if systemNamespace(t.Name) {
					return fault.Plan{}, fault.Refuse(fmt.Sprintf("The namespace %s is the cluster's own, and a webhook that hangs there would keep it from healing.", t.Name), "choose another, such as "+targetName)
				}
				names = append(names, t.Name)
			}
			return c.planWebhook(in, names)
		},
	}}
}

// planWebhook makes the backend and then the webhook. The backend is a Service
// with internalTrafficPolicy Local whose only endpoint is on a node that does not
// exist: on every node kube-proxy drops, without an answer, what is sent to it
// (pkg/proxy/nftables of v1.36; it rejects only where there is no endpoint at all).
func (c *catalogue) planWebhook(in fault.Input, namespaces []any) (fault.Plan, error) {
	name := "zdl-" + in.ID
	service, err := c.NewCreate(services.In("kube-system", name), in.ID, map[string]any{"spec": map[string]any{
		"internalTrafficPolicy": "Local",
		"ports":                 []any{map[string]any{"name": "https", "port": 443, "protocol": "TCP"}},
	}}, nil)
	if err != nil {
		return fault.Plan{}, err
	}
	slice, err := c.NewCreate(endpointSlices.In("kube-system", name), in.ID, map[string]any{
		"metadata":    map[string]any{"labels": map[string]any{"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "zdl"}},
		"addressType": "IPv4",
		"ports":       []any{map[string]any{"name": "https", "port": 443, "protocol": "TCP"}},
		"endpoints":   []any{map[string]any{"addresses": []any{blackHole}, "nodeName": "zdl-nowhere", "conditions": map[string]any{"ready": true}}},
	}, nil)
	if err != nil {
		return fault.Plan{}, err
	}
	resource := in.Values.Text("resources")
	timeout := in.Values.Int("timeout")
	rule := map[string]any{"apiGroups": []any{"*"}, "apiVersions": []any{"*"}, "operations": []any{"CREATE", "UPDATE"}, "resources": []any{resource}, "scope": "Namespaced"}
	if resource == "all" {
		rule["resources"] = []any{"*"}
	}
	hang := trial(resource, namespaces[0].(string))
	hang.AtLeast = min(time.Duration(timeout)*time.Second-100*time.Millisecond, time.Second)
	webhook, err := c.NewCreate(validatingWebhooks.In("", name), in.ID, map[string]any{"webhooks": []any{map[string]any{
		"name":                    name + ".zdl.dev",
		"admissionReviewVersions": []any{"v1"},
		"sideEffects":             "None", // so that dry runs meet it too
		"failurePolicy":           in.Values.Text("policy"),
		"timeoutSeconds":          timeout,
		"clientConfig":            map[string]any{"service": map[string]any{"namespace": "kube-system", "name": name, "path": "/", "port": 443}},
		"rules":                   []any{rule},
		"namespaceSelector": map[string]any{"matchExpressions": []any{
			map[string]any{"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces},
		}},
		"matchConditions": []any{
			map[string]any{"name": "not-a-lease", "expression": "request.resource.group != 'coordination.k8s.io'"},
			map[string]any{"name": "not-an-undo", "expression": "!has(request.options.fieldManager) || request.options.fieldManager != '" + step.ObjectManager + "'"},
		},
	}}}, &step.Proof{Hangs: hang})
	if err != nil {
		return fault.Plan{}, err
	}
	return fault.Plan{Stages: []fault.Stage{{Steps: []fault.Step{service, slice}}, {Steps: []fault.Step{webhook}}}, Patience: 20 * time.Second}, nil
}

// trial is a creation, for a dry run, that a webhook for the resource is asked about.
func trial(resource, namespace string) *step.Hang {
	h := &step.Hang{Ref: configMaps.In(namespace, "")}
	body := map[string]any{}
	switch resource {
	case "pods":
		h.Ref, h.Manifest = step.Pods.In(namespace, ""), step.TrialPod(namespace)
		return h
	case "secrets":
		h.Ref = secrets.In(namespace, "")
	case "services":
		h.Ref = services.In(namespace, "")
		body["spec"] = map[string]any{"ports": []any{map[string]any{"port": 80}}}
	}
	body["apiVersion"], body["kind"] = "v1", h.Kind
	body["metadata"] = map[string]any{"generateName": "zdl-trial-", "namespace": namespace}
	h.Manifest, _ = json.Marshal(body) // literals
	return h
}

package addon

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// frugality is the GOGC of system pods: a garbage collection at a third of the
// usual growth. A lab with several control planes runs a data centre on one machine,
// and its system pods idle most of the time on heaps that grew while they
// started. Those that users' requests pass through are left alone: theirs are
// small and would be collected all the time.
const frugality = "33"

var inTheWay = map[string]bool{"web": true, "skipper-ingress": true}

// frugal sets GOGC in every container of a workload that does not set it itself.
func frugal(object *unstructured.Unstructured) error {
	if inTheWay[object.GetName()] {
		return nil
	}
	containers, found, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
	if err != nil || !found {
		return err
	}
	for _, c := range containers {
		container, ok := c.(map[string]any)
		if !ok {
			continue
		}
		env, _, err := unstructured.NestedSlice(container, "env")
		if err != nil {
			return err
		}
		set := false
		for _, e := range env {
			if variable, ok := e.(map[string]any); ok && variable["name"] == "GOGC" {
				set = true
			}
		}
		if !set {
			container["env"] = append(env, map[string]any{"name": "GOGC", "value": frugality})
		}
	}
	return unstructured.SetNestedSlice(object.Object, containers, "spec", "template", "spec", "containers")
}

package catalogue

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestAMissingImageKeepsItsRepository(t *testing.T) {
	for image, want := range map[string]string{
		"web":                       "web:zdl-missing",
		"zdl.local/web:v1":          "zdl.local/web:zdl-missing",
		"registry:5000/web":         "registry:5000/web:zdl-missing",
		"registry:5000/a/web:1":     "registry:5000/a/web:zdl-missing",
		"zdl.local/web@sha256:0000": "zdl.local/web:zdl-missing",
	} {
		if got := missing(image); got != want {
			t.Errorf("%s: got %s, want %s", image, got, want)
		}
	}
}

func TestOnlyWhatPodsCannotDoWithoutIsBroken(t *testing.T) {
	yes := true
	env := func(kind, object, key string, optional *bool) corev1.EnvVar {
		ref := corev1.LocalObjectReference{Name: object}
		if kind == "Secret" {
			return corev1.EnvVar{ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref, Key: key, Optional: optional}}}
		}
		return corev1.EnvVar{ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref, Key: key, Optional: optional}}}
	}
	pod := &corev1.PodSpec{
		Containers: []corev1.Container{{
			Env: []corev1.EnvVar{{Name: "PLAIN", Value: "1"}, env("Secret", "s", "maybe", &yes), env("Secret", "s", "must", nil), env("ConfigMap", "c", "k", nil)},
		}},
		Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "files"}}}},
	}
	if got, want := usesOf(pod, "Secret"), []use{{"s", "must"}, {"files", ""}}; !slices.Equal(got, want) {
		t.Errorf("secrets: got %v, want %v", got, want)
	}
	if got, want := usesOf(pod, "ConfigMap"), []use{{"c", "k"}}; !slices.Equal(got, want) {
		t.Errorf("configmaps: got %v, want %v", got, want)
	}
}

func TestEveryRouteOfAnIngressIsFound(t *testing.T) {
	backend := func(name string) map[string]any {
		return map[string]any{"backend": map[string]any{"service": map[string]any{"name": name}}}
	}
	rules := []any{
		map[string]any{"http": map[string]any{"paths": []any{backend("a"), map[string]any{"backend": map[string]any{"resource": map[string]any{}}}}}},
		map[string]any{"host": "h", "http": map[string]any{"paths": []any{backend("b")}}},
	}
	if got, want := ruleServices(rules), []string{"/spec/rules/0/http/paths/0/backend/service/name", "/spec/rules/1/http/paths/0/backend/service/name"}; !slices.Equal(got, want) {
		t.Errorf("services: got %v, want %v", got, want)
	}
	if got, want := ruleHosts(rules), []string{"/spec/rules/0/host", "/spec/rules/1/host"}; !slices.Equal(got, want) {
		t.Errorf("hosts: got %v, want %v", got, want)
	}
}

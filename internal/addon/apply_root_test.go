package addon

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"zdl/internal/labfile"
	"zdl/test/apiserver"
)

// TestApply is one test with parts, because an API server takes seconds to start.
func TestApply(t *testing.T) {
	set := apiserver.Artifacts(t)
	cfg := apiserver.Start(t, set.Bin, "--allow-privileged")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	builtParams := func(timing labfile.Timing) Params {
		p := params(t, "ha", timing)
		p.Images = set.Images
		return p
	}
	p := builtParams(labfile.Realistic)
	objects := everything(t, p)

	// Begins before the API server is ready, as the lab does.
	began := time.Now()
	if err := Apply(ctx, cfg, objects); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects, from the API server's start: %s", len(objects), time.Since(began))
	before := versions(t, ctx, cfg, objects)

	t.Run("again changes nothing", func(t *testing.T) {
		began := time.Now()
		if err := Apply(ctx, cfg, objects); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d objects that are there already: %s", len(objects), time.Since(began))
		if after := versions(t, ctx, cfg, objects); !maps.Equal(before, after) {
			t.Errorf("before %v\nafter %v", before, after)
		}
	})

	t.Run("a user's change survives, unless the manifest changes", func(t *testing.T) {
		apps := kubernetes.NewForConfigOrDie(cfg).AppsV1().Deployments("web")
		scale, err := apps.GetScale(ctx, "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		scale.Spec.Replicas = 7
		if _, err := apps.UpdateScale(ctx, "web", scale, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		replicas := func(p Params) int32 {
			if err := Apply(ctx, cfg, everything(t, p)); err != nil {
				t.Fatal(err)
			}
			d, err := apps.Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return *d.Spec.Replicas
		}
		if got := replicas(p); got != 7 {
			t.Errorf("replicas are %d, the user wanted 7", got)
		}
		if got := replicas(builtParams(labfile.Fast)); got != 3 {
			t.Errorf("replicas are %d, the new manifest says 3", got)
		}
	})

	t.Run("a rejected object is named", func(t *testing.T) {
		bad := objects[slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Ingress" })].DeepCopy()
		bad.SetName("typo")
		_ = unstructured.SetNestedField(bad.Object, "x", "spec", "clas")
		err := Apply(ctx, cfg, []*unstructured.Unstructured{bad})
		if err == nil || !strings.Contains(err.Error(), "Ingress web/typo") || !strings.Contains(err.Error(), ".spec.clas: field not declared") {
			t.Errorf("got %v", err)
		}
	})

	t.Run("a pod of the target learns its zone from its node", func(t *testing.T) {
		client := kubernetes.NewForConfigOrDie(cfg)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1", Labels: map[string]string{corev1.LabelTopologyZone: "zone-a"}}}
		if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		d, err := client.AppsV1().Deployments("web").Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pod := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
		pod.Name = "web-1"
		pods := client.CoreV1().Pods("web")
		if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "web-1"}, Target: corev1.ObjectReference{Kind: "Node", Name: "worker-1"}}
		if err := pods.Bind(ctx, binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		got, err := pods.Get(ctx, "web-1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if zone := got.Labels[corev1.LabelTopologyZone]; zone != "zone-a" {
			t.Errorf("the pod's zone label is %q", zone)
		}
		if s := got.Spec.Containers[0].Lifecycle.PreStop.Sleep; s == nil || s.Seconds != 3 {
			t.Errorf("preStop is %+v", got.Spec.Containers[0].Lifecycle.PreStop)
		}
	})
}

// versions reads back every object, by the resource version it has.
func versions(t *testing.T, ctx context.Context, cfg *rest.Config, objects []*unstructured.Unstructured) map[string]string {
	t.Helper()
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	client := dynamic.NewForConfigOrDie(cfg)
	out := map[string]string{}
	for _, o := range objects {
		got, err := resourceOf(client, o).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			t.Fatalf("%s: %v", describe(o), err)
		}
		if !slices.ContainsFunc(got.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Manager == FieldManager }) {
			t.Errorf("%s: no field is managed by %s", describe(o), FieldManager)
		}
		if o.GetKind() != "APIService" { // the API server keeps writing its status
			out[describe(o)] = got.GetResourceVersion()
		}
	}
	return out
}

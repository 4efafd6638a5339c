package shop

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"helm.sh/helm/v4/pkg/release/common"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"

	"zdl/internal/cluster"
	"zdl/internal/labfile"
	"zdl/internal/topology"
	"zdl/test/apiserver"
)

// One test with parts, because an API server takes seconds to start. Nothing runs
// there, so what is proven is what becomes of the objects.
func TestTheReleaseOnARealAPIServer(t *testing.T) {
	set := apiserver.Artifacts(t)
	config := apiserver.Start(t, set.Bin, "--allow-privileged")
	lab, err := labfile.Profile("shop")
	if err != nil {
		t.Fatal(err)
	}
	m := New(Config{Values: LabValues(lab, topology.New(lab), built()), Kube: func() (*rest.Config, error) { return config, nil }})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client := kubernetes.NewForConfigOrDie(config)
	apply := func(routing string) bool {
		t.Helper()
		began := time.Now()
		fresh, err := m.apply(ctx, routing)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("applied in %v", time.Since(began))
		return fresh
	}
	passwords := func() string {
		t.Helper()
		var all []string
		for _, store := range Stores {
			s, err := client.CoreV1().Secrets(Namespace).Get(ctx, store, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range slices.Sorted(maps.Keys(s.Data)) {
				all = append(all, store+"/"+key+"="+string(s.Data[key]))
			}
		}
		return strings.Join(all, "\n")
	}
	records := func() map[int]common.Status {
		t.Helper()
		found, err := history(storage.Init(driver.NewSecrets(client.CoreV1().Secrets(Namespace))))
		if err != nil {
			t.Fatal(err)
		}
		out := map[int]common.Status{}
		for _, r := range found {
			out[r.Version] = r.Info.Status
		}
		return out
	}

	if fresh := apply(""); !fresh {
		t.Error("a first installation is no fresh one")
	}
	first := passwords()
	s := m.Status(ctx)
	if !s.Installed || s.Ready || len(s.Parts) != 13 || s.Revision != 1 || s.Routing != cluster.RoutingPerService || !strings.Contains(s.Trouble, "web (0 of 2)") {
		t.Errorf("%+v", s)
	}
	d, err := client.AppsV1().Deployments(Namespace).Get(ctx, "cart", metav1.GetOptions{})
	if err != nil || d.Labels["app.kubernetes.io/managed-by"] != "Helm" || d.Annotations["meta.helm.sh/release-name"] != "shop" {
		t.Errorf("the program helm would refuse to touch cart: %v %v, %v", d.Labels, d.Annotations, err)
	}

	t.Run("again changes nothing", func(t *testing.T) {
		if fresh := apply(""); fresh {
			t.Error("told as a first installation")
		}
		after, err := client.AppsV1().Deployments(Namespace).Get(ctx, "cart", metav1.GetOptions{})
		if err != nil || after.ResourceVersion != d.ResourceVersion || passwords() != first {
			t.Errorf("something changed: %v", err)
		}
		if got := records(); !maps.Equal(got, map[int]common.Status{1: common.StatusDeployed}) {
			t.Errorf("records: %v", got)
		}
	})

	t.Run("routes go and come back", func(t *testing.T) {
		apply(cluster.RoutingAllToWeb)
		if s := m.Status(ctx); s.Routing != cluster.RoutingAllToWeb || s.Revision != 2 {
			t.Errorf("routing %q, revision %d", s.Routing, s.Revision)
		}
		apply("") // as it is
		if s := m.Status(ctx); s.Routing != cluster.RoutingAllToWeb || s.Revision != 2 {
			t.Errorf("not kept: routing %q, revision %d", s.Routing, s.Revision)
		}
		apply(cluster.RoutingPerService)
		if s := m.Status(ctx); s.Routing != cluster.RoutingPerService || s.Revision != 3 {
			t.Errorf("routing %q, revision %d", s.Routing, s.Revision)
		}
		if passwords() != first {
			t.Error("passwords changed")
		}
		if got := records(); got[3] != common.StatusDeployed || got[2] != common.StatusSuperseded || got[1] != common.StatusSuperseded {
			t.Errorf("records: %v", got)
		}
	})

	t.Run("an upgrade does not undo what the autoscaler has decided", func(t *testing.T) {
		scale, err := client.AppsV1().Deployments(Namespace).GetScale(ctx, "cart", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		scale.Spec.Replicas = 4
		if _, err := client.AppsV1().Deployments(Namespace).UpdateScale(ctx, "cart", scale, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		apply(cluster.RoutingAllToWeb)
		after, err := client.AppsV1().Deployments(Namespace).Get(ctx, "cart", metav1.GetOptions{})
		if err != nil || *after.Spec.Replicas != 4 {
			t.Errorf("%d replicas, %v", *after.Spec.Replicas, err)
		}
	})

	t.Run("an attempt that was interrupted is completed with its passwords", func(t *testing.T) {
		store := storage.Init(driver.NewSecrets(client.CoreV1().Secrets(Namespace)))
		old, err := history(store)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range old {
			if _, err := store.Delete(r.Name, r.Version); err != nil {
				t.Fatal(err)
			}
		}
		pending := old[len(old)-1]
		pending.Version, pending.Info.Status = 1, common.StatusPendingInstall
		if err := store.Create(pending); err != nil {
			t.Fatal(err)
		}
		if err := client.AppsV1().Deployments(Namespace).Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if fresh := apply(""); !fresh {
			t.Error("what was never completed is no upgrade")
		}
		if s := m.Status(ctx); len(s.Parts) != 13 {
			t.Errorf("%d parts", len(s.Parts))
		}
		if got := records(); got[2] != common.StatusDeployed || passwords() != first {
			t.Errorf("records: %v; or passwords changed", got)
		}
	})
}

package shop

import (
	"context"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	manifests "zdl/deploy/shop"
	"zdl/internal/artifact"
	"zdl/internal/cluster"
	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// built is a set with all images of a shop.
func built() *artifact.Set {
	set := &artifact.Set{Images: map[string]string{}, Versions: map[string]string{"shop": "v1"}, Without: map[string]string{}}
	for _, s := range Services {
		set.Images["shop-"+s] = "zdl.local/shop-" + s + ":v1"
	}
	for _, image := range storeImages {
		set.Images[image] = "zdl.local/" + image + ":its-version"
	}
	return set
}

func labValues(t *testing.T, lab *labfile.Lab) map[string]any {
	t.Helper()
	return LabValues(lab, topology.New(lab), built())
}

func TestASetWithoutAnImageIsTold(t *testing.T) {
	set := built()
	if why := Missing(set); why != "" {
		t.Errorf("nothing is missing, but: %s", why)
	}
	delete(set.Images, "shop-cart")
	if why := Missing(set); !strings.Contains(why, "without shop-cart") || !strings.Contains(why, "zdl build") {
		t.Errorf("%q", why)
	}
	delete(set.Images, "redis")
	set.Without["redis"] = "this machine has no apt-get"
	if why := Missing(set); !strings.Contains(why, "redis was left out") && !strings.Contains(why, "shop-cart") {
		t.Errorf("%q", why)
	}
}

func TestTheShopFitsEveryProfile(t *testing.T) {
	for profile, want := range map[string]struct {
		members, least, most int
		reserved             bool
	}{"small": {2, 2, 2, false}, "ha": {3, 2, 3, false}, "shop": {3, 2, 5, true}} {
		lab, err := labfile.Profile(profile)
		if err != nil {
			t.Fatal(err)
		}
		files, err := manifests.Render(labValues(t, lab))
		if err != nil {
			t.Fatalf("%s: %v", profile, err)
		}
		for _, objects := range files {
			for _, o := range objects {
				switch o.GetKind() {
				case "HorizontalPodAutoscaler":
					least, _, _ := nested[int64](o.Object, "spec", "minReplicas")
					most, _, _ := nested[int64](o.Object, "spec", "maxReplicas")
					if int(least) != want.least || int(most) != want.most {
						t.Errorf("%s: %s has %d to %d replicas", profile, o.GetName(), least, most)
					}
				case "StatefulSet":
					n, _, _ := nested[int64](o.Object, "spec", "replicas")
					if o.GetName() == "orders" && int(n) != want.members {
						t.Errorf("%s: the ledger has %d members", profile, n)
					}
					selector, _, _ := nested[map[string]any](o.Object, "spec", "template", "spec", "nodeSelector")
					if (selector != nil) != want.reserved {
						t.Errorf("%s: %s is drawn to %v", profile, o.GetName(), selector)
					}
					containers, _, _ := nested[[]any](o.Object, "spec", "template", "spec", "containers")
					if image := containers[0].(map[string]any)["image"]; !strings.HasSuffix(image.(string), ":its-version") {
						t.Errorf("%s: %s runs %s", profile, o.GetName(), image)
					}
				}
			}
		}
	}
}

func TestUnevenZonesDoNotKeepReplicasWaiting(t *testing.T) {
	lab, err := labfile.Profile("shop")
	if err != nil {
		t.Fatal(err)
	}
	if got := labValues(t, lab)["spread"]; got.(map[string]any)["whenUnsatisfiable"] != "DoNotSchedule" {
		t.Errorf("two, two and one worker: %v", got)
	}
	for i := range lab.Nodes {
		if n := &lab.Nodes[i]; strings.HasPrefix(n.Name, "worker-") && n.Name != "worker-5" {
			n.Zone = lab.Zones[0]
		}
	}
	if got := labValues(t, lab)["spread"]; got.(map[string]any)["whenUnsatisfiable"] != "ScheduleAnyway" {
		t.Errorf("four workers in one zone: %v", got)
	}
}

// nested reads a value of a decoded object.
func nested[T any](object map[string]any, fields ...string) (T, bool, error) {
	var at any = object
	for _, f := range fields {
		m, _ := at.(map[string]any)
		at = m[f]
	}
	if n, ok := at.(float64); ok {
		at = int64(n)
	}
	out, ok := at.(T)
	return out, ok, nil
}

func labels(name string) map[string]string {
	return map[string]string{"app.kubernetes.io/part-of": "shop", "app.kubernetes.io/name": name}
}

// installed is a shop in which everything is ready.
func installed() []runtime.Object {
	two, one := int32(2), int32(1)
	container := corev1.PodSpec{Containers: []corev1.Container{{Image: "image"}}}
	var out []runtime.Object
	for _, name := range Services {
		out = append(out, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: Namespace, Labels: labels(name), Generation: 3},
			Spec:       appsv1.DeploymentSpec{Replicas: &two, Template: corev1.PodTemplateSpec{Spec: container}},
			Status:     appsv1.DeploymentStatus{ObservedGeneration: 3, UpdatedReplicas: 2, AvailableReplicas: 2},
		})
	}
	for _, name := range Stores {
		out = append(out, &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: Namespace, Labels: labels(name)},
			Spec:       appsv1.StatefulSetSpec{Replicas: &one, Template: corev1.PodTemplateSpec{Spec: container}},
			Status:     appsv1.StatefulSetStatus{UpdatedReplicas: 1, AvailableReplicas: 1},
		})
	}
	for _, name := range []string{"web", "cart"} {
		out = append(out, &networkingv1.Ingress{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: Namespace, Labels: labels(name)},
			Spec:       networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: "shop.zdl.test"}}},
		})
	}
	return append(out,
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "redis-0", Namespace: Namespace, Labels: labels("redis")}, Spec: corev1.PodSpec{NodeName: "db-2"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sh.helm.release.v1.shop.v12", Namespace: Namespace, Labels: map[string]string{"owner": "helm", "name": "shop", "version": "12"}}},
	)
}

func state(t *testing.T, objects ...runtime.Object) cluster.Shop {
	t.Helper()
	var s cluster.Shop
	if err := look(context.Background(), fake.NewClientset(objects...), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAShopIsReadyWhenEveryPartIs(t *testing.T) {
	s := state(t, installed()...)
	if !s.Installed || !s.Ready || s.Trouble != "" || s.Revision != 12 || s.Routing != cluster.RoutingPerService || !slices.Equal(s.Hosts, []string{"shop.zdl.test"}) {
		t.Errorf("%+v", s)
	}
	if len(s.Parts) != 13 || s.Parts[0].Name != "cart" || s.Parts[12].Name != "redis" || !s.Parts[12].Store || !slices.Equal(s.Parts[12].Nodes, []string{"db-2"}) {
		t.Errorf("%+v", s.Parts)
	}
}

func TestWhatAShopIsWaitingForIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]runtime.Object) []runtime.Object
		want   string
	}{
		"a replica is away": {func(o []runtime.Object) []runtime.Object {
			o[0].(*appsv1.Deployment).Status.AvailableReplicas = 1
			return o
		}, "web (1 of 2)"},
		"the controller has not seen a change": {func(o []runtime.Object) []runtime.Object {
			o[2].(*appsv1.Deployment).Status.ObservedGeneration = 2
			return o
		}, "cart (0 of 2)"},
		"a store is at zero": {func(o []runtime.Object) []runtime.Object {
			none := int32(0)
			o[9].(*appsv1.StatefulSet).Spec.Replicas = &none
			return o
		}, "redis (1 of 0)"},
		"a part is missing": {func(o []runtime.Object) []runtime.Object { return o[1:] }, "12 of 13"},
	} {
		if s := state(t, c.change(installed())...); s.Ready || !s.Installed || !strings.Contains(s.Trouble, c.want) {
			t.Errorf("%s: ready %v, %q", name, s.Ready, s.Trouble)
		}
	}
	if s := state(t); s.Installed || s.Ready || s.Trouble != "" {
		t.Errorf("an empty cluster: %+v", s)
	}
}

func TestEverythingToWebIsSeenInTheRoutes(t *testing.T) {
	objects := slices.DeleteFunc(installed(), func(o runtime.Object) bool {
		i, ok := o.(*networkingv1.Ingress)
		return ok && i.Name == "cart"
	})
	if s := state(t, objects...); s.Routing != cluster.RoutingAllToWeb {
		t.Errorf("routing %q", s.Routing)
	}
}

func TestALabThatCannotHaveAShopSaysSo(t *testing.T) {
	m := New(Config{Missing: "it has no images", Kube: func() (*rest.Config, error) { t.Error("the API server was asked"); return nil, nil }})
	if s := m.Status(context.Background()); s.Available || s.Why != "it has no images" {
		t.Errorf("%+v", s)
	}
	if _, err := m.Up(context.Background(), ""); err == nil || !strings.Contains(err.Error(), "it has no images") {
		t.Errorf("%v", err)
	}
	if _, err := m.Up(context.Background(), "sideways"); err == nil || !strings.Contains(err.Error(), "it is perService or allToWeb") {
		t.Errorf("%v", err)
	}
}

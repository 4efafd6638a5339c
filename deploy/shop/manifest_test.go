package shop

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
)

var services = []string{"cart", "catalogue", "dispatch", "payment", "ratings", "shipping", "user", "web"}

// typed decodes the chart's objects into the types of Kubernetes; a field that these
// do not have is an error.
func typed(t *testing.T, values map[string]any) []runtime.Object {
	t.Helper()
	files, err := Render(values)
	if err != nil {
		t.Fatal(err)
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Strict: true})
	var out []runtime.Object
	for _, file := range slices.Sorted(maps.Keys(files)) {
		for _, o := range files[file] {
			text, err := o.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			object, _, err := strict.Decode(text, nil, nil)
			if err != nil {
				t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
				continue
			}
			out = append(out, object)
		}
	}
	return out
}

func of[T runtime.Object](objects []runtime.Object) map[string]T {
	out := map[string]T{}
	for _, o := range objects {
		if x, ok := o.(T); ok {
			out[o.(metav1.Object).GetName()] = x
		}
	}
	return out
}

func TestEveryObjectIsOneThatKubernetesKnows(t *testing.T) {
	for name, v := range map[string]map[string]any{"default": nil, "dev": values(t, "dev"), "production": values(t, "production")} {
		objects := typed(t, v)
		if n := len(of[*appsv1.Deployment](objects)); n != 8 {
			t.Errorf("%s: %d Deployments", name, n)
		}
		if got := slices.Sorted(maps.Keys(of[*appsv1.StatefulSet](objects))); !slices.Equal(got, []string{"documents", "mariadb", "orders", "rabbitmq", "redis"}) {
			t.Errorf("%s: stores %v", name, got)
		}
		for _, o := range objects {
			if m := o.(metav1.Object); m.GetNamespace() != Namespace {
				t.Errorf("%s: %T %s is in the namespace %q", name, o, m.GetName(), m.GetNamespace())
			}
		}
	}
}

func TestStrictDecodingSeesAFieldThatDoesNotExist(t *testing.T) {
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Strict: true})
	if _, _, err := strict.Decode([]byte(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spec":{"prots":[]}}`), nil, nil); err == nil {
		t.Error("the field prots was accepted")
	}
}

func TestEachServiceHasWhatAServiceNeeds(t *testing.T) {
	objects := typed(t, nil)
	deployments, accounts, exposed := of[*appsv1.Deployment](objects), of[*corev1.ServiceAccount](objects), of[*corev1.Service](objects)
	budgets, scalers := of[*policyv1.PodDisruptionBudget](objects), of[*autoscalingv2.HorizontalPodAutoscaler](objects)
	for _, name := range services {
		d := deployments[name]
		if d == nil || accounts[name] == nil || exposed[name] == nil || budgets[name] == nil || scalers[name] == nil {
			t.Errorf("%s lacks one of Deployment, ServiceAccount, Service, PodDisruptionBudget and autoscaler", name)
			continue
		}
		pod := d.Spec.Template.Spec
		c := pod.Containers[0]
		if c.Image != "zdl.local/shop-"+name+":v1" || pod.ServiceAccountName != name {
			t.Errorf("%s: image %s, account %s", name, c.Image, pod.ServiceAccountName)
		}
		if c.ReadinessProbe == nil || c.LivenessProbe == nil || c.StartupProbe == nil || c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
			t.Errorf("%s lacks a probe or preStop", name)
		}
		if *pod.TerminationGracePeriodSeconds < c.Lifecycle.PreStop.Sleep.Seconds+3+5 {
			t.Errorf("%s is killed after %d s, before it can have ended", name, *pod.TerminationGracePeriodSeconds)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: resources %+v", name, c.Resources)
		}
		if !*c.SecurityContext.ReadOnlyRootFilesystem || !*pod.SecurityContext.RunAsNonRoot {
			t.Errorf("%s may be root, or write to its root", name)
		}
		if anti := pod.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution; len(anti) != 1 || anti[0].TopologyKey != corev1.LabelHostname {
			t.Errorf("%s: two replicas may share a node", name)
		}
		if len(pod.TopologySpreadConstraints) != 1 || pod.TopologySpreadConstraints[0].TopologyKey != corev1.LabelTopologyZone {
			t.Errorf("%s is not spread over zones", name)
		}
		for _, x := range pod.Tolerations {
			if x.Key == "dedicated" || x.Key == "" {
				t.Errorf("%s tolerates the taint of the database nodes", name)
			}
		}
		matches := func(what string, selector *metav1.LabelSelector) {
			s, err := metav1.LabelSelectorAsSelector(selector)
			if err != nil || !s.Matches(labels.Set(d.Spec.Template.Labels)) {
				t.Errorf("%s: the %s does not select its pods: %v", name, what, err)
			}
		}
		matches("Deployment", d.Spec.Selector)
		matches("PodDisruptionBudget", budgets[name].Spec.Selector)
		matches("Service", &metav1.LabelSelector{MatchLabels: exposed[name].Spec.Selector})
		if s := scalers[name].Spec; s.ScaleTargetRef.Name != name || *s.MinReplicas != *d.Spec.Replicas || s.MaxReplicas < *s.MinReplicas {
			t.Errorf("%s: autoscaler %+v", name, s)
		}
	}
}

func TestStoresAreOnReservedNodesAndNeverShareOne(t *testing.T) {
	for name, s := range of[*appsv1.StatefulSet](typed(t, nil)) {
		pod := s.Spec.Template.Spec
		if pod.NodeSelector["dedicated"] != "database" || !slices.ContainsFunc(pod.Tolerations, func(x corev1.Toleration) bool { return x.Key == "dedicated" }) {
			t.Errorf("%s is not drawn to the database nodes", name)
		}
		anti := pod.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
		selects, err := metav1.LabelSelectorAsSelector(anti[0].LabelSelector)
		if err != nil || len(anti) != 1 || anti[0].TopologyKey != corev1.LabelHostname || !selects.Matches(labels.Set(s.Spec.Template.Labels)) {
			t.Errorf("%s: two of its replicas may share a node: %v", name, err)
		}
		if len(s.Spec.VolumeClaimTemplates) != 1 || s.Spec.VolumeClaimTemplates[0].Spec.StorageClassName != nil {
			t.Errorf("%s: volumes %+v", name, s.Spec.VolumeClaimTemplates)
		}
		if !*pod.SecurityContext.RunAsNonRoot {
			t.Errorf("%s may be root", name)
		}
	}
}

func TestEverySecretKeyThatIsUsedExists(t *testing.T) {
	objects := typed(t, nil)
	secrets := of[*corev1.Secret](objects)
	used := map[string]bool{}
	check := func(who string, pod corev1.PodSpec) {
		for _, e := range pod.Containers[0].Env {
			if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
				continue
			}
			ref := e.ValueFrom.SecretKeyRef
			used[ref.Name+"/"+ref.Key] = true
			if s := secrets[ref.Name]; s == nil || s.StringData[ref.Key] == "" {
				t.Errorf("%s needs %s of the Secret %s, which is not there", who, ref.Key, ref.Name)
			}
		}
	}
	for name, d := range of[*appsv1.Deployment](objects) {
		check(name, d.Spec.Template.Spec)
	}
	for name, s := range of[*appsv1.StatefulSet](objects) {
		check(name, s.Spec.Template.Spec)
	}
	for name, s := range secrets {
		for key := range s.StringData {
			if !used[name+"/"+key] {
				t.Errorf("nobody uses %s of the Secret %s", key, name)
			}
		}
	}
}

func TestPasswordsAreMadeOnceAndNeverEmpty(t *testing.T) {
	one, other := of[*corev1.Secret](typed(t, nil)), of[*corev1.Secret](typed(t, nil))
	password := one["redis"].StringData["password"]
	if len(password) != 24 || password == other["redis"].StringData["password"] {
		t.Errorf("passwords %q and %q", password, other["redis"].StringData["password"])
	}
	if uri := one["redis"].StringData["uri"]; uri != "redis://:"+password+"@redis:6379/0" {
		t.Errorf("the address %q is not of the same password as %q", uri, password)
	}
	if m := one["mariadb"].StringData; !strings.Contains(m["ratings-dsn"], m["ratings"]) || m["ratings"] == m["shipping"] {
		t.Errorf("MariaDB: %v", m)
	}
}

func TestRoutesLeadToEachServiceOrToWebOnly(t *testing.T) {
	for routing, want := range map[string]string{
		"perService": "/ web, /api/cart/ cart, /api/catalogue/ catalogue, /api/payment/ payment, /api/ratings/ ratings, /api/shipping/ shipping, /api/user/ user",
		"allToWeb":   "/ web",
	} {
		var got []string
		for name, i := range of[*networkingv1.Ingress](typed(t, map[string]any{"ingress": map[string]any{"routing": routing}})) {
			for _, rule := range i.Spec.Rules[:1] {
				got = append(got, rule.HTTP.Paths[0].Path+" "+rule.HTTP.Paths[0].Backend.Service.Name)
				if rule.HTTP.Paths[0].Backend.Service.Name != name {
					t.Errorf("the Ingress %s leads to %s", name, rule.HTTP.Paths[0].Backend.Service.Name)
				}
			}
		}
		slices.Sort(got)
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%s: %s", routing, text)
		}
	}
	if _, err := Render(map[string]any{"ingress": map[string]any{"routing": "everywhere"}}); err == nil || !strings.Contains(err.Error(), "allowed are perService and allToWeb") {
		t.Errorf("routing everywhere: %v", err)
	}
}

// A service that works with a store must be let in, and nobody else.
func TestNetworkPoliciesLetInWhoNeedsAStore(t *testing.T) {
	objects := typed(t, nil)
	needs := map[string]bool{"orders orders": true}
	for name, d := range of[*appsv1.Deployment](objects) {
		for _, e := range d.Spec.Template.Spec.Containers[0].Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				needs[name+" "+e.ValueFrom.SecretKeyRef.Name] = true
			}
		}
	}
	allowed := map[string]bool{}
	for store, p := range of[*networkingv1.NetworkPolicy](objects) {
		if store == "shop" || store == "services" {
			continue
		}
		for _, x := range p.Spec.Ingress[0].From[0].PodSelector.MatchExpressions {
			if x.Key == "app.kubernetes.io/name" {
				for _, who := range x.Values {
					allowed[who+" "+store] = true
				}
			}
		}
	}
	if !maps.Equal(needs, allowed) {
		t.Errorf("needed: %v\nallowed: %v", slices.Sorted(maps.Keys(needs)), slices.Sorted(maps.Keys(allowed)))
	}
}

func TestPatronisTimesKeepTwoLeadersApart(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	orders := c.Values["stores"].(map[string]any)["orders"].(map[string]any)
	number := func(name string) (n int) {
		if _, err := fmt.Sscan(fmt.Sprint(orders[name]), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if number("loopWait")+2*number("retryTimeout") > number("ttl") {
		t.Errorf("loopWait + 2 * retryTimeout exceeds ttl: %v", orders)
	}
}

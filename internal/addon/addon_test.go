package addon

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// images are those that a lab has, by the names in its set of artifacts.
var images = map[string]string{
	"coredns": "zdl.local/coredns:v1.15.0", "skipper": "zdl.local/skipper:v0.22.0",
	"kube-proxy": "zdl.local/kube-proxy:v1.36.3", "web": "zdl.local/web:v1",
	"kube-network-policies": "zdl.local/kube-network-policies:v1.1.0", "metrics-server": "zdl.local/metrics-server:v0.9.0",
	"local-path-provisioner": "zdl.local/local-path-provisioner:v0.0.30", "toolbox": "zdl.local/toolbox:v1",
}

func params(t *testing.T, profile string, timing labfile.Timing) Params {
	t.Helper()
	lab, err := labfile.Profile(profile)
	if err != nil {
		t.Fatal(err)
	}
	lab.Timing = timing
	return Params{Lab: lab, Topology: topology.New(lab), Images: images,
		ClusterConfiguration: "kind: ClusterConfiguration\n", KubeletConfiguration: "kind: KubeletConfiguration\n", CertificateAuthority: "PEM",
		TLSCertificate: "PEM", TLSKey: "PEM"}
}

func everything(t *testing.T, p Params) []*unstructured.Unstructured {
	t.Helper()
	first, err := Essential(p)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Secondary(p)
	if err != nil {
		t.Fatal(err)
	}
	return append(first, second...)
}

func forEachProfile(t *testing.T, test func(t *testing.T, p Params, objects []*unstructured.Unstructured)) {
	for _, profile := range labfile.Profiles() {
		for _, timing := range []labfile.Timing{labfile.Realistic, labfile.Fast, labfile.Patient} {
			t.Run(fmt.Sprintf("%s,%s", profile, timing), func(t *testing.T) {
				p := params(t, profile, timing)
				test(t, p, everything(t, p))
			})
		}
	}
}

// typed converts strictly: a field that Kubernetes does not know is an error.
func typed(t *testing.T, o *unstructured.Unstructured) runtime.Object {
	t.Helper()
	if o.GetKind() == "APIService" { // its types are in a module that nothing else here needs
		return nil
	}
	out, err := scheme.Scheme.New(o.GroupVersionKind())
	if err != nil {
		t.Fatalf("%s: %v", describe(o), err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, out, true); err != nil {
		t.Errorf("%s: %v", describe(o), err)
	}
	return out
}

// podsOf returns the pod template of a workload, and its selector.
func podsOf(o runtime.Object) (*corev1.PodTemplateSpec, *metav1.LabelSelector) {
	switch w := o.(type) {
	case *appsv1.Deployment:
		return &w.Spec.Template, w.Spec.Selector
	case *appsv1.DaemonSet:
		return &w.Spec.Template, w.Spec.Selector
	}
	return nil, nil
}

func TestManifestsHaveOnlyFieldsThatKubernetesKnows(t *testing.T) {
	forEachProfile(t, func(t *testing.T, _ Params, objects []*unstructured.Unstructured) {
		seen := map[string]bool{}
		for _, o := range objects {
			if _, err := kindOf(o); err != nil {
				t.Error(err)
			}
			if id := describe(o); seen[id] {
				t.Errorf("%s is there twice", id)
			} else {
				seen[id] = true
			}
			typed(t, o)
		}
		for _, want := range []string{
			"Deployment web/web", "Ingress web/web", "DaemonSet kube-system/kube-proxy", "Deployment kube-system/coredns", "Service kube-system/kube-dns",
			"Deployment kube-system/skipper-ingress", "ClusterRoleBinding kubeadm:apiserver-kubelet-client", "ClusterRoleBinding kubeadm:cluster-admins",
			"ConfigMap kube-system/kubeadm-config", "ConfigMap kube-system/kubelet-config", "ConfigMap kube-public/cluster-info", "StorageClass local-path",
		} {
			if !seen[want] {
				t.Errorf("%s is missing", want)
			}
		}
	})
}

func TestSelectorsMatchTheirPods(t *testing.T) {
	forEachProfile(t, func(t *testing.T, _ Params, objects []*unstructured.Unstructured) {
		pods := map[string][]labels.Set{} // by namespace
		for _, o := range objects {
			template, selector := podsOf(typed(t, o))
			if template == nil {
				continue
			}
			pods[o.GetNamespace()] = append(pods[o.GetNamespace()], template.Labels)
			s, err := metav1.LabelSelectorAsSelector(selector)
			if err != nil || s.Empty() || !s.Matches(labels.Set(template.Labels)) {
				t.Errorf("%s: its selector %v does not match its own pods %v (%v)", describe(o), s, template.Labels, err)
			}
			for _, c := range template.Spec.TopologySpreadConstraints {
				mustMatch(t, describe(o)+" spread", c.LabelSelector, template.Labels)
			}
			if a := template.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
				for _, term := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
					mustMatch(t, describe(o)+" anti-affinity", term.LabelSelector, template.Labels)
				}
			}
		}
		for _, o := range objects {
			var s labels.Selector
			switch x := typed(t, o).(type) {
			case *corev1.Service:
				s = labels.SelectorFromSet(x.Spec.Selector)
			case *policyv1.PodDisruptionBudget:
				s, _ = metav1.LabelSelectorAsSelector(x.Spec.Selector)
			default:
				continue
			}
			n := 0
			for _, set := range pods[o.GetNamespace()] {
				if s.Matches(set) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s selects the pods of %d workloads, want 1", describe(o), n)
			}
		}
	})
}

func mustMatch(t *testing.T, what string, s *metav1.LabelSelector, set labels.Set) {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || selector.Empty() || !selector.Matches(set) {
		t.Errorf("%s: %v does not match %v (%v)", what, selector, set, err)
	}
}

func TestPodsAreComplete(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Params, objects []*unstructured.Unstructured) {
		accounts := map[string]bool{}
		for _, o := range objects {
			if o.GetKind() == "ServiceAccount" {
				accounts[o.GetNamespace()+"/"+o.GetName()] = true
			}
		}
		known := map[string]bool{}
		for _, ref := range images {
			known[ref] = true
		}
		for _, o := range objects {
			template, _ := podsOf(typed(t, o))
			if template == nil {
				continue
			}
			spec := template.Spec
			if !accounts[o.GetNamespace()+"/"+spec.ServiceAccountName] {
				t.Errorf("%s: its service account %q is not among the objects", describe(o), spec.ServiceAccountName)
			}
			if len(spec.InitContainers) > 0 {
				t.Errorf("%s: init containers cost boot time", describe(o))
			}
			for _, c := range spec.Containers {
				if !known[c.Image] {
					t.Errorf("%s: image %q is not one of the lab's", describe(o), c.Image)
				}
				if c.ImagePullPolicy != corev1.PullIfNotPresent {
					t.Errorf("%s: pull policy %q; there is no registry", describe(o), c.ImagePullPolicy)
				}
				if r := c.ReadinessProbe; r != nil && r.InitialDelaySeconds > 0 {
					t.Errorf("%s: is ready %d s late", describe(o), r.InitialDelaySeconds)
				}
				ports := map[string]bool{}
				for _, port := range c.Ports {
					ports[port.Name] = true
				}
				for _, probe := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
					if probe != nil && probe.HTTPGet.Port.StrVal != "" && !ports[probe.HTTPGet.Port.StrVal] {
						t.Errorf("%s: a probe asks port %q, which the container does not have", describe(o), probe.HTTPGet.Port.StrVal)
					}
				}
			}
			fast := p.Lab.Timing == labfile.Fast
			leavesFast := slices.ContainsFunc(spec.Tolerations, func(tol corev1.Toleration) bool {
				return tol.Key == corev1.TaintNodeUnreachable && *tol.TolerationSeconds == tolerationSeconds
			})
			if _, daemon := typed(t, o).(*appsv1.DaemonSet); !daemon && leavesFast != fast {
				t.Errorf("%s: leaves a lost node fast: %v, want %v", describe(o), leavesFast, fast)
			}
		}
	})
}

func TestTheTargetIsSpreadOverWhatTheLabHas(t *testing.T) {
	for profile, want := range map[string]spread{
		"small": {Domain: "zone", Key: "topology.kubernetes.io/zone", Domains: 2, MaxSkew: 2},
		"ha":    {Domain: "zone", Key: "topology.kubernetes.io/zone", Domains: 3, MaxSkew: 1},
		"shop":  {Domain: "zone", Key: "topology.kubernetes.io/zone", Domains: 3, MaxSkew: 1, HostsToo: true},
	} {
		s, err := newShape(params(t, profile, labfile.Realistic))
		if err != nil {
			t.Fatal(err)
		}
		if s.Spread != want {
			t.Errorf("%s: %+v, want %+v", profile, s.Spread, want)
		}
		if s.IngressReplicas != 2 || s.DNSReplicas != 2 {
			t.Errorf("%s: %d ingress controllers and %d DNS servers, want 2 and 2", profile, s.IngressReplicas, s.DNSReplicas)
		}
	}
}

func TestALabWithOneZoneSpreadsOverNodes(t *testing.T) {
	p := params(t, "small", labfile.Realistic)
	p.Lab.Zones = []string{"a"}
	for i := range p.Lab.Nodes {
		p.Lab.Nodes[i].Zone = "a"
	}
	p.Topology = topology.New(p.Lab)
	everything(t, p)
	s, err := newShape(p)
	if err != nil {
		t.Fatal(err)
	}
	if want := (spread{Domain: "node", Key: "kubernetes.io/hostname", Domains: 2, MaxSkew: 2}); s.Spread != want {
		t.Errorf("%+v, want %+v", s.Spread, want)
	}
}

func TestReservedNodesDoNotCount(t *testing.T) {
	p := params(t, "small", labfile.Realistic)
	for i := range p.Lab.Nodes {
		if p.Lab.Nodes[i].Role == labfile.Worker {
			p.Lab.Nodes[i].Taints = []labfile.Taint{{Key: "dedicated", Value: "database", Effect: "NoSchedule"}}
		}
	}
	p.Topology = topology.New(p.Lab)
	if _, err := Essential(p); err == nil || !strings.Contains(err.Error(), "no worker without") {
		t.Errorf("a lab whose workers are all reserved: %v", err)
	}
}

func TestAMissingImageIsNamed(t *testing.T) {
	p := params(t, "ha", labfile.Realistic)
	p.Images = map[string]string{"web": "zdl.local/web:v1"}
	if _, err := Essential(p); err == nil || !strings.Contains(err.Error(), `"skipper"`) {
		t.Errorf("got %v", err)
	}
}

func TestOneReplicaCanBeDrained(t *testing.T) {
	p := params(t, "ha", labfile.Realistic)
	p.Lab.Replicas = 1
	for _, o := range everything(t, p) {
		if b, ok := typed(t, o).(*policyv1.PodDisruptionBudget); ok && o.GetName() == "web" && b.Spec.MinAvailable != nil {
			t.Error("the only replica must stay available: no node could ever be drained")
		}
	}
}

package addon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"zdl/internal/labfile"
	"zdl/internal/topology"
	"zdl/test/apiserver"
)

// TestPodsAreSpreadEvenWhileTheClusterBoots has the real scheduler place the
// real pods on nodes that appear one by one, which is when a scheduler likes to
// put everything on the first of them. Nodes here are only objects.
func TestPodsAreSpreadEvenWhileTheClusterBoots(t *testing.T) {
	set := apiserver.Artifacts(t)
	cfg := apiserver.Start(t, set.Bin, "--allow-privileged")
	cfg.QPS = -1
	kubeconfig := filepath.Join(t.TempDir(), "scheduler.conf")
	content := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], "+
		"clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}], users: [{name: u, user: {token: %s}}]}", cfg.Host, cfg.BearerToken)
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	p := params(t, "ha", labfile.Realistic)
	if err := Apply(ctx, cfg, everything(t, p)); err != nil {
		t.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(cfg)
	for { // until the API server has made the priority classes that pods ask for
		if _, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err == nil {
			break
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	apiserver.Run(t, filepath.Join(set.Bin, "kube-scheduler"), "--kubeconfig="+kubeconfig, "--leader-elect=false",
		fmt.Sprintf("--secure-port=%d", apiserver.FreePorts(t, 1)[0]), "--bind-address=127.0.0.1", "--cert-dir="+t.TempDir())

	for _, profile := range labfile.Profiles() {
		t.Run(profile, func(t *testing.T) {
			p := params(t, profile, labfile.Realistic)
			s, err := newShape(p)
			if err != nil {
				t.Fatal(err)
			}
			c := &cluster{t: t, ctx: ctx, client: client, params: p}
			defer c.clear()
			c.create("web", "web", s.Replicas)
			c.create("kube-system", "skipper-ingress", s.IngressReplicas)
			c.create("kube-system", "coredns", s.DNSReplicas)

			for _, m := range p.Topology.Nodes() {
				c.register(m)
				c.schedulerSees(m)
			}
			c.waitFor("all pods are placed", func() bool { return len(c.pending()) == 0 })
			for zone, n := range c.perZone("web") {
				if n > s.Spread.MaxSkew {
					t.Errorf("%d replicas of web in zone %s, its share is %d", n, zone, s.Spread.MaxSkew)
				}
			}
			if zones := c.perZone("web"); len(zones) != s.Spread.Domains {
				t.Errorf("web is in zones %v, want %d of them", zones, s.Spread.Domains)
			}
			if zones := c.perZone("skipper-ingress"); len(zones) != 2 {
				t.Errorf("the ingress controllers are in zones %v, want 2", zones)
			}
			if nodes := c.perNode("coredns"); len(nodes) != 2 {
				t.Errorf("the DNS servers are on nodes %v, want 2", nodes)
			}
			for name, nodes := range map[string]map[string]int{"web": c.perNode("web"), "skipper-ingress": c.perNode("skipper-ingress")} {
				for node := range nodes {
					if m := p.Topology.Machine(node); m.Kind != topology.KindWorker || reserved(m) {
						t.Errorf("%s runs on %s", name, node)
					}
				}
			}
			if s.Spread.MaxSkew == 1 && !c.loseZone(p.Lab.Zones[0]) {
				t.Errorf("with a zone lost, its replica doubles up in another one: %v", c.perZone("web"))
			}
		})
	}
}

// cluster is a cluster of objects only.
type cluster struct {
	t      *testing.T
	ctx    context.Context
	client kubernetes.Interface
	params Params
}

// register makes a node appear, ready, with its labels and taints.
func (c *cluster) register(m *topology.Machine) {
	c.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.Name, Labels: map[string]string{
		corev1.LabelHostname: m.Name, corev1.LabelTopologyZone: m.Zone, corev1.LabelOSStable: "linux",
	}}}
	taints := []corev1.Taint{}
	if m.Kind == topology.KindControlPlane {
		node.Labels["node-role.kubernetes.io/control-plane"] = ""
		taints = append(taints, corev1.Taint{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule})
	}
	for _, taint := range m.Node.Taints {
		taints = append(taints, corev1.Taint{Key: taint.Key, Value: taint.Value, Effect: corev1.TaintEffect(taint.Effect)})
	}
	nodes := c.client.CoreV1().Nodes()
	node, err := nodes.Create(c.ctx, node, metav1.CreateOptions{})
	c.must(err)
	room := corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("2Gi"), "pods": resource.MustParse("110")}
	node.Status.Capacity, node.Status.Allocatable = room, room
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	node, err = nodes.UpdateStatus(c.ctx, node, metav1.UpdateOptions{})
	c.must(err)
	node.Spec.Taints = taints // without "not ready", which every new node gets
	_, err = nodes.Update(c.ctx, node, metav1.UpdateOptions{})
	c.must(err)
}

// create makes pods from a Deployment, in place of the controllers.
func (c *cluster) create(namespace, name string, n int) {
	c.t.Helper()
	d, err := c.client.AppsV1().Deployments(namespace).Get(c.ctx, name, metav1.GetOptions{})
	c.must(err)
	for range n {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-", Labels: d.Spec.Template.Labels}}
		pod.Spec = *d.Spec.Template.Spec.DeepCopy()
		if name == "web" { // what differs between profiles
			for _, o := range everything(c.t, c.params) {
				if template, _ := podsOf(typed(c.t, o)); template != nil && o.GetName() == name {
					pod.Spec.TopologySpreadConstraints = template.Spec.TopologySpreadConstraints
				}
			}
		}
		pod.Labels["pod-template-hash"] = "1"
		_, err := c.client.CoreV1().Pods(namespace).Create(c.ctx, pod, metav1.CreateOptions{})
		c.must(err)
	}
}

func (c *cluster) pods() []corev1.Pod {
	c.t.Helper()
	list, err := c.client.CoreV1().Pods("").List(c.ctx, metav1.ListOptions{})
	c.must(err)
	return list.Items
}

func (c *cluster) pending() (names []string) {
	for _, pod := range c.pods() {
		if pod.Spec.NodeName == "" {
			names = append(names, pod.Name)
		}
	}
	return names
}

// schedulerSees returns when the scheduler has taken note of a node, and so has
// had the chance to do something foolish: a pod that was made later than all
// others, and can only run there, has been placed.
func (c *cluster) schedulerSees(m *topology.Machine) {
	c.t.Helper()
	pods := c.client.CoreV1().Pods("web")
	marker, err := pods.Create(c.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "marker-"}, Spec: corev1.PodSpec{
		ServiceAccountName: "web",
		NodeSelector:       map[string]string{corev1.LabelHostname: m.Name},
		Tolerations:        []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		Containers:         []corev1.Container{{Name: "c", Image: "none"}},
	}}, metav1.CreateOptions{})
	c.must(err)
	c.waitFor("a pod is placed on "+m.Name, func() bool {
		pod, err := pods.Get(c.ctx, marker.Name, metav1.GetOptions{})
		c.must(err)
		return pod.Spec.NodeName != ""
	})
	c.must(pods.Delete(c.ctx, marker.Name, *metav1.NewDeleteOptions(0)))
}

func (c *cluster) waitFor(what string, condition func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within 20 s: %s; pending are %v", what, c.pending())
		}
	}
}

func (c *cluster) perNode(name string) map[string]int {
	out := map[string]int{}
	for _, pod := range c.pods() {
		if pod.Spec.Containers[0].Name == name && pod.Spec.NodeName != "" {
			out[pod.Spec.NodeName]++
		}
	}
	return out
}

func (c *cluster) perZone(name string) map[string]int {
	out := map[string]int{}
	for node, n := range c.perNode(name) {
		out[c.params.Topology.Machine(node).Zone] += n
	}
	return out
}

// loseZone is what Kubernetes does to a zone's pods of the target when all
// machines of the zone are off: nodes tainted, pods evicted and made anew. It
// returns whether the scheduler leaves a new one waiting.
func (c *cluster) loseZone(zone string) (waits bool) {
	c.t.Helper()
	for _, m := range c.params.Topology.Nodes() {
		if m.Zone != zone {
			continue
		}
		node, err := c.client.CoreV1().Nodes().Get(c.ctx, m.Name, metav1.GetOptions{})
		c.must(err)
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoSchedule})
		_, err = c.client.CoreV1().Nodes().Update(c.ctx, node, metav1.UpdateOptions{})
		c.must(err)
	}
	for _, pod := range c.pods() {
		if m := c.params.Topology.Machine(pod.Spec.NodeName); pod.Namespace == "web" && m.Zone == zone {
			c.must(c.client.CoreV1().Pods("web").Delete(c.ctx, pod.Name, *metav1.NewDeleteOptions(0)))
			c.create("web", "web", 1)
		}
	}
	c.waitFor("the scheduler has decided", func() bool {
		for _, pod := range c.pods() {
			decided := pod.Spec.NodeName != ""
			for _, condition := range pod.Status.Conditions {
				if condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable {
					decided, waits = true, true
				}
			}
			if !decided {
				return false
			}
		}
		return true
	})
	return waits
}

func (c *cluster) clear() {
	for _, pod := range c.pods() {
		if err := c.client.CoreV1().Pods(pod.Namespace).Delete(c.ctx, pod.Name, *metav1.NewDeleteOptions(0)); err != nil && !apierrors.IsNotFound(err) {
			c.t.Error(err)
		}
	}
	for _, m := range c.params.Topology.Nodes() {
		if err := c.client.CoreV1().Nodes().Delete(c.ctx, m.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			c.t.Error(err)
		}
	}
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

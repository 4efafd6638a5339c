package ha

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/topology"
)

func TestUsersAreServedByThreePodsInThreeZones(t *testing.T) {
	l := lab(t)
	zoneOf := map[string]string{} // of nodes
	for _, n := range l.Nodes(t) {
		zoneOf[n.Name] = n.Labels[corev1.LabelTopologyZone]
	}
	pods, zones := map[string]bool{}, map[string]bool{}
	for range 60 {
		a, err := l.Ask(t.Context())
		if err != nil || a.Status != http.StatusOK {
			t.Fatalf("a user got %+v, %v", a, err)
		}
		if a.Zone == "" || a.Zone != zoneOf[a.Node] {
			t.Fatalf("pod %s says it is on %q in zone %q; the node is in %q", a.Pod, a.Node, a.Zone, zoneOf[a.Node])
		}
		pods[a.Pod], zones[a.Zone] = true, true
	}
	if len(pods) < 3 || len(zones) < 3 {
		t.Errorf("60 answers came from pods %v in zones %v, want 3 and 3", pods, zones)
	}
}

func TestTheForwardOnLoopbackLeadsToTheService(t *testing.T) {
	l := lab(t)
	resp, err := http.Get(l.Info.Users)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if by := resp.Header.Get("X-Served-By"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(by, "web-") {
		t.Errorf("%s answers %s, served by %q", l.Info.Users, resp.Status, by)
	}
}

func TestIngressAndDNSRunOnSeveralNodesAndZones(t *testing.T) {
	l := lab(t)
	zoneOf := map[string]string{}
	for _, n := range l.Nodes(t) {
		zoneOf[n.Name] = n.Labels[corev1.LabelTopologyZone]
	}
	for what, selector := range map[string]string{"ingress": "application=skipper-ingress", "DNS": "k8s-app=kube-dns"} {
		pods, err := l.Client.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			t.Fatal(err)
		}
		nodes, zones := map[string]bool{}, map[string]bool{}
		for _, p := range pods.Items {
			nodes[p.Spec.NodeName], zones[zoneOf[p.Spec.NodeName]] = true, true
		}
		if len(nodes) < 2 || len(zones) < 2 {
			t.Errorf("%s runs on nodes %v in zones %v, want two of each", what, nodes, zones)
		}
	}
}

func TestNamesAreResolvedInPods(t *testing.T) {
	l := lab(t)
	l.Namespace(t, "t-dns")
	l.Apply(t, toolbox(t, l, "t-dns", "client", "sleep 600", ""))
	l.WaitPods(t, "t-dns", "app=client", 1, time.Minute)
	web, err := l.Client.CoreV1().Services("web").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{
		"web.web":                              web.Spec.ClusterIP,
		"web.web.svc.cluster.local":            web.Spec.ClusterIP,
		"kube-dns.kube-system":                 topology.DNS.String(),
		"kubernetes.default.svc.cluster.local": topology.ServiceCIDR.Addr().Next().String(),
	} {
		// wget resolves by the pod's resolv.conf, search list included; the
		// connection may fail as it likes.
		out := l.TryKubectl(t.Context(), nil, "-n", "t-dns", "exec", "client", "--", "nslookup", name)
		if !strings.Contains(name, "cluster.local") {
			out = l.TryKubectl(t.Context(), nil, "-n", "t-dns", "exec", "client", "--", "ping", "-c", "1", "-W", "1", name)
		}
		if !strings.Contains(out.Stdout, address) {
			t.Errorf("%s: want %s, got\n%s%s", name, address, out.Stdout, out.Stderr)
		}
	}
	begin := time.Now()
	out := l.TryKubectl(t.Context(), nil, "-n", "t-dns", "exec", "client", "--", "nslookup", "example.com")
	if out.Code == 0 || time.Since(begin) > 5*time.Second {
		t.Errorf("a name of the world: exit %d after %s, want a quick no\n%s", out.Code, time.Since(begin), out.Stdout)
	}
}

func TestLoadBalancerServiceIsRefusedWithAnEvent(t *testing.T) {
	l := lab(t)
	l.Namespace(t, "t-lb")
	l.Apply(t, `{apiVersion: v1, kind: Service, metadata: {name: wants-address, namespace: t-lb},
  spec: {type: LoadBalancer, selector: {app: nothing}, ports: [{port: 80}]}}`)
	waitFor(t, "a warning about the Service", 20*time.Second, func(ctx context.Context) error {
		events, err := l.Client.CoreV1().Events("t-lb").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=wants-address,type=Warning"})
		if err != nil {
			return err
		}
		for _, e := range events.Items {
			if strings.Contains(e.Message, "LoadBalancer") && strings.Contains(e.Message, "Ingress") {
				return nil
			}
		}
		return fmt.Errorf("%d warnings: %v", len(events.Items), events.Items)
	})
	if out := l.Kubectl(t, "-n", "t-lb", "describe", "service", "wants-address"); !strings.Contains(out, "Warning") {
		t.Errorf("kubectl describe does not show the warning:\n%s", out)
	}
}

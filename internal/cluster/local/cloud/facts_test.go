package cloud

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"zdl/internal/labfile"
	"zdl/internal/topology"
)

func TestNodesGetWhatTheyLackAndNothingElse(t *testing.T) {
	m := &topology.Machine{
		Name: "cp-1", Kind: topology.KindControlPlane, PodCIDR: netip.MustParsePrefix("198.19.1.0/24"),
		Node: &labfile.Node{Labels: map[string]string{"disk": "fast", "team": "a"}},
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"team": "b"}}}
	got, err := json.Marshal(nodePatch(node, m))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"metadata":{"labels":{"disk":"fast","node-role.kubernetes.io/control-plane":""}},` +
		`"spec":{"podCIDR":"198.19.1.0/24","podCIDRs":["198.19.1.0/24"]}}`
	if string(got) != want {
		t.Errorf("patch is\n%s\nwant\n%s", got, want)
	}
	node.Labels = map[string]string{"team": "b", "disk": "slow", "node-role.kubernetes.io/control-plane": ""}
	node.Spec.PodCIDR = "198.19.1.0/24"
	if again := nodePatch(node, m); again != nil {
		t.Errorf("a complete node is patched with %v", again)
	}
}

func TestAServiceOfTypeLoadBalancerGetsAnEventThatNamesTheWayOut(t *testing.T) {
	client := fake.NewClientset()
	c := &Controller{Client: client, Log: slog.New(slog.DiscardHandler)}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n", UID: "u"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
	}
	c.answerLoadBalancer(context.Background(), service)
	c.answerLoadBalancer(context.Background(), service) // told once is enough
	events, err := client.CoreV1().Events("n").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(events.Items) != 1 || events.Items[0].Type != "Warning" || events.Items[0].InvolvedObject.UID != "u" {
		t.Errorf("events: %+v", events.Items)
	}
	plain := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n"}}
	c.answerLoadBalancer(context.Background(), plain)
	if events, _ := client.CoreV1().Events("n").List(context.Background(), metav1.ListOptions{}); len(events.Items) != 1 {
		t.Error("a plain Service got an event, too")
	}
}

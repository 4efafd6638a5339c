package harness

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// client uses the printed kubeconfig as it is, but a new connection for each
// request: so a test never waits for a connection that died with a machine.
func (l *Lab) client() (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", l.Info.Kubeconfig)
	if err != nil {
		return nil, err
	}
	return FreshClient(config, 10*time.Second, nil)
}

// FreshClient is a client that opens a connection for each request and gives it
// up after timeout. With dial nil it connects from this machine.
func FreshClient(config *rest.Config, timeout time.Duration, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (kubernetes.Interface, error) {
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 200, 400
	return kubernetes.NewForConfigAndClient(config, &http.Client{Timeout: timeout, Transport: &http.Transport{
		TLSClientConfig: tlsConfig, DisableKeepAlives: true, DialContext: dial,
	}})
}

// Apply feeds a manifest to kubectl apply and removes it when the test ends.
func (l *Lab) Apply(t testing.TB, manifest string) {
	t.Helper()
	if r := l.TryKubectl(t.Context(), []byte(manifest), "apply", "-f", "-"); r.Code != 0 {
		t.Fatalf("kubectl apply: exit %d\n%s%s\n%s", r.Code, r.Stdout, r.Stderr, manifest)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if r := l.TryKubectl(ctx, []byte(manifest), "delete", "--ignore-not-found", "--wait=false", "-f", "-"); r.Code != 0 {
			t.Errorf("kubectl delete: exit %d\n%s", r.Code, r.Stderr)
		}
	})
}

// Namespace makes a namespace that goes when the test ends, with all in it.
func (l *Lab) Namespace(t testing.TB, name string) {
	t.Helper()
	l.Apply(t, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", name))
	Eventually(t, "the namespace has its service account", 20*time.Second, func(ctx context.Context) error {
		_, err := l.Client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// WaitPods waits until exactly n pods match and all are Ready, and returns them.
func (l *Lab) WaitPods(t testing.TB, namespace, selector string, n int, limit time.Duration) []corev1.Pod {
	t.Helper()
	var found []corev1.Pod
	Eventually(t, fmt.Sprintf("%d pods %s in %s are Ready", n, selector, namespace), limit, func(ctx context.Context) error {
		list, err := l.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		found = list.Items
		var bad []string
		for i := range found {
			if trouble := notReady(&found[i]); trouble != "" {
				bad = append(bad, trouble)
			}
		}
		if len(found) != n || len(bad) > 0 {
			return fmt.Errorf("%d pods; not Ready: %s", len(found), strings.Join(bad, "; "))
		}
		return nil
	})
	return found
}

func notReady(pod *corev1.Pod) string {
	if pod.DeletionTimestamp != nil {
		return pod.Name + " is being deleted"
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return ""
		}
	}
	text := fmt.Sprintf("%s/%s on %q is %s", pod.Namespace, pod.Name, pod.Spec.NodeName, pod.Status.Phase)
	for _, c := range pod.Status.Conditions {
		if c.Status != corev1.ConditionTrue && c.Message != "" {
			text += ", " + c.Message
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Waiting != nil {
			text += ", " + c.State.Waiting.Reason + " " + c.State.Waiting.Message
		}
	}
	return text
}

// Nodes lists the Node objects.
func (l *Lab) Nodes(t testing.TB) []corev1.Node {
	t.Helper()
	list, err := l.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// NodeReady tells whether a node is Ready, with nil for yes.
func (l *Lab) NodeReady(ctx context.Context, name string) error {
	node, err := l.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			if c.Status == corev1.ConditionTrue {
				return nil
			}
			return fmt.Errorf("node %s is not Ready (%s since %s): %s", name, c.Reason, c.LastTransitionTime, c.Message)
		}
	}
	return fmt.Errorf("node %s has no Ready condition", name)
}

// Healthy tells whether the cluster is as it was after its boot: every node
// Ready and open for pods, every pod Ready, users served.
func (l *Lab) Healthy(ctx context.Context) error {
	nodes, err := l.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		if !ready || n.Spec.Unschedulable {
			return fmt.Errorf("node %s: Ready %v, unschedulable %v", n.Name, ready, n.Spec.Unschedulable)
		}
	}
	for _, namespace := range []string{"kube-system", "local-path-storage", "web"} {
		pods, err := l.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range pods.Items {
			if phase := pods.Items[i].Status.Phase; phase == corev1.PodSucceeded || phase == corev1.PodFailed {
				continue
			}
			if trouble := notReady(&pods.Items[i]); trouble != "" {
				return fmt.Errorf("%s", trouble)
			}
		}
	}
	answer, err := l.Ask(ctx)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("users get %d", answer.Status)
	}
	return err
}

// WaitHealthy waits until the cluster is as it was after its boot.
func (l *Lab) WaitHealthy(t testing.TB, limit time.Duration) {
	t.Helper()
	Eventually(t, "the cluster is healthy", limit, l.Healthy)
}

package local

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"zdl/internal/topology"
)

// until calls ok every interval until it says true. When ctx ends first, the
// error carries what ok said last, so that the user learns what was missing.
func until(ctx context.Context, what string, interval time.Duration, ok func(context.Context) (bool, string)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last := ""
	for {
		done, missing := ok(ctx)
		if done {
			return nil
		}
		if missing != "" {
			last = missing
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w (last seen: %s)", what, ctx.Err(), last)
		case <-ticker.C:
		}
	}
}

func waitAPI(ctx context.Context, client kubernetes.Interface) error {
	return until(ctx, "the API answers through its virtual IP", 100*time.Millisecond, func(ctx context.Context) (bool, string) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		// readyz would also wait for the post-start hooks that create the
		// default RBAC; a namespace that can be read is enough to go on.
		_, err := client.CoreV1().Namespaces().Get(ctx, "kube-system", metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		return true, ""
	})
}

func (c *Cluster) waitNodes(ctx context.Context, client kubernetes.Interface) error {
	return until(ctx, "all nodes are Ready", 200*time.Millisecond, func(ctx context.Context) (bool, string) {
		want := map[string]bool{}
		for _, m := range c.Topology.Nodes() {
			if _, err := os.Stat(c.offMarker(m.Name)); err != nil {
				want[m.Name] = true
			}
		}
		list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return false, err.Error()
		}
		for i := range list.Items {
			if ready(&list.Items[i]) {
				delete(want, list.Items[i].Name)
			}
		}
		return len(want) == 0, "not Ready: " + names(want)
	})
}

func ready(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func names(set map[string]bool) string {
	var out []string
	for name := range set {
		out = append(out, name)
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}

// waitUsers asks as users do: from the outside machine through the virtual IP.
func (c *Cluster) waitUsers(ctx context.Context) error {
	client := &http.Client{
		Timeout: time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return c.fabric.Dial(ctx, "outside", network, addr)
			},
		},
	}
	url := fmt.Sprintf("http://%s/", topology.UserVIP)
	return until(ctx, "the users' virtual IP answers 200", 50*time.Millisecond, func(ctx context.Context) (bool, string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, err.Error()
		}
		resp, err := client.Do(req)
		if err != nil {
			return false, err.Error()
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode == http.StatusOK, resp.Status
	})
}

// waitSystem waits until every pod of kube-system that should run is Ready.
func (c *Cluster) waitSystem(ctx context.Context, client kubernetes.Interface) error {
	return until(ctx, "the system pods are Ready", 250*time.Millisecond, func(ctx context.Context) (bool, string) {
		pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return false, err.Error()
		}
		want := map[string]bool{}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && !podReady(pod) && !c.off(pod.Spec.NodeName) {
				want[pod.Namespace+"/"+pod.Name] = true
			}
		}
		return len(want) == 0, "not Ready: " + names(want)
	})
}

func (c *Cluster) off(node string) bool {
	if node == "" {
		return false
	}
	_, err := os.Stat(c.offMarker(node))
	return err == nil
}

func podReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

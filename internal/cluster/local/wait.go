package local

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
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

// slowly is how often to look, or how long to wait for an answer: longer where the
// lab's timing says that everything is slow.
func (c *Cluster) slowly(d time.Duration) time.Duration {
	return d * time.Duration(c.Lab.Timing.Slowness())
}

func (c *Cluster) waitAPI(ctx context.Context, client kubernetes.Interface) error {
	return until(ctx, "the API answers through its virtual IP", c.slowly(100*time.Millisecond), func(ctx context.Context) (bool, string) {
		ctx, cancel := context.WithTimeout(ctx, c.slowly(2*time.Second))
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

// waitNodes waits until every node is Ready that has power and is not struck by
// a fault. It tells those that it did not wait for, and why.
func (c *Cluster) waitNodes(ctx context.Context, client kubernetes.Interface) (without string, err error) {
	err = until(ctx, "all nodes are Ready", c.slowly(200*time.Millisecond), func(ctx context.Context) (bool, string) {
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
		without = c.excuse(want)
		return len(want) == 0, "not Ready: " + names(want)
	})
	return without, err
}

// excuse takes the machines out of a set that an active fault strikes, and says
// which they are.
func (c *Cluster) excuse(want map[string]bool) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if faults := c.struck(name); len(faults) > 0 {
			delete(want, name)
			out = append(out, name+" is not Ready while "+strings.Join(faults, " and ")+" lasts")
		}
	}
	return strings.Join(out, "; ")
}

// struck names the active faults of a machine, or of "" all.
func (c *Cluster) struck(machine string) []string {
	if c.Struck == nil {
		return nil
	}
	return c.Struck(machine)
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
	return strings.Join(slices.Sorted(maps.Keys(set)), ", ")
}

// waitUsers asks as users do: from the outside machine through the virtual IP.
func (c *Cluster) waitUsers(ctx context.Context) error {
	client := &http.Client{
		Timeout: c.slowly(time.Second),
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return c.fabric.Dial(ctx, "outside", network, addr)
			},
		},
	}
	url := fmt.Sprintf("http://%s/", topology.UserVIP)
	return until(ctx, "the users' virtual IP answers 200", c.slowly(50*time.Millisecond), func(ctx context.Context) (bool, string) {
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

// waitRedundant waits until losing any one machine is survivable: every API
// server, scheduler and controller manager answers, and the pods of kube-system
// and of the service are Ready. metrics-server is not waited for: it needs two
// rounds of measurements, and nothing else needs it.
func (c *Cluster) waitRedundant(ctx context.Context, client kubernetes.Interface) error {
	return until(ctx, "everything is redundant", c.slowly(250*time.Millisecond), func(ctx context.Context) (bool, string) {
		want := map[string]bool{}
		for name := range c.silentControlPlane(ctx) {
			want[name] = true
		}
		for _, namespace := range []string{"kube-system", "web"} {
			pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
			if err != nil {
				return false, err.Error()
			}
			for i := range pods.Items {
				if pod := &pods.Items[i]; matters(pod) && !podReady(pod) && !c.off(pod.Spec.NodeName) {
					want[pod.Namespace+"/"+pod.Name] = true
				}
			}
		}
		return len(want) == 0, "not ready: " + names(want)
	})
}

// matters leaves out the mirrors of static pods, whose readiness the kubelet
// reports up to 20 s late (kubeadm's startup probes): those are asked directly.
func matters(pod *corev1.Pod) bool {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return !mirror && pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded &&
		pod.Labels["k8s-app"] != "metrics-server"
}

// silentControlPlane asks every control-plane program for its health, as its
// kubelet would, and names those that do not answer 200.
func (c *Cluster) silentControlPlane(ctx context.Context) map[string]bool {
	programs := map[string]string{
		"kube-apiserver":          "https://127.0.0.1:6443/readyz",
		"kube-controller-manager": "https://127.0.0.1:10257/healthz",
		"kube-scheduler":          "https://127.0.0.1:10259/healthz",
	}
	silent := map[string]bool{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, m := range c.Topology.Of(topology.KindControlPlane) {
		if c.off(m.Name) {
			continue
		}
		for program, url := range programs {
			group.Go(func() {
				if err := c.healthy(ctx, m.Name, url); err != nil {
					mu.Lock()
					silent[program+" on "+m.Name] = true
					mu.Unlock()
				}
			})
		}
	}
	group.Wait()
	return silent
}

func (c *Cluster) healthy(ctx context.Context, machine, url string) error {
	client := &http.Client{
		Timeout: c.slowly(2 * time.Second),
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// Like the kubelet's probes: health, not identity, is the question.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return c.fabric.Dial(ctx, machine, network, addr)
			},
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
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

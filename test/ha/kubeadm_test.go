package ha

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What people know of clusters that kubeadm made holds here, name by name.
func TestEverythingIsWhereKubeadmPutsIt(t *testing.T) {
	l := lab(t)
	t.Run("static pods", func(t *testing.T) {
		for _, node := range controlPlanes {
			for _, component := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
				pod, err := l.Client.CoreV1().Pods("kube-system").Get(t.Context(), component+"-"+node, metav1.GetOptions{})
				if err != nil {
					t.Error(err)
					continue
				}
				if pod.Labels["component"] != component || pod.Labels["tier"] != "control-plane" {
					t.Errorf("%s has the labels %v", pod.Name, pod.Labels)
				}
				if pod.Annotations["kubernetes.io/config.source"] != "file" || pod.Spec.NodeName != node {
					t.Errorf("%s comes from %q and runs on %s: want a static pod", pod.Name, pod.Annotations["kubernetes.io/config.source"], pod.Spec.NodeName)
				}
			}
		}
	})
	t.Run("files", func(t *testing.T) {
		want := []string{"admin.conf", "kubelet.conf", "controller-manager.conf", "scheduler.conf",
			"manifests/etcd.yaml", "manifests/kube-apiserver.yaml", "manifests/kube-controller-manager.yaml", "manifests/kube-scheduler.yaml",
			"pki/ca.crt", "pki/ca.key", "pki/apiserver.crt", "pki/apiserver-kubelet-client.crt", "pki/apiserver-etcd-client.crt",
			"pki/front-proxy-ca.crt", "pki/front-proxy-client.crt", "pki/sa.key", "pki/sa.pub",
			"pki/etcd/ca.crt", "pki/etcd/server.crt", "pki/etcd/peer.crt", "pki/etcd/healthcheck-client.crt"}
		for _, node := range controlPlanes {
			found := strings.Fields(l.Shell(t, node, "sh", "-c", "cd /etc/kubernetes && find -L . -type f"))
			for _, path := range want {
				if !slices.Contains(found, "./"+path) {
					t.Errorf("%s lacks /etc/kubernetes/%s", node, path)
				}
			}
		}
		for _, path := range []string{"/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/pki"} {
			l.Shell(t, workers[0], "test", "-e", path)
		}
		if r := l.TryShell(t.Context(), workers[0], "test", "-e", "/etc/kubernetes/pki/ca.key"); r.Code == 0 {
			t.Error("a worker has the key of the certificate authority")
		}
	})
	t.Run("records and addons", func(t *testing.T) {
		for _, object := range []string{"configmap/kubeadm-config", "configmap/kubelet-config", "configmap/kube-proxy", "configmap/coredns",
			"daemonset/kube-proxy", "deployment/coredns", "service/kube-dns"} {
			l.Kubectl(t, "-n", "kube-system", "get", object)
		}
		l.Kubectl(t, "-n", "kube-public", "get", "configmap", "cluster-info")
	})
}

func TestNodesLookLikeMachines(t *testing.T) {
	l := lab(t)
	nodes := l.Nodes(t)
	if want := len(workers) + len(controlPlanes); len(nodes) != want {
		t.Fatalf("%d nodes, want %d", len(nodes), want)
	}
	unique := map[string]string{}
	subnetOf := map[string]string{}
	for _, n := range nodes {
		for what, id := range map[string]string{"machine-id": n.Status.NodeInfo.MachineID, "system UUID": n.Status.NodeInfo.SystemUUID, "boot id": n.Status.NodeInfo.BootID, "address": address(&n), "pod range": n.Spec.PodCIDR} {
			if id == "" {
				t.Errorf("%s has no %s", n.Name, what)
			}
			if other := unique[what+id]; other != "" && what != "system UUID" {
				t.Errorf("%s and %s have the same %s %s", n.Name, other, what, id)
			}
			unique[what+id] = n.Name
		}
		_, role := n.Labels["node-role.kubernetes.io/control-plane"]
		if want := slices.Contains(controlPlanes, n.Name); role != want {
			t.Errorf("%s: label of a control plane %v, want %v", n.Name, role, want)
		}
		tainted := slices.ContainsFunc(n.Spec.Taints, func(taint corev1.Taint) bool {
			return taint.Key == "node-role.kubernetes.io/control-plane" && taint.Effect == corev1.TaintEffectNoSchedule
		})
		if tainted != role {
			t.Errorf("%s: taint of a control plane %v, want %v", n.Name, tainted, role)
		}
		// The profile gives each node 2 CPUs and 2 GiB, whatever the host has.
		if got := n.Status.Capacity.Memory().Value(); got > 2<<30 || got < 19<<30/10 {
			t.Errorf("%s has %d MiB of memory, want 2048", n.Name, got>>20)
		}
		if got := n.Status.Capacity.Cpu().Value(); got != 2 {
			t.Errorf("%s has %d CPUs, want 2", n.Name, got)
		}
		zone := n.Labels[corev1.LabelTopologyZone]
		subnet := address(&n)[:strings.LastIndexByte(address(&n), '.')]
		if before, ok := subnetOf[zone]; ok && before != subnet || zone == "" {
			t.Errorf("%s is in zone %q with the subnet %s, others there have %s", n.Name, zone, subnet, before)
		}
		subnetOf[zone] = subnet
		if n.Labels[corev1.LabelHostname] != n.Name || n.Labels[corev1.LabelInstanceTypeStable] == "" || n.Labels[corev1.LabelTopologyRegion] == "" {
			t.Errorf("%s lacks labels of a machine: %v", n.Name, n.Labels)
		}
	}
	if len(subnetOf) != 3 || subnetOf["zone-a"] == subnetOf["zone-b"] || subnetOf["zone-b"] == subnetOf["zone-c"] {
		t.Errorf("subnets of the zones: %v, want three different ones", subnetOf)
	}
}

func address(n *corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return "."
}

func TestKubeProxyWorksThroughNftables(t *testing.T) {
	l := lab(t)
	if config := l.Kubectl(t, "-n", "kube-system", "get", "configmap", "kube-proxy", "-o", "jsonpath={.data.config\\.conf}"); !strings.Contains(config, "mode: nftables") {
		t.Errorf("kube-proxy's configuration:\n%s", config)
	}
	web := l.Kubectl(t, "-n", "web", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	for _, node := range []string{workers[0], controlPlanes[0]} {
		rules := l.Shell(t, node, "nft", "list", "table", "ip", "kube-proxy")
		if !strings.Contains(rules, web+" . tcp . 80") {
			t.Errorf("the table kube-proxy on %s does not know the Service web (%s)", node, web)
		}
		resp, err := l.HTTP(node, 3*time.Second).Get("http://" + web + "/")
		if err != nil {
			t.Errorf("from %s: %v", node, err)
			continue
		}
		resp.Body.Close()
	}
}

// With three members a cluster survives the loss of one; all must really take part.
func TestThreeEtcdMembersAndOneLeaderOfEachController(t *testing.T) {
	l := lab(t)
	for _, node := range controlPlanes {
		if err := l.EtcdHasLeader(t.Context(), node); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.EtcdLeader(t.Context(), controlPlanes...); err != nil {
		t.Error(err)
	}
	waitFor(t, "both controllers have a leader", 10*time.Second, func(ctx context.Context) error {
		for _, name := range []string{"kube-scheduler", "kube-controller-manager"} {
			lease, err := l.Client.CoordinationV1().Leases("kube-system").Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" || time.Since(lease.Spec.RenewTime.Time) > 5*time.Second {
				return fmt.Errorf("nobody leads %s: %+v", name, lease.Spec)
			}
		}
		return nil
	})
}

package controlplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"zdl/internal/labfile"
	"zdl/internal/topology"
)

func plan(t *testing.T) *Plan {
	t.Helper()
	lab, err := labfile.Profile("ha")
	if err != nil {
		t.Fatal(err)
	}
	return &Plan{Lab: lab, Topology: topology.New(lab), KubernetesVersion: "v1.36.3", EtcdTag: "v3.7.3", PauseImage: "zdl.local/pause:3"}
}

func TestAllEtcdMembersStartAtOnce(t *testing.T) {
	data, err := plan(t).ClusterConfiguration()
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Etcd struct {
			Local struct {
				ExtraArgs []arg `json:"extraArgs"`
			} `json:"local"`
		} `json:"etcd"`
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	for _, a := range config.Etcd.Local.ExtraArgs {
		if a.Name == "initial-cluster" {
			if got := strings.Count(a.Value, "https://"); got != 3 {
				t.Errorf("initial-cluster names %d members, want 3: %s", got, a.Value)
			}
			return
		}
	}
	t.Error("no initial-cluster")
}

func TestOnlyControlPlanesAndTaintedNodesRegisterWithTaints(t *testing.T) {
	p := plan(t)
	for _, m := range p.Topology.Nodes() {
		files, err := p.Files(m, true)
		if err != nil {
			t.Fatal(err)
		}
		tainted := strings.Contains(string(files["/var/lib/kubelet/config.yaml"]), "registerWithTaints")
		if want := m.Kind == topology.KindControlPlane; tainted != want {
			t.Errorf("%s registers with taints: %t, want %t", m.Name, tainted, want)
		}
		if !strings.Contains(string(files["/etc/cni/net.d/10-zdl.conflist"]), m.PodCIDR.String()) {
			t.Errorf("the CNI of %s does not use %s", m.Name, m.PodCIDR)
		}
	}
}

func TestFastTimingsAreShorterThroughout(t *testing.T) {
	fast, real := Timings(labfile.Fast), Timings(labfile.Realistic)
	if fast.NodeLeaseSeconds >= real.NodeLeaseSeconds || fast.TolerationSeconds >= real.TolerationSeconds {
		t.Errorf("fast %+v is not shorter than realistic %+v", fast, real)
	}
}

func TestHeldManifestsComeBackAsTheyWere(t *testing.T) {
	l := Layout{Dir: t.TempDir()}
	manifests := filepath.Join(l.Kubernetes("cp-2"), "manifests")
	if err := os.MkdirAll(manifests, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etcd", "kube-scheduler"} {
		if err := os.WriteFile(filepath.Join(manifests, name+".yaml"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list := func() string {
		entries, err := os.ReadDir(manifests)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	}
	for range 2 { // holding twice is holding once
		if err := l.Hold("cp-2", "kube-scheduler", "kube-controller-manager"); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(); got != "etcd.yaml" {
		t.Errorf("while held the kubelet sees %q", got)
	}
	for range 2 {
		if err := l.Release("cp-2"); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(); got != "etcd.yaml kube-scheduler.yaml" {
		t.Errorf("after the release the kubelet sees %q", got)
	}
}

package edge

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"zdl/internal/cluster/local/machine"
	"zdl/internal/labfile"
	"zdl/internal/topology"
)

func profile(t *testing.T, name string) (*topology.Topology, *labfile.Lab) {
	t.Helper()
	lab, err := labfile.Profile(name)
	if err != nil {
		t.Fatal(err)
	}
	return topology.New(lab), lab
}

// The programs themselves judge their configuration where they are installed.
func TestHAProxyAcceptsItsConfiguration(t *testing.T) {
	program, err := exec.LookPath("/usr/sbin/haproxy")
	if err != nil {
		t.Skip("haproxy is not installed: apt-get install haproxy")
	}
	for _, name := range labfile.Profiles() {
		topo, lab := profile(t, name)
		for _, m := range topo.Of(topology.KindEdge) {
			files, _, err := LoadBalancer(topo, lab, m)
			if err != nil {
				t.Fatal(err)
			}
			path := write(t, files, haproxyConfig)
			out, err := exec.Command(program, "-c", "-f", path).CombinedOutput()
			if err != nil || bytes.Contains(out, []byte("WARNING")) {
				t.Errorf("%s of %s: %v\n%s", m.Name, name, err, out)
			}
		}
	}
}

func write(t *testing.T, files map[string]machine.File, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.WriteFile(path, files[name].Data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUsersAreNotSentToTaintedNodes(t *testing.T) {
	topo, _ := profile(t, "shop")
	config, err := HAProxy(topo, labfile.Realistic, topo.Machine("lb-1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range topo.Of(topology.KindWorker) {
		want := len(n.Node.Taints) == 0
		if got := strings.Contains(string(config), n.Addr().String()+":9999"); got != want {
			t.Errorf("%s behind the users' virtual IP: %v, want %v", n.Name, got, want)
		}
	}
}

func TestWhoIsAloneNeedsNoKeepalived(t *testing.T) {
	topo, lab := profile(t, "small")
	files, services, err := Router(topo, lab, topo.Machine("router-1"))
	if err != nil || len(files) != 0 || len(services) != 0 {
		t.Errorf("router: got %v, %v, %v", files, services, err)
	}
	files, services, err = LoadBalancer(topo, lab, topo.Machine("lb-1"))
	if err != nil || len(services) != 1 || services[0].Name != "haproxy" {
		t.Errorf("load balancer: got %v, %v, %v", files, services, err)
	}
}

func TestNodesHaveNoPartInTheEdge(t *testing.T) {
	topo, lab := profile(t, "small")
	if _, _, err := LoadBalancer(topo, lab, topo.Machine("cp-1")); err == nil {
		t.Error("a control plane became a load balancer")
	}
}

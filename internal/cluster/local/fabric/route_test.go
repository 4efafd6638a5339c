package fabric

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"zdl/internal/labfile"
	"zdl/internal/topology"
)

func wiring(t *testing.T, profile string) *topology.Topology {
	t.Helper()
	topo := profileTopology(profile)
	if topo == nil {
		t.Fatalf("no profile %s", profile)
	}
	return topo
}

// profileTopology wires a built-in lab; nil if there is none of that name.
func profileTopology(profile string) *topology.Topology {
	lab, err := labfile.Profile(profile)
	if err != nil {
		return nil
	}
	return topology.New(lab)
}

func table(t *topology.Topology, machine string) string {
	var b strings.Builder
	for _, r := range routes(t, t.Machine(machine)) {
		if r.via.IsValid() {
			fmt.Fprintf(&b, "%s via %s dev %s\n", r.to, r.via, r.port)
		} else {
			fmt.Fprintf(&b, "%s nowhere\n", r.to)
		}
	}
	return b.String()
}

func TestRoutes(t *testing.T) {
	topo := wiring(t, "ha") // cp-1 and worker-1 in zone-a, and so on
	for machine, want := range map[string]string{
		"outside": "0.0.0.0/0 via 198.18.254.1 dev eth0\n",
		"lb-2":    "0.0.0.0/0 via 198.18.0.1 dev eth0\n",
		// The node beside it directly, others through the gateway, its own not at all.
		"worker-2": `0.0.0.0/0 via 198.18.2.1 dev eth0
198.19.2.0/24 via 198.18.2.11 dev eth0
198.19.5.0/24 nowhere
`,
		"router-2": `198.19.1.0/24 via 198.18.1.11 dev eth1
198.19.2.0/24 via 198.18.2.11 dev eth2
198.19.3.0/24 via 198.18.3.11 dev eth3
198.19.4.0/24 via 198.18.1.12 dev eth1
198.19.5.0/24 via 198.18.2.12 dev eth2
198.19.6.0/24 via 198.18.3.12 dev eth3
`,
	} {
		if got := table(topo, machine); got != want {
			t.Errorf("%s:\n%swant:\n%s", machine, got, want)
		}
	}
}

func TestNoRouteLeavesTheLab(t *testing.T) {
	lab := netip.MustParsePrefix("198.18.0.0/15")
	for _, name := range labfile.Profiles() {
		topo := wiring(t, name)
		for _, m := range topo.Of(topology.KindRouter) {
			for _, r := range routes(topo, m) {
				if !lab.Overlaps(r.to) || r.to.Bits() < lab.Bits() {
					t.Errorf("%s of %s knows a way to %s", m.Name, name, r.to)
				}
			}
		}
	}
}

func TestWhoIsAloneOwnsWhatTwoShare(t *testing.T) {
	for _, c := range []struct{ profile, machine, want string }{
		{"small", "router-1", "[198.18.0.2/24 198.18.0.1/24]"},
		{"small", "lb-1", "[198.18.0.11/24 198.18.0.100/32 198.18.0.101/32]"},
		{"small", "cp-1", "[198.18.1.11/24]"},
		{"ha", "router-1", "[198.18.0.2/24]"},
		{"ha", "lb-1", "[198.18.0.11/24]"},
	} {
		topo := wiring(t, c.profile)
		m := topo.Machine(c.machine)
		if got := fmt.Sprint(addresses(topo, m, m.Ports[0])); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.machine, c.profile, got, c.want)
		}
	}
}

func TestSwitchPortsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]string{"lo": "loopback", "sw0": "bridge"}
	for i, name := range []string{"a", "lo", "sw0", "worker-1", "worker-12345", "worker-123456",
		"a-very-long-name-of-a-worker-1", "a-very-long-name-of-a-worker-2", "a-very-long-name"} {
		port := SwitchPort(&topology.Machine{Name: name, Index: 242 + i})
		if len(port) >= unix.IFNAMSIZ {
			t.Errorf("%s: %s is too long", name, port)
		}
		if other, taken := seen[port]; taken {
			t.Errorf("%s and %s are both %s", name, other, port)
		}
		seen[port] = name
	}
}

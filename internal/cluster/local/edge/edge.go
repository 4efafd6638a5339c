// Package edge configures the machines at the edge of a lab's network: load
// balancers (HAProxy and keepalived) that hold the two virtual IPs, and routers
// that share the gateway address of each segment.
package edge

import (
	"fmt"

	"zdl/internal/cluster/local/machine"
	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// Places in an edge machine.
const (
	// AdminSocket is HAProxy's runtime API: stats, and servers set to drain.
	AdminSocket = "/run/haproxy/admin.sock"
	// StatsPort serves HAProxy's statistics page at /stats and Prometheus metrics
	// at /metrics on the load balancer's own address.
	StatsPort = 8404

	haproxyConfig    = "/etc/haproxy/haproxy.cfg"
	haproxyCheck     = "/run/haproxy/check"
	keepalivedConfig = "/etc/keepalived/keepalived.conf"
)

// LoadBalancer gives the files and services of an edge machine: HAProxy and,
// where there are two, keepalived. One that is alone owns the virtual IPs (see
// package fabric).
func LoadBalancer(t *topology.Topology, lab *labfile.Lab, m *topology.Machine) (map[string]machine.File, []machine.Service, error) {
	haproxy, err := HAProxy(t, lab.Timing, m)
	if err != nil {
		return nil, nil, err
	}
	check, err := render("check.sh.tmpl", map[string]any{"Port": StatsPort})
	if err != nil {
		return nil, nil, err
	}
	files := map[string]machine.File{
		haproxyConfig: {Data: haproxy, Mode: 0o644},
		haproxyCheck:  {Data: check, Mode: 0o755}, // also makes the directory of the socket
	}
	services := []machine.Service{
		// In the foreground; one process, no master: the machine's init restarts it.
		{Name: "haproxy", Argv: []string{"/usr/sbin/haproxy", "-db", "-f", haproxyConfig}},
	}
	if len(t.Of(topology.KindEdge)) > 1 {
		keepalived, err := keepalivedConf(t, m)
		if err != nil {
			return nil, nil, err
		}
		files[keepalivedConfig] = machine.File{Data: keepalived, Mode: 0o644}
		services = append(services, keepalivedService(AdminSocket))
	}
	return files, services, nil
}

// Router gives the files and services of a router: keepalived where there are
// two, nothing where there is one, which owns the gateway addresses (see package
// fabric).
func Router(t *topology.Topology, lab *labfile.Lab, m *topology.Machine) (map[string]machine.File, []machine.Service, error) {
	if len(t.Of(topology.KindRouter)) < 2 {
		return nil, nil, nil
	}
	keepalived, err := keepalivedConf(t, m)
	if err != nil {
		return nil, nil, err
	}
	return map[string]machine.File{keepalivedConfig: {Data: keepalived, Mode: 0o644}},
		[]machine.Service{keepalivedService()}, nil
}

// keepalivedService runs the VRRP half of keepalived in the foreground.
func keepalivedService(waitFor ...string) machine.Service {
	return machine.Service{
		Name: "keepalived",
		Argv: []string{"/usr/sbin/keepalived", "--dont-fork", "--log-console", "--vrrp",
			"--use-file", keepalivedConfig,
			"--pid", "/run/keepalived.pid", "--vrrp_pid", "/run/vrrp.pid"},
		WaitFor: waitFor,
	}
}

// peer is what templates see of a server behind a load balancer.
type peer struct {
	Name, Addr string
	Port       int
}

func wrongKind(m *topology.Machine) error {
	return fmt.Errorf("configure %s: a machine of kind %s has no part in the edge", m.Name, m.Kind)
}

package local

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/topology"
)

// Machines lists the machines that are not Kubernetes nodes, with their power
// and the virtual IPs they hold at this moment.
func (c *Cluster) Machines() []cluster.Machine {
	out := []cluster.Machine{}
	for _, m := range c.Topology.Of(topology.KindRouter, topology.KindEdge, topology.KindOutside) {
		row := cluster.Machine{Name: m.Name, Kind: string(m.Kind), Address: m.Addr().String(), Power: c.PowerState(m.Name)}
		if row.Power == cluster.PowerOn {
			row.Holds = c.holds(m)
		}
		out = append(out, row)
	}
	return out
}

// PowerState is the state of a machine's power switch, or unknown for a name
// that is no machine of this lab.
func (c *Cluster) PowerState(name string) cluster.Power {
	switch {
	case c.Topology.Machine(name) == nil:
		return cluster.PowerUnknown
	case c.Powered(name):
		return cluster.PowerOn
	}
	return cluster.PowerOff
}

// holds tells which virtual IPs stand on the interfaces of a machine.
func (c *Cluster) holds(m *topology.Machine) []string {
	var addresses []net.Addr
	err := c.fabric.Do(m.Name, func() (err error) {
		addresses, err = net.InterfaceAddrs()
		return err
	})
	if err != nil {
		return nil
	}
	var out []string
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil {
			continue
		}
		a := prefix.Addr()
		switch {
		case a == topology.UserVIP:
			out = append(out, "users")
		case a == topology.APIVIP:
			out = append(out, "api")
		case m.Kind == topology.KindRouter && a == c.Topology.Segment(topology.EdgeSegment).Gateway:
			out = append(out, "gateways")
		}
	}
	return out
}

// EtcdLeader names the control plane whose etcd member leads, or "" when no
// member says it does. It asks each member's own metrics, from inside its
// machine, so it works without the API.
func (c *Cluster) EtcdLeader(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var group sync.WaitGroup
	var mu sync.Mutex
	leader := ""
	for _, m := range c.Topology.Of(topology.KindControlPlane) {
		if !c.Powered(m.Name) {
			continue
		}
		group.Go(func() {
			if c.leads(ctx, m.Name) {
				mu.Lock()
				leader = m.Name
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return leader
}

func (c *Cluster) leads(ctx context.Context, name string) bool {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return c.fabric.Dial(ctx, name, network, addr)
		},
	}}
	// kubeadm's etcd serves its metrics there (listen-metrics-urls).
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:2381/metrics", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	scanner := bufio.NewScanner(resp.Body)
	for scanner.Scan() {
		if value, ok := strings.CutPrefix(scanner.Text(), "etcd_server_is_leader "); ok {
			return value == "1"
		}
	}
	return false
}

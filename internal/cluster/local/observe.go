package local

import (
	"bufio"
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
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
	case !c.Powered(name):
		return cluster.PowerOff
	}
	if f, err := c.Freezer(name, ""); err == nil {
		if frozen, err := f.Asked(); err == nil && frozen {
			return cluster.PowerFrozen
		}
	}
	return cluster.PowerOn
}

// holds tells which virtual IPs stand on the interfaces of a machine.
func (c *Cluster) holds(m *topology.Machine) []string {
	var out []string
	for _, a := range c.addressesOf(m.Name) {
		if name := c.virtual(m, a); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// addressesOf lists the addresses on the interfaces of a machine.
func (c *Cluster) addressesOf(name string) []netip.Addr {
	var addresses []net.Addr
	err := c.fabric.Do(name, func() (err error) {
		addresses, err = net.InterfaceAddrs()
		return err
	})
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			out = append(out, prefix.Addr())
		}
	}
	return out
}

// virtual names an address that moves between machines, "" for any other: the
// gateways move together, so that of the edge stands for all.
func (c *Cluster) virtual(m *topology.Machine, a netip.Addr) string {
	switch {
	case a == topology.UserVIP:
		return "users"
	case a == topology.APIVIP:
		return "api"
	case m.Kind == topology.KindRouter && a == c.Topology.Segment(topology.EdgeSegment).Gateway:
		return "gateways"
	}
	return ""
}

// sortHolds puts the users' virtual IP first.
func sortHolds(names []string) {
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(b, a) })
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

package local

import (
	"context"
	"errors"
	"fmt"
	"os"

	"zdl/internal/cluster/local/fabric"
	"zdl/internal/topology"
)

// NetNS is the file of a machine's network namespace, whether it exists or not.
func (c *Cluster) NetNS(machine string) string { return c.fabric.Path(machine) }

// SwitchNS is the file of the network namespace that holds a segment's switch.
func (c *Cluster) SwitchNS(segment string) string { return c.fabric.SwitchPath(segment) }

// SetLink pulls or connects the cable of one port of a machine. A machine that is
// off has no cables: os.ErrNotExist.
func (c *Cluster) SetLink(ctx context.Context, machine, port string, up bool) error {
	m, err := c.machine(machine)
	if err != nil {
		return err
	}
	return c.fabric.SetPort(ctx, m, port, up)
}

// Link tells in one word how the cable of a port is: "up", "down" when it was
// pulled at the switch, "absent" when the machine is off. Carrier is what the
// machine sees of it.
func (c *Cluster) Link(machine, port string) (state string, carrier bool, err error) {
	m, err := c.machine(machine)
	if err != nil {
		return "", false, err
	}
	p, err := portOf(m, port)
	if err != nil {
		return "", false, err
	}
	link, err := c.fabric.Link(m, p)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "absent", false, nil
	case err != nil:
		return "", false, err
	case link.Connected:
		return "up", link.Carrier, nil
	}
	return "down", link.Carrier, nil
}

// SwitchPort says where the cable of a machine's port ends: the namespace of the
// switch, its bridge and the interface.
func (c *Cluster) SwitchPort(machine, port string) (netns, bridge, name string, err error) {
	m, err := c.machine(machine)
	if err != nil {
		return "", "", "", err
	}
	p, err := portOf(m, port)
	if err != nil {
		return "", "", "", err
	}
	return c.fabric.SwitchPath(p.Segment), c.Topology.Segment(p.Segment).Bridge, fabric.SwitchPort(m), nil
}

func portOf(m *topology.Machine, port string) (topology.Port, error) {
	for _, p := range m.Ports {
		if p.Name == port {
			return p, nil
		}
	}
	return topology.Port{}, fmt.Errorf("%s has no port %q", m.Name, port)
}

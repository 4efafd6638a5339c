package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"zdl/internal/topology"
)

// SetPort is SetLink for the cable of one port, named as in the machine: eth0.
func (f *Fabric) SetPort(ctx context.Context, m *topology.Machine, port string, up bool) error {
	defer f.lock(f.Path(m.Name))()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, p := range m.Ports {
		if p.Name != port {
			continue
		}
		if err := f.setPort(m, p, up); err != nil {
			return fmt.Errorf("link of %s to switch %s: %w", m.Name, p.Segment, err)
		}
		return nil
	}
	return fmt.Errorf("%s has no port %q", m.Name, port)
}

// Link is the state of one cable.
type Link struct {
	// Connected: the switch's end is up and one of its bridge's ports.
	Connected bool
	// Carrier: the machine's end has a carrier.
	Carrier bool
}

// Link looks at both ends of the cable of one port. The error of a machine that
// is not plugged in is os.ErrNotExist.
func (f *Fabric) Link(m *topology.Machine, p topology.Port) (Link, error) {
	sw, err := enter(f.SwitchPath(p.Segment))
	if err != nil {
		return Link{}, err
	}
	defer sw.close()
	inside, err := enter(f.Path(m.Name))
	if err != nil {
		return Link{}, err
	}
	defer inside.close()
	near, far, err := bothEnds(inside, sw, m, p)
	if err != nil {
		return Link{}, err
	}
	if near == nil || far == nil {
		return Link{}, fmt.Errorf("%s has no cable to switch %s: %w", m.Name, p.Segment, os.ErrNotExist)
	}
	const lowerUp = 1 << 16 // IFF_LOWER_UP of linux/if.h
	return Link{
		Connected: far.Attrs().Flags&net.FlagUp != 0 && far.Attrs().MasterIndex != 0,
		Carrier:   near.Attrs().RawFlags&lowerUp != 0,
	}, nil
}

// In runs a short function on a thread that is in the network namespace bound to
// path, which may also be a process's /proc/PID/ns/net. It is Do for namespaces
// that are no machine's.
func In(path string, do func() error) error {
	err := inNamespace(path, do)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("enter %s: %w", path, err)
	}
	return err
}

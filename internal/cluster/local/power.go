package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"zdl/internal/cluster/local/machine"
	"zdl/internal/cluster/local/machine/boot"
	"zdl/internal/topology"
)

// offMarker remembers that a machine was switched off on purpose, so that a new
// daemon does not switch it on. It lies in the run directory: a host that
// reboots powers all machines on again.
func (c *Cluster) offMarker(name string) string {
	return filepath.Join(c.RunDir, "off", name)
}

// Powered tells whether a machine is on.
func (c *Cluster) Powered(name string) bool {
	mark, err := boot.ReadMark(MachineRun(c.RunDir, name))
	return err == nil && mark.Alive()
}

func (c *Cluster) machine(name string) (*topology.Machine, error) {
	if m := c.Topology.Machine(name); m != nil {
		return m, nil
	}
	var names []string
	for i := range c.Topology.Machines {
		names = append(names, c.Topology.Machines[i].Name)
	}
	return nil, fmt.Errorf("there is no machine %q; this lab has %v", name, names)
}

// PowerOff cuts a machine's power: its link goes first, so that nothing can say
// goodbye, then all its processes at once. It returns when the last process is
// gone, and how long that took from the cut. Control groups, disk and cables are
// put away after it; a PowerOn waits for that. A machine that is off stays off.
func (c *Cluster) PowerOff(ctx context.Context, name string) (time.Duration, error) {
	m, err := c.machine(name)
	if err != nil {
		return 0, err
	}
	c.power[name].Lock()
	if err := c.markOff(name); err != nil {
		c.power[name].Unlock()
		return 0, err
	}
	took, tidy, err := c.cutNow(ctx, m)
	if err != nil {
		c.power[name].Unlock()
		return took, err
	}
	go func() {
		defer c.power[name].Unlock()
		// A machine that is switched on again is tidied up after first, so an
		// error here is told, and does no harm.
		if err := tidy(context.WithoutCancel(ctx)); err != nil {
			c.Log.Error("tidy up after a power cut", "machine", name, "error", err)
		}
	}()
	return took, nil
}

func (c *Cluster) markOff(name string) error {
	if err := os.MkdirAll(filepath.Dir(c.offMarker(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(c.offMarker(name), nil, 0o644)
}

// cut takes a machine's power, and returns when nothing is left of its run.
func (c *Cluster) cut(ctx context.Context, m *topology.Machine) (time.Duration, error) {
	took, tidy, err := c.cutNow(ctx, m)
	if err == nil {
		err = tidy(ctx)
	}
	return took, err
}

// cutNow takes the link and ends every process. The rest is tidy's, which must be
// called.
func (c *Cluster) cutNow(ctx context.Context, m *topology.Machine) (took time.Duration, tidy func(context.Context) error, err error) {
	begin := time.Now()
	if err := c.fabric.SetLink(ctx, m, false); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, nil, fmt.Errorf("cut the link of %s: %w", m.Name, err)
	}
	took = time.Since(begin)
	sweep := func(context.Context) error { return nil }
	running, err := machine.Find(MachineRun(c.RunDir, m.Name))
	if err == nil {
		var gone time.Duration
		gone, sweep, err = running.Cut(ctx)
		took += gone
	}
	if err != nil && !errors.Is(err, machine.ErrOff) {
		return took, nil, fmt.Errorf("cut the power of %s: %w", m.Name, err)
	}
	return took, func(ctx context.Context) error {
		if err := sweep(ctx); err != nil {
			return err
		}
		if err := c.fabric.Unplug(ctx, m); err != nil {
			return fmt.Errorf("unplug %s: %w", m.Name, err)
		}
		return nil
	}, nil
}

// PowerOn starts a machine with the identity, disk and address it had. A machine
// that is on stays as it is.
func (c *Cluster) PowerOn(ctx context.Context, name string) error {
	m, err := c.machine(name)
	if err != nil {
		return err
	}
	c.power[name].Lock()
	defer c.power[name].Unlock()
	if err := os.Remove(c.offMarker(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return c.start(ctx, m)
}

func (c *Cluster) start(ctx context.Context, m *topology.Machine) error {
	if _, err := machine.Find(MachineRun(c.RunDir, m.Name)); err == nil {
		return nil
	}
	netns, err := c.fabric.Plug(ctx, m)
	if err != nil {
		return fmt.Errorf("plug %s in: %w", m.Name, err)
	}
	spec, err := c.spec(m, netns)
	if err != nil {
		return err
	}
	if _, err := machine.Start(ctx, spec); err != nil {
		return fmt.Errorf("power %s on: %w", m.Name, err)
	}
	return nil
}

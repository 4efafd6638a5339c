package local

import (
	"context"
	"errors"
	"os"
)

// SwitchedOff tells whether somebody switched a machine off on purpose.
func (c *Cluster) SwitchedOff(name string) bool {
	_, err := os.Stat(c.offMarker(name))
	return !errors.Is(err, os.ErrNotExist)
}

// PowerCycle cuts the power of a machine and gives it back at once. Unlike
// PowerOff it leaves no mark in between: whoever finds the machine off, because
// this was interrupted, may switch it on.
func (c *Cluster) PowerCycle(ctx context.Context, name string) error {
	m, err := c.machine(name)
	if err != nil {
		return err
	}
	c.power[name].Lock()
	defer c.power[name].Unlock()
	if _, err := c.cut(ctx, m); err != nil {
		return err
	}
	return c.start(ctx, m)
}

package fabric

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Flap is a cable with a loose contact: it describes the port of a switch that
// goes down and comes up again and again.
type Flap struct {
	Bridge string        `json:"bridge"`
	Port   string        `json:"port"` // interface of the switch
	Down   time.Duration `json:"down"`
	Up     time.Duration `json:"up"`
}

// Run begins with the port down and leaves it up when ctx ends. A port that is
// missing, because its machine is off, may come back.
func (f Flap) Run(ctx context.Context, netns string) error {
	sw, err := enter(netns)
	if err != nil {
		return fmt.Errorf("switch of %s: %w", f.Port, err)
	}
	defer sw.close()
	for {
		if err := f.set(sw, false); err != nil {
			return errors.Join(err, f.set(sw, true))
		}
		rest(ctx, f.Down)
		if err := f.set(sw, true); err != nil || ctx.Err() != nil {
			return err
		}
		rest(ctx, f.Up)
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (f Flap) set(sw *namespace, up bool) error {
	port, err := sw.LinkByName(f.Port)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if up {
		bridge, err := sw.LinkByName(f.Bridge)
		if err != nil {
			return err
		}
		err = sw.connect(port, bridge)
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		return err
	}
	if err := sw.LinkSetDown(port); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("set %s down: %w", f.Port, err)
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

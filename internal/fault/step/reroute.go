package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"zdl/internal/packetfilter"
)

// reroute is what faults with a proxy in the way have in common: a helper in a
// network namespace, which owns the packet filter that brings it its packets. So
// both go together, whatever ends the helper.
type reroute struct {
	w     *World
	key   string // of the helper
	what  string // for messages
	verb  string // of zdl-init
	table string // of family ip
	// netns finds the namespace; os.ErrNotExist when it is gone.
	netns func() (string, error)
}

func (r *reroute) inject(config any) error {
	netns, err := r.netns()
	if err != nil {
		return err
	}
	if err := r.w.startHelper(r.key, r.verb, netns, config); err != nil {
		return fmt.Errorf("put a proxy in the way of %s: %w", r.what, err)
	}
	return nil
}

// standing tells whether the proxy is in the way, and where.
func (r *reroute) standing() (netns string, err error) {
	if err := r.w.helperRuns(r.key); err != nil {
		return "", err
	}
	if netns, err = r.netns(); err != nil {
		return "", err
	}
	there, err := packetfilter.Exists(netns, packetfilter.IPv4, r.table)
	if err == nil && !there {
		err = fmt.Errorf("the packet filter of the proxy of %s is gone", r.what)
	}
	return netns, err
}

// undo ends the helper and waits until its packet filter went with it. That of a
// daemon before ended when its daemon did.
func (r *reroute) undo(ctx context.Context) error {
	r.w.stopHelper(r.key)
	ctx, cancel := context.WithTimeout(ctx, helperGrace)
	defer cancel()
	for {
		there, err := r.there()
		if err != nil || !there {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the proxy of %s is still in the way", r.what)
		case <-time.After(time.Millisecond):
		}
	}
}

func (r *reroute) there() (bool, error) {
	netns, err := r.netns()
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return packetfilter.Exists(netns, packetfilter.IPv4, r.table)
}

func (r *reroute) state() (map[string]string, error) {
	there, err := r.there()
	return map[string]string{"proxy of " + r.what: present(there)}, err
}

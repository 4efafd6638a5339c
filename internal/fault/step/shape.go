package step

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"zdl/internal/fault"
	"zdl/internal/shape"
)

// Shape makes links worse: delay, loss and their like. Where the kernel has
// netem a queueing discipline does it; elsewhere a helper of the daemon does, in
// whose absence the links work as before (package shape).
type Shape struct {
	w     *World
	What  string       `json:"what"` // whose links: "worker-1", "shop/cart-5d9"
	Links []shape.Link `json:"links"`
	Path  EchoPath     `json:"path"` // by which the effect is proven
}

// EchoPath is a way through the links, from a network namespace to an address
// that answers ICMP echoes.
type EchoPath struct {
	Netns string     `json:"netns"`
	From  string     `json:"from"` // in words
	To    netip.Addr `json:"to,omitzero"`
	// Before is the median round-trip time before the fault, nanoseconds.
	Before time.Duration `json:"before,omitempty"`
}

// shapes are the helpers of active faults, by what they touch.
type shapes struct {
	mu      sync.Mutex
	keepers map[string]*shape.Keeper
}

// baseline bounds the search for an address that answers.
const baseline = 150 * time.Millisecond

// NewShape plans to shape links. From path.Netns some of the addresses in to
// should be reached through the links; the first that answers now is the one by
// which the effect is proven.
func (w *World) NewShape(what string, links []shape.Link, path EchoPath, to []netip.Addr) (fault.Step, error) {
	s := &Shape{w: w, What: what, Links: links, Path: path}
	for i := range links {
		if err := links[i].Check(); err != nil {
			return nil, err
		}
	}
	if len(to) == 0 {
		return s, nil
	}
	found, err := shape.Ping{Netns: path.Netns, To: to, Count: 1, Wait: baseline, First: true}.Do()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path.From, err)
	}
	if found.Received == 0 {
		return s, nil
	}
	before, err := shape.Ping{Netns: path.Netns, To: []netip.Addr{found.From}, Count: 3, Gap: 100 * time.Microsecond, Wait: baseline}.Do()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path.From, err)
	}
	s.Path.To, s.Path.Before = found.From, before.Median()
	return s, nil
}

// Mechanism is "shape".
func (s *Shape) Mechanism() string { return "shape" }

// Touches each direction of each link.
func (s *Shape) Touches() []string {
	var out []string
	for i := range s.Links {
		l := &s.Links[i]
		name := "shape/" + filepath.Base(l.Netns) + "/" + l.Interface
		if !l.Ingress.Idle() {
			out = append(out, name+"/ingress")
		}
		if !l.Egress.Idle() {
			out = append(out, name+"/egress")
		}
	}
	return out
}

func (s *Shape) key() string { return strings.Join(s.Touches(), " ") }

// Inject starts the helper and returns when it says that the shaping is in force.
func (s *Shape) Inject(context.Context) error {
	all := &s.w.shapes
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.keepers[s.key()] != nil { // it looks after its helper itself
		return nil
	}
	k, err := shape.Keep([]string{s.w.Init, "shape"}, shape.Config{Links: s.Links})
	if err != nil {
		return fmt.Errorf("shape the links of %s: %w", s.What, err)
	}
	if all.keepers == nil {
		all.keepers = map[string]*shape.Keeper{}
	}
	all.keepers[s.key()] = k
	return nil
}

func (s *Shape) keeper() *shape.Keeper {
	s.w.shapes.mu.Lock()
	defer s.w.shapes.mu.Unlock()
	return s.w.shapes.keepers[s.key()]
}

// Undo ends the shaping and returns when frames pass as before. The helper is
// gone some milliseconds later; that of a daemon before went with it.
func (s *Shape) Undo(context.Context) error {
	all := &s.w.shapes
	all.mu.Lock()
	k := all.keepers[s.key()]
	delete(all.keepers, s.key())
	all.mu.Unlock()
	if k != nil && k.End() == nil && k.Restarts() == 0 {
		return nil
	}
	// What a helper that was killed told netem is still in the kernel.
	var errs []error
	for i := range s.Links {
		errs = append(errs, shape.Clear(&s.Links[i]))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("let the links of %s alone: %w", s.What, err)
	}
	return nil
}

// State tells of each end of each link what shaping leaves there.
func (s *Shape) State(context.Context) (map[string]string, error) {
	out := map[string]string{}
	for i := range s.Links {
		l := &s.Links[i]
		ends := []shape.End{{Netns: l.Netns, Interface: l.Interface}}
		if l.Far != nil {
			ends = append(ends, *l.Far)
		}
		for _, e := range ends {
			state, err := shape.State(e)
			if err != nil {
				return nil, err
			}
			for _, name := range slices.Sorted(maps.Keys(state)) {
				out[fmt.Sprintf("%s of %s in %s", name, e.Interface, filepath.Base(e.Netns))] = state[name]
			}
		}
	}
	return out, nil
}

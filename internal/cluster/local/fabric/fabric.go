// Package fabric is the network of a data centre, made of network namespaces:
// one per switch, with a bridge in it, and one per machine, with a cable (a veth
// pair) from each of its ports to a switch. No cable leads to the host, so
// nothing in a lab can reach the host's network or the world.
//
// A namespace lives as long as the file below <run>/NAME/netns that it is bound
// to: it needs no process. What a dead maker left half done is finished by the
// next Up or Plug and removed by Down.
//
//	<run>/NAME/netns/switch.edge    the switch of segment "edge"
//	<run>/NAME/netns/lb-1           the machine lb-1
package fabric

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"zdl/internal/topology"
)

// maxVisits is how many threads open sockets at the same time. Two cores gain
// nothing from more: a visit takes some 20 microseconds.
const maxVisits = 4

// Fabric is the network of one lab. All its methods may be called at the same
// time; calls about the same machine wait for each other.
type Fabric struct {
	lab  string
	topo *topology.Topology
	dir  string // of the namespace files

	mu    sync.Mutex
	locks map[string]*sync.Mutex // by namespace file name

	// visits bounds the threads that are in a namespace to open a socket: the
	// runtime never gives back a thread that it once needed.
	visits chan struct{}
}

// New describes the fabric of a lab whose run directory is runDir; it touches
// nothing. The topology may be nil where only Down, Path and Dial are needed.
func New(lab string, t *topology.Topology, runDir string) *Fabric {
	return &Fabric{lab: lab, topo: t, dir: filepath.Join(runDir, "netns"), locks: map[string]*sync.Mutex{},
		visits: make(chan struct{}, maxVisits)}
}

// Path is the file of a machine's network namespace, whether it exists or not.
// A machine that was off and on again has a new namespace at the same path.
func (f *Fabric) Path(machine string) string { return filepath.Join(f.dir, machine) }

// SwitchPath is the file of a segment's switch. Names of machines hold no dot,
// so it is never a machine's.
func (f *Fabric) SwitchPath(segment string) string { return filepath.Join(f.dir, "switch."+segment) }

// lock serialises what is done to one namespace; the result unlocks.
func (f *Fabric) lock(path string) func() {
	f.mu.Lock()
	l := f.locks[path]
	if l == nil {
		l = &sync.Mutex{}
		f.locks[path] = l
	}
	f.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Up makes all switches; those that exist stay as they are.
func (f *Fabric) Up(ctx context.Context) error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("fabric of lab %s: %w", f.lab, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	for i := range f.topo.Segments {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return f.ensureSwitch(&f.topo.Segments[i])
		})
	}
	return g.Wait()
}

// Down removes every switch, cable and namespace that the run directory holds,
// whatever lab they were made for; what is not there is no error. The kernel
// frees a namespace when its last process and its last open socket are gone.
func (f *Fabric) Down(ctx context.Context) error {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fabric of lab %s: %w", f.lab, err)
	}
	var errs []error
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(f.dir, e.Name())
		unlock := f.lock(path)
		errs = append(errs, removeNamespace(path))
		unlock()
	}
	if err := os.Remove(f.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("fabric of lab %s: %w", f.lab, err)
	}
	return nil
}

package step

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"zdl/internal/cluster/local/fabric"
	"zdl/internal/fault"
	"zdl/internal/packetfilter"
)

// Drop drops or rejects packets by tables of nftables, in switches or machines.
type Drop struct {
	w       *World
	What    string   `json:"what"` // for messages: "zone-a and zone-b"
	Filters []Filter `json:"filters"`
	Probes  []Probe  `json:"probes"`
	Reject  bool     `json:"reject,omitempty"`
}

// Filter is some tables and where they stand.
type Filter struct {
	Switch  string               `json:"switch,omitempty"`  // segment whose switch holds them, or
	Machine string               `json:"machine,omitempty"` // machine that holds them
	Tables  []packetfilter.Table `json:"tables"`
}

// Probe is a connection that must not come about while the fault lasts.
type Probe struct {
	Machine string         `json:"machine"`       // where it comes from
	Pod     string         `json:"pod,omitempty"` // and the pod there, by UID
	To      netip.AddrPort `json:"to"`
}

// silence is how long a probe that should be dropped gets to be answered. Any
// machine of a lab answers a SYN within 0.2 ms, if only by a reset.
const silence = 3 * time.Millisecond

// refusal is how long it gets to be refused. Where only answers are rejected, it
// hears nothing.
const refusal = 200 * time.Millisecond

// NewDrop plans to put filters in place; at least one probe must prove them.
func (w *World) NewDrop(what string, filters []Filter, probes []Probe, reject bool) fault.Step {
	return &Drop{w: w, What: what, Filters: filters, Probes: probes, Reject: reject}
}

// Mechanism is "drop".
func (d *Drop) Mechanism() string { return "drop" }

// Touches the tables, each of which is this step's own: two partitions may well
// overlap.
func (d *Drop) Touches() []string {
	var out []string
	for _, f := range d.Filters {
		for _, t := range f.Tables {
			out = append(out, "packet-filter/"+f.place()+"/"+string(t.Family)+"/"+t.Name)
		}
	}
	return out
}

// Inject makes all tables at the same time.
func (d *Drop) Inject(context.Context) error {
	return d.all(func(f *Filter) error {
		err := packetfilter.Apply(d.path(f), f.Tables...)
		if err != nil {
			return fmt.Errorf("filter packets on %s: %w", f.place(), err)
		}
		return nil
	})
}

// Verify opens connections across the cut: each must fail as it should, and the
// filters must have counted packets that they stopped.
func (d *Drop) Verify(ctx context.Context) (string, error) {
	before, err := d.stopped()
	if err != nil {
		return "", err
	}
	failed, err := d.probe(ctx)
	if err != nil {
		return "", err
	}
	after, err := d.stopped()
	if err != nil {
		return "", err
	}
	if failed == 0 {
		return fmt.Sprintf("between %s: filters are in place; no machine is on to try them", d.What), nil
	}
	if after < before+uint64(failed) {
		return "", fmt.Errorf("the filters between %s stopped %d packets of %d connections", d.What, after-before, failed)
	}
	how := "got no answer"
	if d.Reject {
		how = "were refused"
	}
	return fmt.Sprintf("between %s: %d of %d connections %s, %d packets stopped", d.What, failed, failed, how, after), nil
}

// Undo removes the tables.
func (d *Drop) Undo(context.Context) error {
	return d.all(func(f *Filter) error {
		if err := packetfilter.Remove(d.path(f), f.Tables...); err != nil {
			return fmt.Errorf("remove the packet filter on %s: %w", f.place(), err)
		}
		return nil
	})
}

// State tells which of the tables exist.
func (d *Drop) State(context.Context) (map[string]string, error) {
	out := map[string]string{}
	var mu sync.Mutex
	err := d.all(func(f *Filter) error {
		for _, t := range f.Tables {
			found, err := packetfilter.Exists(d.path(f), t.Family, t.Name)
			if err != nil {
				return err
			}
			mu.Lock()
			out[fmt.Sprintf("packet filter %s %s on %s", t.Family, t.Name, f.place())] = present(found)
			mu.Unlock()
		}
		return nil
	})
	return out, err
}

func present(there bool) string {
	if there {
		return "present"
	}
	return "absent"
}

func (f *Filter) place() string {
	if f.Switch != "" {
		return "switch " + f.Switch
	}
	return f.Machine
}

func (d *Drop) path(f *Filter) string {
	if f.Switch != "" {
		return d.w.Local.SwitchNS(f.Switch)
	}
	return d.w.Local.NetNS(f.Machine)
}

func (d *Drop) all(do func(*Filter) error) error {
	errs := make([]error, len(d.Filters))
	var group sync.WaitGroup
	for i := range d.Filters {
		group.Go(func() { errs[i] = do(&d.Filters[i]) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// stopped counts the packets that the filters matched.
func (d *Drop) stopped() (uint64, error) {
	var sum uint64
	var mu sync.Mutex
	err := d.all(func(f *Filter) error {
		n, err := packetfilter.Packets(d.path(f), f.Tables...)
		mu.Lock()
		defer mu.Unlock()
		sum += n
		return err
	})
	return sum, err
}

// probe tries all connections at the same time and counts those that failed as
// they should. Machines that are off try nothing.
func (d *Drop) probe(ctx context.Context) (int, error) {
	failed := 0
	errs := make([]error, len(d.Probes))
	var mu sync.Mutex
	var group sync.WaitGroup
	for i, p := range d.Probes {
		group.Go(func() {
			wait := silence
			if d.Reject {
				wait = refusal
			}
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			conn, err := d.w.dial(ctx, p)
			if errors.Is(err, os.ErrNotExist) {
				return // it is off, or its pod is gone
			}
			errs[i] = d.judge(p, conn, err)
			mu.Lock()
			defer mu.Unlock()
			failed++
		})
	}
	group.Wait()
	return failed, errors.Join(errs...)
}

// dial opens a probe's connection.
func (w *World) dial(ctx context.Context, p Probe) (conn net.Conn, err error) {
	if p.Pod == "" {
		return w.Local.Dial(ctx, p.Machine, "tcp", p.To.String())
	}
	netns, err := w.Local.PodNetNS(p.Machine, p.Pod)
	if err != nil {
		return nil, err
	}
	err = fabric.In(netns, func() (err error) {
		// With a literal address the dialer makes the socket on this thread.
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp4", p.To.String())
		return err
	})
	return conn, err
}

func (d *Drop) judge(p Probe, conn net.Conn, err error) error {
	var late net.Error
	switch refused := errors.Is(err, syscall.ECONNREFUSED); {
	case err == nil:
		conn.Close()
		return fmt.Errorf("%s still reaches %s", p.Machine, p.To)
	case d.Reject && refused, errors.As(err, &late) && late.Timeout():
		return nil
	default:
		return fmt.Errorf("%s to %s: %w", p.Machine, p.To, err)
	}
}

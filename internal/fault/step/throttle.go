package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
)

// Throttle lets a node's disk serve only so many requests a second, for all of
// the node or for one container. On cgroup v1 each group has its own share, only
// those that exist at Inject have one, and writes that nobody waits for (the
// kernel's own write-back) have none.
type Throttle struct {
	w *World
	Place
	Device string `json:"device"` // of the disk when it was planned, "7:3"
	IOPS   int    `json:"iops"`
	Boot   string `json:"boot"`

	before time.Duration // mean time of etcd's fsyncs so far
	since  fsyncs
}

// NewThrottle plans to slow a node's disk down to one request per latency.
func (w *World) NewThrottle(p Place, latency time.Duration) (fault.Step, error) {
	m, err := w.Local.Machine(p.Machine)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Machine, err)
	}
	t := &Throttle{w: w, Place: p, IOPS: max(1, int(time.Second/latency)), Boot: m.BootID()}
	if t.Device, err = loopOf(m.Path("/var")); err == nil && t.Device == "" {
		err = fmt.Errorf("/var of %s is not a disk of its own", p.Machine)
	}
	return t, err
}

// Mechanism is "throttle".
func (t *Throttle) Mechanism() string { return "throttle" }

// Touches the disk of the node: the limits of a container would be taken away
// with those of its node.
func (t *Throttle) Touches() []string { return []string{"disk-speed/" + t.Machine} }

func (t *Throttle) group() (cgroup.Part, error) {
	if t.Pod == "" {
		m, err := t.w.Local.Machine(t.Machine)
		if err != nil {
			return cgroup.Part{}, fmt.Errorf("%s: %w", t.Machine, err)
		}
		return m.Cgroup().Part(""), nil
	}
	part, _, err := t.w.part(t.Place)
	return part, err
}

// Inject sets the limit.
func (t *Throttle) Inject(ctx context.Context) error {
	part, err := t.group()
	if err != nil {
		return err
	}
	if t.Pod != "" {
		t.since, _ = t.w.etcdFsyncs(ctx, t.Machine)
		t.before = t.since.mean()
	}
	return part.SetIOPS(t.Device, t.IOPS)
}

// Verify measures how long a synchronous write takes: etcd's own, or one made in
// the machine.
func (t *Throttle) Verify(ctx context.Context) (string, error) {
	least := time.Second / time.Duration(t.IOPS) / 2
	if t.Pod != "" {
		now, err := t.w.etcdFsyncs(ctx, t.Machine)
		if err != nil {
			return "", err
		}
		during := now.minus(t.since)
		if during.count < 2 || during.mean() < least {
			return "", fmt.Errorf("the last %d fsyncs of etcd on %s took %v each", during.count, t.Machine, during.mean())
		}
		return fmt.Sprintf("an fsync of etcd on %s takes %v (mean of %d), %v before", t.Machine, during.mean(), during.count, t.before), nil
	}
	took, err := t.syncedWrite(ctx)
	if err != nil {
		return "", err
	}
	if took < least {
		return "", fmt.Errorf("a synchronous write on %s takes %v", t.Machine, took)
	}
	return fmt.Sprintf("a synchronous write of 4 KiB to the disk of %s takes %v (mean of 3)", t.Machine, took.Round(100*time.Microsecond)), nil
}

const probeFile = "/var/.zdl-sync"

// syncedWrite writes blocks with O_DSYNC from inside the machine.
func (t *Throttle) syncedWrite(ctx context.Context) (time.Duration, error) {
	m, err := t.w.Local.Machine(t.Machine)
	if err != nil {
		return 0, err
	}
	const writes = 3
	cmd, err := m.Command(ctx, "/bin/dd", "if=/dev/zero", "of="+probeFile, "bs=4k", "count="+strconv.Itoa(writes), "oflag=dsync")
	if err != nil {
		return 0, err
	}
	out, err := cmd.CombinedOutput()
	_ = os.Remove(m.Path(probeFile))
	if err != nil {
		return 0, fmt.Errorf("write on %s: %w: %s", t.Machine, err, out)
	}
	// The last line: 12288 bytes (12 kB, 12 KiB) copied, 0.302 s, 40.7 kB/s
	fields := strings.Split(string(out), ", ")
	if len(fields) < 2 {
		return 0, fmt.Errorf("dd said %q", out)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSuffix(fields[len(fields)-2], " s"), 64)
	return time.Duration(seconds * float64(time.Second) / writes), err
}

// Undo takes the limits of this disk away from every group of the machine.
func (t *Throttle) Undo(context.Context) error {
	m, err := t.w.Local.Machine(t.Machine)
	if errors.Is(err, machine.ErrOff) {
		return nil // its groups are gone, and the limits with them
	}
	if err != nil || m.BootID() != t.Boot {
		return err
	}
	_ = os.Remove(m.Path(probeFile)) // of a Verify that was interrupted
	return m.Cgroup().Part("").SetIOPSEverywhere(t.Device, 0)
}

// State lists the limits of the disk.
func (t *Throttle) State(context.Context) (map[string]string, error) {
	state := "none"
	if m, err := t.w.Local.Machine(t.Machine); err == nil && m.BootID() == t.Boot {
		limits, err := m.Cgroup().Part("").IOPS(t.Device)
		if err != nil {
			return nil, err
		}
		if len(limits) > 0 {
			state = fmt.Sprintf("in %d places", len(limits))
		}
	}
	return map[string]string{"limits of the disk of " + t.Machine: state}, nil
}

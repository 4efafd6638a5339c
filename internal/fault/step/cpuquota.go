package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"zdl/internal/cluster/local"
	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
)

// CPUQuota lets a pod have only a share of a CPU, by the quota of its control
// group: that of the pod, which outlives its containers.
type CPUQuota struct {
	w       *World
	Machine string `json:"machine"`
	Pod     string `json:"pod"` // for people
	Group   string `json:"group"`
	Boot    string `json:"boot"`
	Before  string `json:"before"` // quota and period as they were
	Value   string `json:"value"`
	// Ask is a URL to measure while the quota holds, "" for none.
	Ask string `json:"ask,omitempty"`
}

// quotaPeriod in microseconds is the kernel's default.
const quotaPeriod = 100_000

// NewCPUQuota plans to let the pod of a container have share CPUs. ask is a URL
// whose answers, from the machine outside, are timed as the proof.
func (w *World) NewCPUQuota(c *local.Container, share float64, ask string) (fault.Step, error) {
	m, err := w.Local.Machine(c.Machine)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Machine, err)
	}
	// The kernel takes no quota below a millisecond.
	q := &CPUQuota{
		w: w, Machine: c.Machine, Pod: c.Namespace + "/" + c.Pod, Group: c.PodGroup(), Boot: m.BootID(), Ask: ask,
		Value: fmt.Sprintf("%d %d", max(1000, int(share*quotaPeriod)), quotaPeriod),
	}
	q.Before, err = m.Cgroup().Part(q.Group).Quota()
	return q, err
}

// Mechanism is "cpu-quota".
func (q *CPUQuota) Mechanism() string { return "cpu-quota" }

// Touches the pod's quota.
func (q *CPUQuota) Touches() []string { return []string{"cpu-quota/" + q.Machine + q.Group} }

// part is the pod's group, while the machine runs in the same boot.
func (q *CPUQuota) part() (cgroup.Part, error) {
	m, err := q.w.Local.Machine(q.Machine)
	if err != nil {
		return cgroup.Part{}, fmt.Errorf("%s: %w", q.Machine, err)
	}
	if m.BootID() != q.Boot {
		return cgroup.Part{}, fmt.Errorf("%s was booted again: %w", q.Machine, machine.ErrOff)
	}
	return m.Cgroup().Part(q.Group), nil
}

// Inject sets the quota.
func (q *CPUQuota) Inject(context.Context) error {
	part, err := q.part()
	if err != nil {
		return err
	}
	return part.SetQuota(q.Value)
}

// Verify wants the quota to be used up, and times answers meanwhile.
func (q *CPUQuota) Verify(ctx context.Context) (string, error) {
	part, err := q.part()
	if err != nil {
		return "", err
	}
	if now, err := part.Quota(); err != nil || now != q.Value {
		return "", errors.Join(err, fmt.Errorf("the quota of %s is %q, not %q", q.Pod, now, q.Value))
	}
	before, periods, err := part.Throttled()
	if err != nil {
		return "", err
	}
	const asks = 5
	took, failed := q.times(ctx, asks)
	throttled, of, err := part.Throttled()
	if err != nil {
		return "", err
	}
	if throttled <= before {
		return "", fmt.Errorf("%s on %s was not short of its quota yet", q.Pod, q.Machine)
	}
	text := fmt.Sprintf("%s on %s may use %s µs of CPU and was throttled in %d of %d periods", q.Pod, q.Machine, slashed(q.Value), throttled-before, of-periods)
	if q.Ask != "" {
		text += fmt.Sprintf("; %s answered in %v (median of %d)", q.Ask, took, asks-failed)
		if failed > 0 {
			text += fmt.Sprintf(", %d without answer", failed)
		}
	}
	return text, nil
}

// times asks a few times and gives the median of the answers.
func (q *CPUQuota) times(ctx context.Context, n int) (median time.Duration, failed int) {
	var all []time.Duration
	for range n {
		if q.Ask == "" {
			sleep(ctx, 50*time.Millisecond)
			continue
		}
		begin := time.Now()
		if err := q.w.ask(ctx, "outside", q.Ask); err != nil {
			failed++
			continue
		}
		all = append(all, time.Since(begin))
	}
	if len(all) == 0 {
		return 0, failed
	}
	slices.Sort(all)
	return all[len(all)/2].Round(time.Millisecond), failed
}

// Undo sets the quota that was. A pod or a boot that is gone took it along.
func (q *CPUQuota) Undo(context.Context) error {
	part, err := q.part()
	if errors.Is(err, machine.ErrOff) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := part.SetQuota(q.Before); err != nil && !(cgroup.Gone(err) && !part.Exists()) {
		return err
	}
	return nil
}

// State is the quota.
func (q *CPUQuota) State(context.Context) (map[string]string, error) {
	part, err := q.part()
	now := q.Before
	if err == nil {
		if now, err = part.Quota(); cgroup.Gone(err) {
			now, err = q.Before, nil
		}
	} else if errors.Is(err, machine.ErrOff) {
		err = nil
	}
	return map[string]string{"CPU quota of " + q.Pod + " on " + q.Machine: now}, err
}

func slashed(quota string) string {
	var q, period int
	fmt.Sscanf(quota, "%d %d", &q, &period)
	return fmt.Sprintf("%d of %d", q, period)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

package experiment

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/probe"
)

// watch looks at the lab all the time: since when it is steady, when it was
// worst, and whether users suffer more than they may.
func (c *carrier) watch(ctx context.Context, abort context.CancelCauseFunc) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		c.look(ctx, abort)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *carrier) look(ctx context.Context, abort context.CancelCauseFunc) {
	now := time.Now().Round(0)
	snap, err1 := c.Snapshot(ctx)
	service, err2 := c.Lab.Probe(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLocked(now, &snap, &service, err1 == nil && err2 == nil)
	if err1 != nil || err2 != nil {
		c.steady, c.upSince, c.othersSince = time.Time{}, time.Time{}, time.Time{} // unknown is not steady
		return
	}
	if !service.Up {
		c.upSince = time.Time{}
	} else if c.upSince.IsZero() {
		c.upSince = now
	}
	// Up for so long means that it was well since then: the moment of recovery is
	// when the last thing became well, not when that was long enough ago.
	others, up := true, true
	for i := range c.e.Steady {
		k := &c.e.Steady[i]
		// Shares and percentiles look back by themselves.
		if holds := c.holdsLocked(k, &snap, now); k.ServiceUp != 0 || k.Failed != nil || k.P99 != 0 {
			up = up && holds
		} else {
			others = others && holds
		}
	}
	if !others {
		c.othersSince = time.Time{}
	} else if c.othersSince.IsZero() {
		c.othersSince = now
	}
	switch {
	case !others || !up:
		c.steady = time.Time{}
	case c.steady.IsZero():
		c.steady = later(c.othersSince, c.upSince)
	}
	if bad := badness(&snap, &service); bad > c.badness {
		c.badness = bad
		s := snap
		c.worst = &s
		c.worstAt = now
	}
	if c.run.Seen.Injected.IsZero() {
		return
	}
	ready := 0
	for _, n := range snap.Nodes() {
		if n.Ready {
			ready++
		}
	}
	limit := &c.e.Abort
	switch {
	case limit.Outage > 0 && service.Outage != nil && milliseconds(service.OutageMS) > limit.Outage:
		abort(fmt.Errorf("users are down for %v, more than abort: {outage: %v} allows", milliseconds(service.OutageMS).Round(time.Millisecond), limit.Outage))
	case limit.Failed > 0 && service.Known && 1-service.OKShare > limit.Failed:
		abort(fmt.Errorf("%.0f %% of the requests of the last ten seconds failed, more than abort: {failed: %.0f%%} allows", 100*(1-service.OKShare), 100*limit.Failed))
	case limit.NodesReady > 0 && !snap.Stale && ready < limit.NodesReady:
		abort(fmt.Errorf("%d nodes are Ready, fewer than abort: {nodesReady: %d} allows", ready, limit.NodesReady))
	}
}

// noteLocked keeps what was seen. The caller holds c.mu.
func (c *carrier) noteLocked(now time.Time, s *cluster.Snapshot, p *probe.Summary, known bool) {
	if !known {
		return
	}
	c.latest = *p
	if !c.run.Seen.Ended.IsZero() {
		return // the setup is being undone
	}
	l := Look{At: now, Up: p.Up, Sent: p.Sent - c.first.Sent, Failed: p.Failed - c.first.Failed, P50MS: p.P50MS, P99MS: p.P99MS, PodsReady: s.Target.Ready, Stale: s.Stale}
	for _, n := range s.Nodes() {
		if n.Ready {
			l.NodesReady++
		}
	}
	c.run.Seen.Looks = append(c.run.Seen.Looks, l)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// badness orders moments: a service that is down, nodes, then pods.
func badness(s *cluster.Snapshot, p *probe.Summary) int {
	bad := 0
	if !p.Up {
		bad += 1000
	}
	for _, n := range s.Nodes() {
		if !n.Ready || n.Power == cluster.PowerOff {
			bad += 10
		}
	}
	return bad + max(s.Target.Desired-s.Target.Ready, 0)
}

// holdsLocked tells whether a condition holds now. The caller holds c.mu.
func (c *carrier) holdsLocked(k *Condition, s *cluster.Snapshot, now time.Time) bool {
	switch {
	case k.NodesReady != 0:
		ready, open := 0, 0
		nodes := s.Nodes()
		for _, n := range nodes {
			if n.Ready {
				ready++
				if !n.Unschedulable {
					open++
				}
			}
		}
		if k.NodesReady < 0 {
			return !s.Stale && len(nodes) > 0 && open == len(nodes)
		}
		return !s.Stale && ready >= k.NodesReady
	case k.PodsReady != 0:
		if k.PodsReady < 0 {
			return !s.Stale && s.Target.Desired > 0 && s.Target.Ready >= s.Target.Desired
		}
		return !s.Stale && s.Target.Ready >= k.PodsReady
	case k.ServiceUp != 0:
		return !c.upSince.IsZero() && now.Sub(c.upSince) >= k.ServiceUp
	case k.SystemReady:
		for _, p := range s.System {
			if !p.Ready && p.Phase != "Succeeded" && p.Phase != "Failed" {
				return false
			}
		}
		return !s.Stale
	case k.Failed != nil:
		return c.latest.Known && 1-c.latest.OKShare <= *k.Failed
	case k.P99 != 0:
		return c.latest.Known && c.latest.OKShare > 0 && milliseconds(c.latest.P99MS) <= k.P99
	}
	return true // events are waited for, they are no state
}

// waitSteady waits until everything steady holds.
func (c *carrier) waitSteady(ctx context.Context, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for {
		c.mu.Lock()
		steady := !c.steady.IsZero()
		c.mu.Unlock()
		if steady {
			return true
		}
		if time.Now().After(deadline) || wait(ctx, lookEvery) != nil {
			return false
		}
	}
}

// when waits for an action's condition.
func (c *carrier) when(ctx context.Context, a *Action) error {
	deadline := time.Now().Add(a.Within)
	for {
		ok, err := c.holds(ctx, a.When)
		if err != nil || ok {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("what it waits for did not come within %v", a.Within)
		}
		pace := lookEvery
		if a.When.Rollout != nil {
			pace = rolloutEvery
		}
		if err := wait(ctx, pace); err != nil {
			return err
		}
	}
}

// rolloutEvery is how often kubectl is asked for a rollout: it costs a tenth of a
// CPU second each time.
const rolloutEvery = 500 * time.Millisecond

// progress is how far a deployment's rollout has come, 0 to 1: its new replicas
// that are ready. data is the object as kubectl prints it.
func progress(data []byte) (float64, error) {
	var d struct {
		Metadata struct{ Generation int64 }
		Spec     struct{ Replicas *int }
		Status   struct {
			ObservedGeneration                                  int64
			UpdatedReplicas, UnavailableReplicas, ReadyReplicas int
			Replicas                                            int
		}
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return 0, fmt.Errorf("read the deployment: %w", err)
	}
	want := 1
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	if want == 0 || d.Status.ObservedGeneration < d.Metadata.Generation {
		return 0, nil
	}
	// Replicas that are not ready are new ones: old ones were ready before.
	notReady := max(d.Status.Replicas-d.Status.ReadyReplicas, 0)
	return float64(max(d.Status.UpdatedReplicas-notReady, 0)) / float64(want), nil
}

func (c *carrier) holds(ctx context.Context, k *Condition) (bool, error) {
	if k.Event != nil {
		entries, err := c.Timeline(ctx, c.seq)
		if err != nil {
			return false, err
		}
		for i := range entries {
			if !entries[i].Wall.Before(c.run.Seen.Injected) && k.Event.matches(&entries[i]) {
				return true, nil
			}
		}
		return false, nil
	}
	if r := k.Rollout; r != nil {
		namespace, name, _ := strings.Cut(r.Deployment, "/")
		out, err := c.Kubectl(ctx, []string{"get", "deployment", name, "-n", namespace, "-o", "json"}, "")
		if err != nil {
			return false, err
		}
		done, err := progress([]byte(out))
		return err == nil && done >= r.Done-1e-9, err
	}
	snap, err := c.Snapshot(ctx)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holdsLocked(k, &snap, time.Now().Round(0)), nil
}

// view keeps how the cluster looks now, and before "after" how it was worst.
func (c *carrier) view(ctx context.Context, what string) {
	c.mu.Lock()
	if what == "after" && c.worst != nil {
		c.run.Seen.Views = append(c.run.Seen.Views, View{c.worstAt, "worst", *c.worst})
	}
	c.mu.Unlock()
	if snap, err := c.Snapshot(ctx); err == nil {
		c.run.Seen.Views = append(c.run.Seen.Views, View{time.Now().Round(0), what, snap})
	}
}

package kube

import (
	"fmt"
	"testing"
	"time"

	"zdl/internal/cluster"
)

// told collects changes.
type told struct{ changes []cluster.Change }

func (t *told) notice(c cluster.Change) { t.changes = append(t.changes, c) }

func TestEventsAreToldWithoutRepetitionAndAtABoundedRate(t *testing.T) {
	var got told
	l := newLimiter(got.notice)
	now := time.Now()
	l.now, l.filled = func() time.Time { return now }, now
	unhealthy := &eventRow{kind: "Pod", object: "web/web-1", reason: "Unhealthy", message: "Readiness probe failed", count: 1, warning: true}
	again := *unhealthy
	again.count = 2
	l.event(nil, unhealthy)
	l.event(unhealthy, unhealthy) // a watch that began anew
	l.event(unhealthy, &again)
	l.event(unhealthy, nil) // it was forgotten after an hour
	if len(got.changes) != 1 {
		t.Fatalf("told %d times, want once: %+v", len(got.changes), got.changes)
	}
	if c := got.changes[0]; c.Text != "Pod web/web-1: Readiness probe failed (Unhealthy)" || c.Fields["type"] != "Warning" {
		t.Errorf("told %+v", c)
	}
	now = now.Add(eventRepeat)
	l.event(unhealthy, &again)
	if len(got.changes) != 2 || got.changes[1].Fields["count"] != "2" {
		t.Errorf("after a while: %+v", got.changes)
	}
	got.changes = nil
	for i := range 5 * eventBurst {
		l.event(nil, &eventRow{object: fmt.Sprint(i), reason: "Storm"})
	}
	if n := len(got.changes); n > eventBurst || n < eventBurst-2 {
		t.Errorf("%d of a storm were told, want at most %d", n, eventBurst)
	}
	now = now.Add(time.Minute)
	l.event(nil, &eventRow{object: "after", reason: "Storm"})
	if c := got.changes[len(got.changes)-1]; c.Fields["dropped"] == "" {
		t.Errorf("nobody says that some were left out: %+v", c)
	}
}

func TestALeaseThatRunsOutIsToldOnceAndItsRenewalToo(t *testing.T) {
	var got told
	expired := map[string]bool{}
	t0 := time.Now()
	l := nodeLease{node: "worker-1", renewed: t0, length: 40 * time.Second}
	for s := range 60 {
		tellLease(expired, l, t0.Add(time.Duration(s)*time.Second), got.notice)
	}
	l.renewed = t0.Add(60 * time.Second)
	tellLease(expired, l, t0.Add(61*time.Second), got.notice)
	if len(got.changes) != 2 {
		t.Fatalf("told %+v", got.changes)
	}
	if c := got.changes[0]; c.Kind != cluster.NodeLeaseExpired || !c.At.Equal(t0.Add(40*time.Second)) {
		t.Errorf("first %+v, want that it ran out after 40 s", c)
	}
	if c := got.changes[1]; c.Kind != cluster.NodeLeaseRenewed {
		t.Errorf("then %+v", c)
	}
}

func TestHeartbeatsWakeNobody(t *testing.T) {
	api, v, _ := observed(t)
	// What the first lists brought has its own versions: they are over when there was
	// no further one for a while.
	before := v.Snapshot().Version
	for since := time.Now(); time.Since(since) < 200*time.Millisecond; time.Sleep(time.Millisecond) {
		if now := v.Snapshot().Version; now != before {
			before, since = now, time.Now()
		}
	}
	api.put("leases", object{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": object{"name": "kube-scheduler", "uid": "kube-scheduler"},
		"spec": object{"holderIdentity": "cp-1_123-abc", "leaseTransitions": 3, "renewTime": "2026-01-01T00:00:07.000000Z"}})
	beat := node("w-1", "zone-a", true)
	beat["status"].(object)["conditions"].([]any)[0].(object)["lastHeartbeatTime"] = "2026-01-01T00:00:07Z"
	api.put("nodes", beat)
	// The renewal is in the snapshot all the same.
	deadline := time.Now().Add(10 * time.Second)
	for s := v.Snapshot(); s.Leaders[0].Renewed.Second() != 7; s = v.Snapshot() {
		if time.Now().After(deadline) {
			t.Fatalf("the renewal was not seen: %+v", s.Leaders)
		}
		time.Sleep(time.Millisecond)
	}
	if got := v.Snapshot().Version; got != before {
		t.Errorf("version %d before the heartbeats, %d after them", before, got)
	}
}

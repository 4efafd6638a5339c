package kube

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"zdl/internal/cluster"
)

// eventRow is what matters of a Kubernetes Event.
type eventRow struct {
	kind, object string // Pod, namespace/name
	reason       string
	message      string
	source       string // kubelet, …
	node         string
	warning      bool
	count        int32
	at           time.Time
}

// longestMessage bounds what is kept of an Event's message, in bytes.
const longestMessage = 300

func convertEvent(o runtime.Object) eventRow {
	e := o.(*corev1.Event)
	row := eventRow{
		kind: e.InvolvedObject.Kind, object: e.InvolvedObject.Name, reason: e.Reason, message: e.Message,
		source: e.Source.Component, node: e.Source.Host, warning: e.Type == corev1.EventTypeWarning, count: e.Count,
	}
	if e.InvolvedObject.Namespace != "" {
		row.object = e.InvolvedObject.Namespace + "/" + row.object
	}
	if row.source == "" {
		row.source = e.ReportingController
	}
	if len(row.message) > longestMessage {
		row.message = row.message[:longestMessage] + " …"
	}
	// Events of the newer API (events.k8s.io) have EventTime and a series.
	row.at = e.EventTime.Time
	if s := e.Series; s != nil {
		row.count, row.at = s.Count, s.LastObservedTime.Time
	}
	if row.at.IsZero() {
		row.at = e.LastTimestamp.Time
	}
	return row
}

// What of Kubernetes Events becomes entries: eventBurst at once and eventRate a
// second in the long run, and of the same reason about the same object one in
// eventRepeat.
const (
	eventBurst  = 100
	eventRate   = 10.0
	eventRepeat = 10 * time.Second
	// eventKeys bounds what is remembered of what was told.
	eventKeys = 1000
)

// limiter passes Events on, without repetitions and at a bounded rate.
type limiter struct {
	notice func(cluster.Change)
	now    func() time.Time

	mu      sync.Mutex
	told    map[string]time.Time
	tokens  float64
	filled  time.Time
	dropped int
}

func newLimiter(notice func(cluster.Change)) *limiter {
	return &limiter{notice: notice, now: time.Now, told: map[string]time.Time{}, tokens: eventBurst, filled: time.Now()}
}

// event is told each change of the table of Events.
func (l *limiter) event(old, now *eventRow) {
	if now == nil || old != nil && old.count == now.count {
		return
	}
	if ok, dropped := l.pass(now.object + " " + now.reason); ok {
		l.notice(now.change(dropped))
	}
}

func (l *limiter) pass(key string) (ok bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if t, known := l.told[key]; known && now.Sub(t) < eventRepeat {
		return false, 0
	}
	l.tokens = min(eventBurst, l.tokens+eventRate*now.Sub(l.filled).Seconds())
	l.filled = now
	if l.tokens < 1 {
		l.dropped++
		return false, 0
	}
	l.tokens--
	if len(l.told) >= eventKeys {
		clear(l.told)
	}
	l.told[key] = now
	dropped, l.dropped = l.dropped, 0
	return true, dropped
}

func (e *eventRow) change(dropped int) cluster.Change {
	c := cluster.Change{Kind: cluster.Event, Subject: e.object, Node: e.node, ObjectTime: e.at, Detail: true,
		Text:   fmt.Sprintf("%s %s: %s (%s)", e.kind, e.object, e.message, e.reason),
		Fields: map[string]string{"reason": e.reason, "object": e.kind}}
	if e.source != "" {
		c.Fields["source"] = e.source
	}
	if e.warning {
		c.Fields["type"] = corev1.EventTypeWarning
	}
	if e.count > 1 {
		c.Fields["count"] = strconv.Itoa(int(e.count))
	}
	if dropped > 0 {
		c.Fields["dropped"] = strconv.Itoa(dropped) // Events before this one that were too many
	}
	return c
}

package timeline

import (
	"context"
	"fmt"
	"maps"
	"sort"
	"strconv"
	"strings"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/probe"
)

// Prober is what the timeline reads of a probe.Prober.
type Prober interface {
	Outages(after int) []probe.Outage
	Changed() <-chan struct{}
}

// Follow records the changes of the cluster and the outages that the prober
// measures, until ctx ends. Either may be nil.
func Follow(ctx context.Context, l *Log, c cluster.Cluster, p Prober) {
	var before cluster.Snapshot
	var clusterChanged, probeChanged <-chan struct{}
	out := outages{log: l, subject: "service", name: "The service"}
	bad := degradations{log: l, subject: "service", name: "The service"}
	var flush <-chan time.Time
	if c != nil {
		clusterChanged = c.Changed()
		before = c.Snapshot()
	}
	if p != nil {
		probeChanged = p.Changed()
		flush = out.read(p)
		bad.read(p)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-clusterChanged:
			clusterChanged = c.Changed()
			now := c.Snapshot()
			for _, ch := range cluster.Diff(&before, &now) {
				l.Record(ch)
			}
			before = now
		case <-probeChanged:
			probeChanged = p.Changed()
			bad.read(p)
			if f := out.read(p); f != nil {
				flush = f
			}
		case <-flush:
			flush = nil
			out.flush()
		}
	}
}

// Measure records the outages that a prober of another subject measures, until
// ctx ends. Name is the subject at the beginning of a sentence.
func Measure(ctx context.Context, l *Log, subject, name string, p Prober) {
	out := outages{log: l, subject: subject, name: name}
	bad := degradations{log: l, subject: subject, name: name}
	changed := p.Changed()
	flush := out.read(p)
	bad.read(p)
	for {
		select {
		case <-ctx.Done():
			out.flush()
			return
		case <-changed:
			changed = p.Changed()
			bad.read(p)
			if f := out.read(p); f != nil {
				flush = f
			}
		case <-flush:
			flush = nil
			out.flush()
		}
	}
}

// Record adds a change of the cluster.
func (l *Log) Record(ch cluster.Change) Entry {
	f := maps.Clone(ch.Fields)
	if f == nil {
		f = map[string]string{}
	}
	if ch.Node != "" {
		f["node"] = ch.Node
	}
	if ch.Target {
		f["target"] = "true"
	}
	if !ch.ObjectTime.IsZero() {
		// What the object says, beside when it was seen here: mostly whole seconds,
		// by the clock of another program.
		f["objectTime"] = ch.ObjectTime.UTC().Format(time.RFC3339Nano)
	}
	if len(f) == 0 {
		f = nil
	}
	return l.add(Entry{Kind: string(ch.Kind), Subject: ch.Subject, Text: ch.Text, Fields: f, Detail: ch.Detail}, ch.At)
}

// outages turns the prober's outages into entries. Runs of a single failed
// request, of which a half-broken service makes dozens a second, are summed up
// once a second.
type outages struct {
	log     *Log
	subject string
	name    string // at the beginning of a sentence
	closed  int    // highest ID that is done with
	told    int    // ID of the open outage that was announced
	singles int
	classes map[string]int
}

// worthEntry is the number of failed requests from which an outage has entries
// of its own.
const worthEntry = 2

// read records what is new; a non-nil result asks to be flushed at that time.
func (o *outages) read(p Prober) <-chan time.Time {
	before := o.singles
	for _, out := range p.Outages(o.closed) {
		fields := map[string]string{"outage": strconv.Itoa(out.ID)}
		if out.Open {
			if out.ID != o.told && out.Failed >= worthEntry {
				o.told = out.ID
				o.log.Add(KindOutageBegan, o.subject, o.fails()+Classes(out.ByClass), fields)
			}
			continue
		}
		o.closed = out.ID
		if out.Failed < worthEntry {
			o.single(out)
			continue
		}
		fields["lowerMs"], fields["upperMs"] = fmt.Sprintf("%.1f", out.LowerMS), fmt.Sprintf("%.1f", out.UpperMS)
		fields["failed"] = strconv.Itoa(out.Failed)
		o.bounds(&out, fields)
		o.log.Add(KindOutageEnded, o.subject, describe(o.name, out), fields)
	}
	if before == 0 && o.singles > 0 {
		return time.After(time.Second)
	}
	return nil
}

func (o *outages) fails() string {
	if o.subject == "service" {
		return "Users' requests fail: "
	}
	return o.name + " does not answer: "
}

// bounds puts the moments of an outage on the timeline's clock. Began and Ended
// are First and After of the prober's clock.
func (o *outages) bounds(out *probe.Outage, fields map[string]string) {
	if out.Began.IsZero() {
		return
	}
	first := o.log.Mono(out.Began)
	for name, ms := range map[string]float64{"beforeMs": out.Before, "firstMs": out.First, "lastMs": out.Last, "afterMs": out.After} {
		fields[name] = fmt.Sprintf("%.3f", first+ms-out.First)
	}
}

func (o *outages) single(out probe.Outage) {
	if o.classes == nil {
		o.classes = map[string]int{}
	}
	o.singles += out.Failed
	for k, v := range out.ByClass {
		o.classes[k] += v
	}
}

func (o *outages) flush() {
	if o.singles == 0 {
		return
	}
	text := fmt.Sprintf("%d requests failed one by one, between others that succeeded: %s", o.singles, Classes(o.classes))
	if o.singles == 1 {
		text = "One request failed between others that succeeded: " + Classes(o.classes)
	}
	o.log.Add(KindErrors, o.subject, text, map[string]string{"failed": strconv.Itoa(o.singles)})
	o.singles, o.classes = 0, nil
}

// Describe says in one sentence how long an ended outage was.
func Describe(o probe.Outage) string { return describe("The service", o) }

func describe(name string, o probe.Outage) string {
	length := fmt.Sprintf("was down for between %.0f and %.0f ms", o.LowerMS, o.UpperMS)
	switch {
	case o.Unbounded:
		length = fmt.Sprintf("was down for at least %.0f ms (nothing had succeeded before)", o.LowerMS)
	case o.LowerMS < 0.5:
		length = fmt.Sprintf("was down for at most %.0f ms", o.UpperMS)
	}
	return fmt.Sprintf("%s %s; %d requests failed: %s", name, length, o.Failed, Classes(o.ByClass))
}

// Classes lists failure classes by count, as in "503 × 120, timeout × 2".
func Classes(m map[string]int) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		if m[keys[i]] != m[keys[j]] {
			return m[keys[i]] > m[keys[j]]
		}
		return keys[i] < keys[j]
	})
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%s × %d", k, m[k])
	}
	return strings.Join(keys, ", ")
}

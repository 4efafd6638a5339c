package telemetry

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Span is what is remembered of a finished span.
type Span struct {
	Trace  string            `json:"trace"`
	Span   string            `json:"span"`
	Parent string            `json:"parent,omitempty"` // empty: the trace began here
	Name   string            `json:"name"`
	Kind   string            `json:"kind"` // server, client, consumer
	Start  time.Time         `json:"start"`
	Micros int64             `json:"micros"`
	Error  string            `json:"error,omitempty"`
	About  map[string]string `json:"about,omitempty"`
}

// ring remembers the latest spans. It is a span processor.
type ring struct {
	mu    sync.Mutex
	spans []Span
	next  int // where the oldest is, once the ring is full
}

func (r *ring) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (r *ring) Shutdown(context.Context) error                  { return nil }
func (r *ring) ForceFlush(context.Context) error                { return nil }

func (r *ring) OnEnd(s sdktrace.ReadOnlySpan) {
	span := Span{Trace: s.SpanContext().TraceID().String(), Span: s.SpanContext().SpanID().String(), Name: s.Name(),
		Kind: s.SpanKind().String(), Start: s.StartTime(), Micros: s.EndTime().Sub(s.StartTime()).Microseconds()}
	if p := s.Parent(); p.HasSpanID() {
		span.Parent = p.SpanID().String()
	}
	if s.Status().Code == codes.Error {
		span.Error = s.Status().Description
	}
	for _, a := range s.Attributes() {
		if span.About == nil {
			span.About = map[string]string{}
		}
		span.About[string(a.Key)] = a.Value.Emit()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.spans) < cap(r.spans) {
		r.spans = append(r.spans, span)
		return
	}
	r.spans[r.next] = span
	r.next = (r.next + 1) % len(r.spans)
}

// newest are the remembered spans, newest first; of one trace only, if it is named.
func (r *ring) newest(trace string) []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Span, 0, len(r.spans))
	for i := range r.spans {
		s := r.spans[(r.next+len(r.spans)-1-i)%len(r.spans)]
		if trace == "" || s.Trace == trace {
			out = append(out, s)
		}
	}
	return out
}

func (r *ring) handler(id Identity) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(struct {
			Service string `json:"service"`
			Pod     string `json:"pod"`
			Spans   []Span `json:"spans"`
		}{id.Service, id.Pod, r.newest(q.URL.Query().Get("trace"))})
	})
}

// limited samples up to a number of traces each second: all of them by hand, few
// of them under load, where spans would cost more than the work they describe.
type limited struct {
	perSecond int
	mu        sync.Mutex
	second    int64
	taken     int
}

func newLimited(perSecond int) *limited { return &limited{perSecond: perSecond} }

func (l *limited) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if !l.take(time.Now().Unix()) {
		return sdktrace.SamplingResult{Decision: sdktrace.Drop}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
}

func (l *limited) take(second int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second != l.second {
		l.second, l.taken = second, 0
	}
	l.taken++
	return l.taken <= l.perSecond
}

func (l *limited) Description() string { return "a number of traces each second" }

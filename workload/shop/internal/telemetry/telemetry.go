// Package telemetry is how a service shows what it does: numbers for Prometheus,
// spans in the W3C trace context, and logs in JSON that carry the trace's id.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Identity says which replica of which service this is.
type Identity struct {
	Service, Pod, Node, Zone, Version string
}

// Telemetry belongs to one service. It is safe for concurrent use.
type Telemetry struct {
	Identity Identity
	Log      *slog.Logger
	Registry prometheus.Registerer // every metric gets the label service

	gatherer *prometheus.Registry
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	context  propagation.TraceContext
	latest   *ring
	server   serverMetrics
	client   clientMetrics
}

// kept is how many finished spans a service remembers.
const kept = 512

// New makes the telemetry of a service. Logs go to w. If export is true, spans go
// to the collector that OTEL_EXPORTER_OTLP_ENDPOINT and its kin name; a collector
// that does not answer costs spans and nothing else.
func New(ctx context.Context, id Identity, w io.Writer, level slog.Level, export bool) (*Telemetry, error) {
	gatherer := prometheus.NewRegistry()
	t := &Telemetry{
		Identity: id,
		Log: slog.New(traced{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})}).
			With("service", id.Service, "pod", id.Pod),
		Registry: prometheus.WrapRegistererWith(prometheus.Labels{"service": id.Service}, gatherer),
		gatherer: gatherer,
		latest:   &ring{spans: make([]Span, 0, kept)},
	}
	t.server, t.client = newServerMetrics(t.Registry), newClientMetrics(t.Registry)
	gatherer.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	options := []sdktrace.TracerProviderOption{
		sdktrace.WithSampler(sdktrace.ParentBased(newLimited(20))),
		sdktrace.WithSpanProcessor(t.latest),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", id.Service), attribute.String("service.namespace", "shop"),
			attribute.String("service.version", id.Version), attribute.String("k8s.pod.name", id.Pod), attribute.String("k8s.node.name", id.Node))),
	}
	if export {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("export traces: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	t.provider = sdktrace.NewTracerProvider(options...)
	t.tracer = t.provider.Tracer("shop")
	return t, nil
}

// Close exports what is left.
func (t *Telemetry) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Metrics answers in Prometheus' text format.
func (t *Telemetry) Metrics() http.Handler {
	return promhttp.HandlerFor(t.gatherer, promhttp.HandlerOpts{})
}

// Traces answers with the latest spans as JSON, newest first.
func (t *Telemetry) Traces() http.Handler { return t.latest.handler(t.Identity) }

// Start begins a span of something that is neither a request nor an answer, such
// as a message taken from a queue. headers carry the trace on and may be nil.
func (t *Telemetry) Start(ctx context.Context, name string, headers propagation.TextMapCarrier) (context.Context, trace.Span) {
	if headers != nil {
		ctx = t.context.Extract(ctx, headers)
	}
	return t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindConsumer))
}

// Inject writes the trace that ctx belongs to into headers.
func (t *Telemetry) Inject(ctx context.Context, headers propagation.TextMapCarrier) {
	t.context.Inject(ctx, headers)
}

// traced adds the trace's id to what is logged with a context.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.HasTraceID() {
		r.AddAttrs(slog.String("trace", s.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(a []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(a)} }
func (h traced) WithGroup(n string) slog.Handler      { return traced{h.Handler.WithGroup(n)} }

package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Peer is the header in which a service says its name to the one it calls.
const Peer = "X-Shop-Service"

// Services are the eight services.
var Services = []string{"web", "catalogue", "cart", "user", "shipping", "ratings", "payment", "dispatch"}

var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

type serverMetrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newServerMetrics(r prometheus.Registerer) serverMetrics {
	m := serverMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total", Help: "Requests answered."}, []string{"route", "method", "code", "peer"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_duration_seconds", Help: "From a request's header to the end of its answer.", Buckets: buckets}, []string{"route", "method", "peer"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_requests_in_flight", Help: "Requests not answered yet."}),
	}
	r.MustRegister(m.requests, m.duration, m.inFlight)
	return m
}

type clientMetrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newClientMetrics(r prometheus.Registerer) clientMetrics {
	m := clientMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "client_requests_total", Help: "Requests sent to other services, each attempt counted; code is error where none came back."}, []string{"peer", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "client_request_duration_seconds", Help: "From sending a request to the end of its answer.", Buckets: buckets}, []string{"peer"}),
	}
	r.MustRegister(m.requests, m.duration)
	return m
}

// Serve counts, times and traces what next answers. next has to be a ServeMux:
// its pattern is the route. A panic becomes a 500.
func (t *Telemetry) Serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		t.server.inFlight.Inc()
		defer t.server.inFlight.Dec()
		method, peer := methodOf(r.Method), peerOf(r.Header.Get(Peer))
		ctx := t.context.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		r = r.WithContext(ctx)
		out := &recorder{ResponseWriter: w}
		if span.SpanContext().IsSampled() {
			w.Header().Set("X-Trace", span.SpanContext().TraceID().String())
		}

		t.guarded(next, out, r)

		if out.code == 0 {
			out.code = http.StatusOK
		}
		_, route, found := strings.Cut(r.Pattern, " ")
		if !found {
			route = r.Pattern
		}
		if route == "" {
			route = "none"
		}
		took := time.Since(began)
		t.server.requests.WithLabelValues(route, method, strconv.Itoa(out.code), peer).Inc()
		t.server.duration.WithLabelValues(route, method, peer).Observe(took.Seconds())
		if span.IsRecording() {
			span.SetName(method + " " + route)
			span.SetAttributes(attribute.Int("code", out.code), attribute.String("peer", peer))
			if out.code >= 500 {
				span.SetStatus(codes.Error, http.StatusText(out.code))
			}
		}
		if out.code >= 500 || took > time.Second {
			t.Log.WarnContext(ctx, "request", "method", method, "route", route, "code", out.code, "peer", peer, "ms", took.Milliseconds())
		} else {
			t.Log.DebugContext(ctx, "request", "method", method, "route", route, "code", out.code, "peer", peer, "ms", took.Milliseconds())
		}
	})
}

func (t *Telemetry) guarded(next http.Handler, w *recorder, r *http.Request) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		t.Log.ErrorContext(r.Context(), "panic", "what", fmt.Sprint(p), "stack", string(debug.Stack()))
		if w.code == 0 {
			http.Error(w, `{"error":"Something went wrong in the shop."}`, http.StatusInternalServerError)
		}
	}()
	next.ServeHTTP(w, r)
}

// Call traces and times one attempt of a request to a peer; send has to return
// the answer's code, or 0 and an error.
func (t *Telemetry) Call(ctx context.Context, peer, name string, header http.Header, send func(context.Context) (int, error)) error {
	began := time.Now()
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	t.context.Inject(ctx, propagation.HeaderCarrier(header))
	header.Set(Peer, t.Identity.Service)
	code, err := send(ctx)
	said := "error"
	if err == nil {
		said = strconv.Itoa(code)
	}
	t.client.requests.WithLabelValues(peer, said).Inc()
	t.client.duration.WithLabelValues(peer).Observe(time.Since(began).Seconds())
	if span.IsRecording() {
		span.SetAttributes(attribute.String("peer", peer), attribute.String("code", said))
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
	}
	return err
}

// peerOf is who calls. Only known names become labels, or anybody could fill the
// memory with them.
func peerOf(header string) string {
	if header == "" {
		return "outside"
	}
	for _, s := range Services {
		if s == header {
			return s
		}
	}
	return "other"
}

func methodOf(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions:
		return m
	}
	return "other"
}

type recorder struct {
	http.ResponseWriter
	code int
}

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

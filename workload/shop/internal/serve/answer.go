package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/telemetry"
)

// Handler answers a request or returns why it does not. See Refusal.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Refusal is an answer other than success: a code and one sentence for people.
type Refusal struct {
	Code     int
	Sentence string
	Cause    error // for the log; never shown to a client
}

func (e *Refusal) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%d %s (%v)", e.Code, e.Sentence, e.Cause)
	}
	return fmt.Sprintf("%d %s", e.Code, e.Sentence)
}

func (e *Refusal) Unwrap() error { return e.Cause }

// Refuse is a refusal that lies in the request.
func Refuse(code int, format string, args ...any) error {
	return &Refusal{Code: code, Sentence: fmt.Sprintf(format, args...)}
}

// Unavailable is a refusal that lies in a dependency: the same request may succeed later.
func Unavailable(cause error, format string, args ...any) error {
	return &Refusal{Code: http.StatusServiceUnavailable, Sentence: fmt.Sprintf(format, args...), Cause: cause}
}

// Router gives requests to handlers and turns errors into answers.
type Router struct {
	Mux       *http.ServeMux
	telemetry *telemetry.Telemetry
}

// NewRouter makes a router without routes; what nobody handles is a 404 in JSON.
func NewRouter(t *telemetry.Telemetry) *Router {
	r := &Router{Mux: http.NewServeMux(), telemetry: t}
	r.Handle("/", func(http.ResponseWriter, *http.Request) error {
		return Refuse(http.StatusNotFound, "There is nothing at this address.")
	})
	return r
}

// Handle adds a route in ServeMux's syntax.
func (r *Router) Handle(pattern string, h Handler) {
	r.Mux.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) {
		if err := h(w, q); err != nil {
			r.Fail(w, q, err)
		}
	})
}

// ServeHTTP implements http.Handler.
func (r *Router) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("X-Served-By", r.telemetry.Identity.Pod)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	r.telemetry.Serve(r.Mux).ServeHTTP(w, q)
}

// Fail answers with an error.
func (r *Router) Fail(w http.ResponseWriter, q *http.Request, err error) {
	refusal := AsRefusal(err)
	if refusal.Code >= 500 {
		r.telemetry.Log.WarnContext(q.Context(), "not served", "route", q.Pattern, "code", refusal.Code, "error", err.Error())
	}
	if refusal.Code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Del("Age")
	w.Header().Set("Cache-Control", "no-store")
	_ = JSON(w, refusal.Code, map[string]string{"error": refusal.Sentence})
}

// AsRefusal is what a client is told about an error.
func AsRefusal(err error) *Refusal {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	if p, ok := order.IsProblem(err); ok {
		return &Refusal{Code: http.StatusUnprocessableEntity, Sentence: string(p)}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &Refusal{Code: http.StatusServiceUnavailable, Sentence: "The shop took too long; please try again.", Cause: err}
	}
	return &Refusal{Code: http.StatusInternalServerError, Sentence: "Something went wrong in the shop.", Cause: err}
}

// JSON answers with a value.
func JSON(w http.ResponseWriter, code int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // fails only when the client has gone
	return nil
}

// Freshness is part of answers that may be old.
type Freshness struct {
	Stale bool  `json:"stale"`      // the store did not confirm this now
	Age   int64 `json:"ageSeconds"` // how long ago it did; 0 while fresh
}

// Aged says in the header how old an answer is (RFC 9111, section 5.1), and
// returns the same for the body.
func Aged(w http.ResponseWriter, age time.Duration) Freshness {
	if age <= 0 {
		return Freshness{}
	}
	seconds := max(1, int64(age/time.Second))
	w.Header().Set("Age", strconv.FormatInt(seconds, 10))
	return Freshness{Stale: true, Age: seconds}
}

// MaxBody is how much of a request is read. An order of the largest size fits twice.
const MaxBody = 16 << 10

// Decode reads a request's JSON strictly: of the right type, not too large, one
// value, and no field that is not known. A client that sends a price learns so.
func Decode(w http.ResponseWriter, r *http.Request, into any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return Refuse(http.StatusUnsupportedMediaType, "The request must be JSON (Content-Type: application/json).")
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			return Refuse(http.StatusBadRequest, "The request holds more than one JSON value.")
		}
		return nil
	}
	var large *http.MaxBytesError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &large):
		return Refuse(http.StatusRequestEntityTooLarge, "The request is larger than %d bytes.", MaxBody)
	case errors.As(err, &kind):
		return Refuse(http.StatusBadRequest, "The field %s has the wrong type or is out of range.", quoted(kind.Field))
	default:
		if field, unknown := unknownField(err); unknown {
			return Refuse(http.StatusBadRequest, "There is no field %s in this request.", field)
		}
		return Refuse(http.StatusBadRequest, "The request is not valid JSON.")
	}
}

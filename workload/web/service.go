package main

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Identity says which replica this is.
type Identity struct {
	Pod     string `json:"pod"`
	Node    string `json:"node"`
	Zone    string `json:"zone"`
	Address string `json:"address"` // the pod's IP
	Version string `json:"version"`
}

// Answer is the body of every successful response.
type Answer struct {
	Identity
	Requests uint64  `json:"requests"` // served by this replica since it started, this one included
	Uptime   float64 `json:"uptime"`   // seconds since this replica started
}

// Service answers who served the request. It is safe for concurrent use.
type Service struct {
	identity Identity
	started  time.Time
	requests atomic.Uint64
	draining atomic.Bool
	mux      *http.ServeMux
	key      []byte // signs answers, if any
}

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// NewService makes a service that is ready.
func NewService(identity Identity) *Service {
	s := &Service{identity: identity, started: time.Now(), mux: http.NewServeMux()}
	s.mux.HandleFunc("/healthz", s.live)
	s.mux.HandleFunc("/readyz", s.ready)
	s.mux.HandleFunc("POST /notes", s.note)
	s.mux.HandleFunc("/", s.answer)
	return s
}

// Drain makes the service say that it is going away: it fails its readiness
// check and asks clients to close their connections, but goes on answering.
func (s *Service) Drain() { s.draining.Store(true) }

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Served-By", s.identity.Pod)
	w.Header().Set("Cache-Control", "no-store")
	if s.draining.Load() {
		// Said in the answer, so that a client never finds its reused connection
		// closed under a request that it has already sent. Closing idle
		// connections at once (SetKeepAlivesEnabled) would have that race.
		w.Header().Set("Connection", "close")
	}
	s.mux.ServeHTTP(w, r)
}

// live stays true while draining: a liveness check that failed here would have
// the container killed in the middle of its graceful shutdown.
func (s *Service) live(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n"))
}

func (s *Service) ready(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func (s *Service) answer(w http.ResponseWriter, r *http.Request) {
	a := Answer{
		Identity: s.identity,
		Requests: s.requests.Add(1),
		Uptime:   float64(time.Since(s.started).Milliseconds()) / 1000,
	}
	w.Header().Set("Vary", "Accept")
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(w, a) // fails only when the client has gone
		return
	}
	w.Header().Set("Content-Type", "application/json")
	body, _ := json.Marshal(a) // plain values: it cannot fail
	body = append(body, '\n')
	if len(s.key) > 0 {
		w.Header().Set("X-Signature", signature(s.key, body))
	}
	_, _ = w.Write(body)
}

package serve

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"zdl/workload/shop/internal/telemetry"
)

// Health keeps two questions apart: does this process work, and do the things
// answer that it depends on? A store that is down is no reason to take a replica
// out of service, or to restart it: every other replica misses the same store, and
// together they would turn one failure into two.
type Health struct {
	telemetry *telemetry.Telemetry
	began     time.Time
	draining  atomic.Bool
	up        *prometheus.GaugeVec

	mu   sync.Mutex
	deps []*Dependency
}

// patience is how long a new replica waits for the first word from its
// dependencies before it serves without them.
const patience = 3 * time.Second

// NewHealth makes the health of a service without dependencies.
func NewHealth(t *telemetry.Telemetry) *Health {
	h := &Health{telemetry: t, began: time.Now(),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "shop_dependency_up", Help: "1 while a store or queue answers, 0 while it does not."}, []string{"dependency"})}
	t.Registry.MustRegister(h.up)
	return h
}

// Dependency is something that a service needs and that has an outage of its own.
type Dependency struct {
	Name   string
	health *Health

	mu    sync.Mutex
	known bool
	err   error
	since time.Time
}

// Need adds a dependency.
func (h *Health) Need(name string) *Dependency {
	d := &Dependency{Name: name, health: h}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deps = append(h.deps, d)
	slices.SortFunc(h.deps, func(a, b *Dependency) int { return cmp.Compare(a.Name, b.Name) })
	h.up.WithLabelValues(name).Set(0)
	return d
}

// Keep looks after a dependency until ctx ends: setup runs until it has
// succeeded once, for what has to be made on a new store; from then on check asks
// now and then whether the store still answers.
func (d *Dependency) Keep(ctx context.Context, setup, check func(context.Context) error) {
	ready, wait := false, time.Duration(0)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		try := check
		if !ready {
			try = setup
		}
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := try(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		d.Note(ctx, err)
		ready = ready || err == nil
		if wait = 5 * time.Second; err != nil {
			wait = time.Second
		}
	}
}

// Note says how the dependency did, and logs if that is new.
func (d *Dependency) Note(ctx context.Context, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	changed := !d.known || (err == nil) != (d.err == nil)
	d.known, d.err = true, err
	if !changed {
		return
	}
	d.since = time.Now()
	log := d.health.telemetry.Log
	if err != nil {
		d.health.up.WithLabelValues(d.Name).Set(0)
		log.WarnContext(ctx, "dependency is down", "dependency", d.Name, "error", err.Error())
	} else {
		d.health.up.WithLabelValues(d.Name).Set(1)
		log.InfoContext(ctx, "dependency answers", "dependency", d.Name)
	}
}

// Up tells whether the dependency answered when it was last asked.
func (d *Dependency) Up() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known && d.err == nil
}

// Drain makes readiness fail from now on.
func (h *Health) Drain() { h.draining.Store(true) }

// Draining tells whether Drain was called.
func (h *Health) Draining() bool { return h.draining.Load() }

func (h *Health) live(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

func (h *Health) ready(w http.ResponseWriter, r *http.Request) {
	said := "ok"
	switch {
	case h.draining.Load():
		said = "draining"
	case !h.heard() && time.Since(h.began) < patience:
		said = "starting"
	}
	if said != "ok" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = fmt.Fprintln(w, said)
	if r.URL.Query().Has("verbose") {
		h.describe(w)
	}
}

// heard tells whether every dependency has answered or failed once.
func (h *Health) heard() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.deps {
		d.mu.Lock()
		known := d.known
		d.mu.Unlock()
		if !known {
			return false
		}
	}
	return true
}

func (h *Health) describe(w http.ResponseWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.deps {
		d.mu.Lock()
		switch {
		case !d.known:
			_, _ = fmt.Fprintf(w, "[ ] %s: not heard from yet\n", d.Name)
		case d.err != nil:
			_, _ = fmt.Fprintf(w, "[-] %s: down for %s: %v\n", d.Name, time.Since(d.since).Round(time.Second), strings.Join(strings.Fields(d.err.Error()), " "))
		default:
			_, _ = fmt.Fprintf(w, "[+] %s: up for %s\n", d.Name, time.Since(d.since).Round(time.Second))
		}
		d.mu.Unlock()
	}
}

// Package serve is what the eight services have in common: how they start,
// answer, say how they are, and leave.
package serve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"zdl/workload/shop/internal/telemetry"
)

// Service is a service that is ready to run.
type Service struct {
	Telemetry *telemetry.Telemetry
	Health    *Health
	Router    *Router

	// Work goes on in the background until its context ends, and is waited for.
	Work []func(ctx context.Context)
	// Close releases what the service holds, after everything else has ended.
	Close []func()
}

// New makes a service without routes.
func New(t *telemetry.Telemetry) *Service {
	return &Service{Telemetry: t, Health: NewHealth(t), Router: NewRouter(t)}
}

// Keep has a dependency looked after while the service runs. See Dependency.Keep.
func (s *Service) Keep(name string, setup, check func(context.Context) error) *Dependency {
	d := s.Health.Need(name)
	s.Work = append(s.Work, func(ctx context.Context) { d.Keep(ctx, setup, check) })
	return d
}

// API answers requests to the service itself.
func (s *Service) API() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Health.Draining() || tired(r.Context()) {
			// Said in the answer, so that no client finds its connection closed
			// under a request that it has sent already.
			w.Header().Set("Connection", "close")
		}
		s.Router.ServeHTTP(w, r)
	})
}

// Admin answers the cluster: probes, metrics, traces.
func (s *Service) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", s.Health.live)
	mux.HandleFunc("GET /readyz", s.Health.ready)
	mux.Handle("GET /metrics", s.Telemetry.Metrics())
	mux.Handle("GET /traces", s.Telemetry.Traces())
	return mux
}

// connectionLife is how long a connection is used. A Service spreads connections,
// not requests: without an end to them, new replicas would get no work.
const connectionLife = 45 * time.Second

type bornKey struct{}

func born(ctx context.Context, _ net.Conn) context.Context {
	life := connectionLife + rand.N(connectionLife/3)
	return context.WithValue(ctx, bornKey{}, time.Now().Add(life))
}

func tired(ctx context.Context) bool {
	end, ok := ctx.Value(bornKey{}).(time.Time)
	return ok && time.Now().After(end)
}

// Run serves until ctx ends, and then leaves without losing a request: readiness
// fails and answers ask clients to close their connections, while everything is
// served as before for the drain period; then the listener closes, requests under
// way get up to grace to finish, and the background work ends.
func (s *Service) Run(ctx context.Context, api, admin net.Listener, drain, grace time.Duration) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var workers sync.WaitGroup
	for _, w := range s.Work {
		workers.Go(func() { w(work) })
	}
	front := &http.Server{Handler: s.API(), ConnContext: born, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
		MaxHeaderBytes: 32 << 10, IdleTimeout: 75 * time.Second} // longer than anybody before us keeps idle connections
	back := &http.Server{Handler: s.Admin(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 2)
	serve := func(server *http.Server, l net.Listener) {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
	}
	var servers sync.WaitGroup
	servers.Go(func() { serve(front, api) })
	servers.Go(func() { serve(back, admin) })
	s.Telemetry.Log.InfoContext(ctx, "serving", "api", api.Addr().String(), "admin", admin.Addr().String(), "version", s.Telemetry.Identity.Version)

	var result error
	select {
	case result = <-failed:
	case <-ctx.Done():
		s.Telemetry.Log.InfoContext(ctx, "draining", "for", drain.String())
		s.Health.Drain()
		timer := time.NewTimer(drain)
		select {
		case result = <-failed:
		case <-timer.C:
		}
		timer.Stop()
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := front.Shutdown(end); err != nil {
		_ = front.Close()
		result = errors.Join(result, fmt.Errorf("requests were still under way %s after the drain period: %w", grace, err))
	}
	stop()
	workers.Wait()
	_ = back.Close()
	servers.Wait()
	for _, c := range s.Close {
		c()
	}
	_ = s.Telemetry.Close(end) // what a collector misses is no failure of the service
	s.Telemetry.Log.Info("done")
	return result
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Serve serves until ctx is done and then shuts down without losing a request:
//
//  1. Readiness fails and every answer carries "Connection: close", while
//     requests, new connections included, are served as before for the drain
//     period. Load balancers need that time: they go on sending until they have
//     heard that this replica is leaving.
//  2. The listener and idle connections are closed, and requests under way get
//     up to grace to finish.
//
// It returns nil after a clean shutdown. The process that calls it should exit
// then; Kubernetes kills it after terminationGracePeriodSeconds, which has to be
// longer than preStop, drain and grace together.
func Serve(ctx context.Context, listener net.Listener, service *Service, drain, grace time.Duration) error {
	server := &http.Server{
		Handler:           service,
		ReadHeaderTimeout: 5 * time.Second,
		// Longer than the ingress controller keeps idle connections to its
		// backends, so that it is never the server who closes one first.
		IdleTimeout: 75 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	slog.Info("draining", "for", drain)
	service.Drain()
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case err := <-served:
		return fmt.Errorf("serve while draining: %w", err)
	case <-timer.C:
	}

	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		_ = server.Close()
		return fmt.Errorf("requests were still under way %s after the drain period: %w", grace, err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	slog.Info("done", "requests", service.requests.Load())
	return nil
}

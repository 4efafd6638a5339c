package step

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"zdl/internal/cluster/local"
	"zdl/internal/fault"
)

// HealthCheck stops a load balancer's health checks of a backend: what it thinks
// of the servers now, it goes on thinking.
type HealthCheck struct {
	w        *World
	Balancer string   `json:"balancer"`
	Backend  string   `json:"backend"` // HAProxy's name for it
	Servers  []string `json:"servers"` // those that were checked before
}

// NewHealthCheck plans to stop the checks of all servers of a backend.
func (w *World) NewHealthCheck(ctx context.Context, balancer, backend string) (fault.Step, error) {
	checked, err := w.Local.HealthChecks(ctx, balancer, backend)
	if err != nil {
		return nil, err
	}
	h := &HealthCheck{w: w, Balancer: balancer, Backend: backend}
	for _, server := range slices.Sorted(maps.Keys(checked)) {
		if checked[server] {
			h.Servers = append(h.Servers, server)
		}
	}
	return h, nil
}

// Mechanism is "health-check".
func (h *HealthCheck) Mechanism() string { return "health-check" }

// Touches the checks of the backend.
func (h *HealthCheck) Touches() []string {
	return []string{"health-check/" + h.Balancer + "/" + h.Backend}
}

// Inject disables the checks. They are settings of a running HAProxy: one that is
// started again checks as configured.
func (h *HealthCheck) Inject(ctx context.Context) error { return h.each(ctx, "disable") }

func (h *HealthCheck) each(ctx context.Context, verb string) error {
	for _, server := range h.Servers {
		answer, err := h.w.Local.HAProxy(ctx, h.Balancer, fmt.Sprintf("%s health %s/%s", verb, h.Backend, server))
		if err != nil {
			return err
		}
		if len(answer) > 1 { // an empty line means that it was done
			return fmt.Errorf("HAProxy on %s: %s health of %s: %s", h.Balancer, verb, server, answer)
		}
	}
	return nil
}

// Verify reads from HAProxy that no server is checked.
func (h *HealthCheck) Verify(ctx context.Context) (string, error) {
	checked, err := h.w.Local.HealthChecks(ctx, h.Balancer, h.Backend)
	if err != nil {
		return "", err
	}
	for server, on := range checked {
		if on {
			return "", fmt.Errorf("%s still checks %s", h.Balancer, server)
		}
	}
	return fmt.Sprintf("%s checks none of the %d servers of %s", h.Balancer, len(checked), h.Backend), nil
}

// Undo enables the checks again. An HAProxy that is away has nothing to undo: it
// will check when it is back.
func (h *HealthCheck) Undo(ctx context.Context) error {
	if err := h.each(ctx, "enable"); err != nil && !errors.Is(err, local.ErrNoHAProxy) {
		return err
	}
	return nil
}

// State tells which servers are checked.
func (h *HealthCheck) State(ctx context.Context) (map[string]string, error) {
	checked, err := h.w.Local.HealthChecks(ctx, h.Balancer, h.Backend)
	if errors.Is(err, local.ErrNoHAProxy) {
		// It checks as configured when it is back.
		checked, err = map[string]bool{}, nil
		for _, server := range h.Servers {
			checked[server] = true
		}
	}
	out := map[string]string{}
	for server, on := range checked {
		out[fmt.Sprintf("health check of %s/%s by %s", h.Backend, server, h.Balancer)] = map[bool]string{true: "on", false: "off"}[on]
	}
	return out, err
}

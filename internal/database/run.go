package database

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"zdl/internal/cluster/local/edge"
)

// lookEvery is how often it is checked that the load balancers lead to the
// database: one that was started anew does not.
const lookEvery = time.Second

// Run keeps the load balancers' way to the database open and tells the timeline
// who leads, until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !m.Installed() {
			continue
		}
		if err := m.open(ctx); err != nil && ctx.Err() == nil {
			m.c.Log.Debug("open the way to the database", "error", err)
		}
		m.follow(ctx)
	}
}

// leader is who was seen to lead last.
type leader struct {
	pod      string
	timeline uint32
}

// follow records who has become the primary. It asks the members only after
// something about their pods has changed, and until one of them leads.
func (m *Manager) follow(ctx context.Context) {
	var pods strings.Builder
	for _, p := range m.c.Snapshot().System {
		if p.Namespace == Namespace && p.App == App {
			fmt.Fprintf(&pods, "%s %s %v %d\n", p.UID, p.Role, p.Ready, p.Restarts)
		}
	}
	m.mu.Lock()
	same := m.seen == pods.String()
	m.mu.Unlock()
	if same {
		return
	}
	s := m.Status(ctx)
	if s.Primary == "" {
		return
	}
	now := leader{s.Primary, s.Timeline}
	m.mu.Lock()
	before := m.last
	m.seen, m.last = pods.String(), now
	m.mu.Unlock()
	if now != before {
		m.record("database-primary", fmt.Sprintf("%s leads the database, on timeline %d", now.pod, now.timeline), now.pod)
	}
}

// open makes every load balancer that has power send users of the database to its
// nodes. Until then its servers are in maintenance, so that labs without a
// database check nothing.
func (m *Manager) open(ctx context.Context) error { return m.switchServers(ctx, true) }

// close is its opposite.
func (m *Manager) close(ctx context.Context) error { return m.switchServers(ctx, false) }

func (m *Manager) switchServers(ctx context.Context, on bool) error {
	var errs []error
	for _, balancer := range m.c.Balancers() {
		states, err := m.c.HAProxy(ctx, balancer, "show servers state "+Backend)
		var servers []edge.Server
		if err == nil {
			servers, err = edge.Servers(states)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, server := range serversToSwitch(servers, on) {
			state := "maint"
			if on {
				state = "ready"
			}
			answer, err := m.c.HAProxy(ctx, balancer, fmt.Sprintf("set server %s/%s state %s", Backend, server, state))
			if answer = strings.TrimSpace(answer); err == nil && answer != "" {
				err = fmt.Errorf("%s says: %s", balancer, answer)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// serversToSwitch lists the servers whose maintenance is not as wanted.
func serversToSwitch(servers []edge.Server, on bool) []string {
	var out []string
	for _, s := range servers {
		if s.Maintenance == on {
			out = append(out, s.Name)
		}
	}
	return out
}

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/edge"
	"zdl/internal/cluster/local/machine"
)

// ErrNoHAProxy means that a load balancer's HAProxy is not running.
var ErrNoHAProxy = errors.New("HAProxy is not running")

// HAProxy gives a load balancer's HAProxy one command of its runtime API and
// returns the answer (management.txt, 9.3 "Unix Socket commands").
func (c *Cluster) HAProxy(ctx context.Context, name, command string) (string, error) {
	m, err := machine.Find(MachineRun(c.RunDir, name))
	if errors.Is(err, machine.ErrOff) {
		return "", fmt.Errorf("%s is off: %w", name, ErrNoHAProxy)
	}
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", m.Path(edge.AdminSocket))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return "", fmt.Errorf("%s: %w", name, ErrNoHAProxy)
	}
	if err != nil {
		return "", fmt.Errorf("HAProxy on %s: %w", name, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", fmt.Errorf("HAProxy on %s: %s: %w", name, command, err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("HAProxy on %s: %s: %w", name, command, err)
	}
	return string(answer), nil
}

// HealthChecks tells of each server of a backend whether a load balancer's
// HAProxy checks its health.
func (c *Cluster) HealthChecks(ctx context.Context, name, backend string) (map[string]bool, error) {
	answer, err := c.HAProxy(ctx, name, "show servers state "+backend)
	if err != nil {
		return nil, err
	}
	return parseServers(answer)
}

// parseServers reads version 1 of HAProxy's server state file: a line with the
// version, one with "#" and the columns' names, and one for each server.
func parseServers(text string) (map[string]bool, error) {
	out := map[string]bool{}
	name, check := -1, -1
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) > 1 && fields[0] == "#" {
			for i, f := range fields[1:] {
				switch f {
				case "srv_name":
					name = i
				case "srv_check_state":
					check = i
				}
			}
			continue
		}
		if name < 0 || check < 0 || len(fields) <= max(name, check) {
			continue
		}
		state, err := strconv.Atoi(fields[check])
		if err != nil {
			return nil, fmt.Errorf("HAProxy says %q: %w", strings.TrimSpace(line), err)
		}
		const enabled = 1 << 2 // CHK_ST_ENABLED of HAProxy's check-t.h
		out[fields[name]] = state&enabled != 0
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("HAProxy says %q", strings.TrimSpace(text))
	}
	return out, nil
}

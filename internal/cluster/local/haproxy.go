package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
	servers, err := edge.Servers(answer)
	out := map[string]bool{}
	for _, s := range servers {
		out[s.Name] = s.Checked
	}
	return out, err
}

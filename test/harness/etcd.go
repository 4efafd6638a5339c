package harness

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// EtcdLeader names the control plane, of those given, whose etcd member leads.
// It asks each member itself, where kubeadm has it serve its metrics.
func (l *Lab) EtcdLeader(ctx context.Context, controlPlanes ...string) (string, error) {
	for _, name := range controlPlanes {
		if value, err := l.etcdMetric(ctx, name, "etcd_server_is_leader"); err == nil && value == "1" {
			return name, nil
		}
	}
	return "", fmt.Errorf("no etcd member of %v says that it leads", controlPlanes)
}

// EtcdHasLeader tells whether the member on a control plane follows or leads,
// with nil for yes.
func (l *Lab) EtcdHasLeader(ctx context.Context, controlPlane string) error {
	value, err := l.etcdMetric(ctx, controlPlane, "etcd_server_has_leader")
	if err == nil && value != "1" {
		err = fmt.Errorf("the etcd member on %s has no leader", controlPlane)
	}
	return err
}

func (l *Lab) etcdMetric(ctx context.Context, machine, metric string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:2381/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := l.HTTP(machine, 2*time.Second).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), metric+" "); ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("the etcd member on %s tells no %s", machine, metric)
}

package step

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"zdl/internal/fault"
	"zdl/internal/topology"
)

// Alarm raises etcd's alarm NOSPACE for one member, which is what a database at
// its quota does: the whole cluster then refuses to write until it is disarmed.
// The alarm lies in etcd itself, so undo needs a quorum of it.
type Alarm struct {
	w       *World
	Machine string `json:"machine"` // of the member
	Member  string `json:"member"`  // its ID
	Was     bool   `json:"was,omitempty"`
}

// NewNoSpace plans to raise the alarm for the member of a control plane.
func (w *World) NewNoSpace(ctx context.Context, node string) (fault.Step, error) {
	a := &Alarm{w: w, Machine: node}
	var status struct {
		Header struct {
			MemberID string `json:"member_id"`
		} `json:"header"`
	}
	if err := w.etcdCall(ctx, node, "maintenance/status", struct{}{}, &status); err != nil {
		return nil, err
	}
	a.Member = status.Header.MemberID
	active, err := a.active(ctx)
	a.Was = slices.Contains(active, a.Member)
	return a, err
}

// Mechanism is "alarm".
func (a *Alarm) Mechanism() string { return "alarm" }

// Touches the alarms of etcd.
func (a *Alarm) Touches() []string { return []string{"etcd-alarm"} }

type alarmRequest struct {
	Action   string `json:"action"`
	MemberID string `json:"memberID,omitempty"`
	Alarm    string `json:"alarm"`
}

// Inject raises the alarm.
func (a *Alarm) Inject(ctx context.Context) error {
	return a.w.etcdAny(ctx, a.Machine, "maintenance/alarm", alarmRequest{"ACTIVATE", a.Member, noSpace}, nil)
}

const noSpace = "NOSPACE"

// Verify tries to write. The key is removed should the write succeed.
func (a *Alarm) Verify(ctx context.Context) (string, error) {
	type key struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value,omitempty"`
	}
	name := []byte("/zdl/probe")
	err := a.w.etcdCall(ctx, a.Machine, "kv/put", key{name, []byte("x")}, nil)
	if err == nil {
		err = a.w.etcdCall(ctx, a.Machine, "kv/deleterange", key{Key: name}, nil)
		return "", errors.Join(errors.New("etcd still takes a write"), err)
	}
	if !strings.Contains(err.Error(), "database space exceeded") {
		return "", err
	}
	return fmt.Sprintf("a write to etcd on %s was refused: %v", a.Machine, err), nil
}

// Undo disarms it.
func (a *Alarm) Undo(ctx context.Context) error {
	if a.Was {
		return nil
	}
	return a.w.etcdAny(ctx, a.Machine, "maintenance/alarm", alarmRequest{"DEACTIVATE", a.Member, noSpace}, nil)
}

// State lists the members with that alarm.
func (a *Alarm) State(ctx context.Context) (map[string]string, error) {
	active, err := a.active(ctx)
	state := "none"
	if len(active) > 0 {
		state = strings.Join(active, " ")
	}
	return map[string]string{"alarm " + noSpace + " of etcd": state}, err
}

func (a *Alarm) active(ctx context.Context) ([]string, error) {
	var all struct {
		Alarms []struct {
			MemberID string `json:"memberID"`
			Alarm    string `json:"alarm"`
		} `json:"alarms"`
	}
	if err := a.w.etcdAny(ctx, a.Machine, "maintenance/alarm", alarmRequest{Action: "GET"}, &all); err != nil {
		return nil, err
	}
	var out []string
	for _, one := range all.Alarms {
		if one.Alarm == noSpace {
			out = append(out, one.MemberID)
		}
	}
	slices.Sort(out)
	return out, nil
}

// etcdAny asks the member of one control plane, and then the others.
func (w *World) etcdAny(ctx context.Context, first, call string, in, out any) error {
	err := w.etcdCall(ctx, first, call, in, out)
	for _, m := range w.Local.Topology.Of(topology.KindControlPlane) {
		if err == nil {
			return nil
		}
		if m.Name != first {
			if next := w.etcdCall(ctx, m.Name, call, in, out); next == nil {
				return nil
			}
		}
	}
	return err
}

// etcdCall posts to the JSON gateway of a member (etcd's grpc-gateway, path /v3)
// on its loopback address, as the API server's health check would.
func (w *World) etcdCall(ctx context.Context, node, call string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	pki := filepath.Join(w.Local.KubernetesDir(node), "pki", "etcd")
	ca, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(pki, "healthcheck-client.crt"), filepath.Join(pki, "healthcheck-client.key"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return w.Local.Dial(ctx, node, network, addr)
		},
	}}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://127.0.0.1:2379/v3/"+call, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask etcd on %s: %w", node, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var refusal struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(answer, &refusal) == nil && refusal.Message != "" {
			return errors.New(refusal.Message)
		}
		return fmt.Errorf("etcd on %s: %s", node, resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// Package patroni speaks to the REST API of Patroni, which runs beside each member
// of a PostgreSQL with automatic failover: what is asked of a member itself is
// true also while neither API server nor other members answer.
package patroni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"zdl/internal/cluster"
)

// Port is that of the REST API.
const Port = 8008

// Client asks members. The zero value of Password can read, not change.
type Client struct {
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// User and Password are those of the REST API; reading needs none.
	User, Password string
}

// Member is what a member says of itself.
type Member struct {
	Role     string `json:"role"`  // cluster.RolePrimary, RoleReplica, or what it is besides: "uninitialized", …
	State    string `json:"state"` // running, starting, stopped, …
	Timeline uint32 `json:"timeline"`
	// Standbys are the members that stream from it; of a primary.
	Standbys []Standby `json:"replication"`
	// WAL positions in bytes: of a primary what it has written, of a replica what
	// it has received and replayed.
	WAL struct {
		Location         uint64 `json:"location"`
		ReceivedLocation uint64 `json:"received_location"`
		ReplayedLocation uint64 `json:"replayed_location"`
	} `json:"xlog"`
	// Unlocked: as far as it knows nobody leads.
	Unlocked bool `json:"cluster_unlocked"`
}

// Standby is a member that streams from the primary.
type Standby struct {
	Name  string `json:"application_name"`
	State string `json:"state"`      // streaming, …
	Sync  string `json:"sync_state"` // async, sync, quorum
}

// Leads tells whether it takes writes.
func (m *Member) Leads() bool { return m.Role == cluster.RolePrimary && m.State == "running" }

// Ask asks one member at its address how it is.
func (c *Client) Ask(ctx context.Context, at netip.Addr) (*Member, error) {
	var m Member
	if err := c.do(ctx, at, http.MethodGet, "/patroni", nil, &m); err != nil {
		return nil, err
	}
	m.Role = cluster.DatabaseRole(m.Role)
	return &m, nil
}

// Switchover asks the primary at an address to hand over to another member, and
// waits until it has.
func (c *Client) Switchover(ctx context.Context, at netip.Addr, from, to string) error {
	return c.do(ctx, at, http.MethodPost, "/switchover", map[string]string{"leader": from, "candidate": to}, nil)
}

// Configure changes settings of the whole database through any member.
func (c *Client) Configure(ctx context.Context, at netip.Addr, settings map[string]any) error {
	return c.do(ctx, at, http.MethodPatch, "/config", settings, nil)
}

// Settings reads the settings of the whole database from any member.
func (c *Client) Settings(ctx context.Context, at netip.Addr) (Settings, error) {
	var s Settings
	err := c.do(ctx, at, http.MethodGet, "/config", nil, &s)
	return s, err
}

// Settings are those that decide how a failover goes; times in seconds.
type Settings struct {
	TTL          int  `json:"ttl"`
	LoopWait     int  `json:"loop_wait"`
	RetryTimeout int  `json:"retry_timeout"`
	Synchronous  bool `json:"synchronous_mode"`
}

// do sends one request on a connection of its own. GET /patroni answers 503 while
// a member is starting, with the same body.
func (c *Client) do(ctx context.Context, at netip.Addr, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	url := "http://" + netip.AddrPortFrom(at, Port).String() + path
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
		req.SetBasicAuth(c.User, c.Password)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("Patroni at %s: %w", at, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("Patroni at %s: %w", at, err)
	}
	readable := method == http.MethodGet && json.Valid(data)
	if resp.StatusCode/100 != 2 && !(readable && resp.StatusCode == http.StatusServiceUnavailable) {
		return fmt.Errorf("Patroni at %s says %s: %s", at, resp.Status, strings.TrimSpace(string(data)))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("Patroni at %s: %w", at, err)
	}
	return nil
}

// ErrNoPrimary means that no member says that it takes writes.
var ErrNoPrimary = errors.New("no member of the database leads at this moment")

// patience bounds a question to one member.
const patience = time.Second

// All asks members at the same time; those that do not answer are nil.
func (c *Client) All(ctx context.Context, at []netip.Addr) []*Member {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out := make([]*Member, len(at))
	done := make(chan struct{})
	for i, a := range at {
		go func() {
			defer func() { done <- struct{}{} }()
			if m, err := c.Ask(ctx, a); err == nil {
				out[i] = m
			}
		}()
	}
	for range at {
		<-done
	}
	return out
}

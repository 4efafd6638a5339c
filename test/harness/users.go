package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"zdl/internal/cluster/local/fabric"
	"zdl/internal/probe"
	"zdl/internal/topology"
)

// Answer is what the service told a user.
type Answer struct {
	Status                   int
	Pod, Node, Zone, Version string
}

// Dial connects from inside a machine of the lab. It needs no daemon.
func (l *Lab) Dial(ctx context.Context, machine, network, addr string) (net.Conn, error) {
	return fabric.New(l.Name, nil, l.RunDir()).Dial(ctx, machine, network, addr)
}

// HTTP is a client that stands in a machine of the lab and opens a connection
// for each request.
func (l *Lab) HTTP(machine string, timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return l.Dial(ctx, machine, network, addr)
		},
	}}
}

// UsersURL is where the users' virtual IP is, seen from the machine outside.
func UsersURL() string { return fmt.Sprintf("http://%s/", topology.UserVIP) }

// Ask is one user's request through the virtual IP.
func (l *Lab) Ask(ctx context.Context) (Answer, error) {
	var a Answer
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, UsersURL(), nil)
	if err != nil {
		return a, err
	}
	resp, err := l.HTTP("outside", 3*time.Second).Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(body, &a)
	}
	a.Status = resp.StatusCode
	return a, err
}

// Users is a measurement of what users see, by the lab's own prober but
// independent of its daemon.
type Users struct {
	*probe.Prober
	stop func()
}

// Watch starts to measure what users see, 100 requests a second with a new
// connection each, and returns once the service answered.
func (l *Lab) Watch(t testing.TB) *Users {
	t.Helper()
	u, err := l.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Stop)
	return u
}

// Users starts the measurement; the caller stops it.
func (l *Lab) Users(ctx context.Context) (*Users, error) {
	p, err := probe.New(probe.Config{URL: UsersURL(), Rate: 100, Timeout: time.Second,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return l.Dial(ctx, "outside", network, addr)
		}})
	if err != nil {
		return nil, err
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { p.Run(runCtx) })
	u := &Users{Prober: p, stop: sync.OnceFunc(func() { cancel(); running.Wait() })}
	err = Until(ctx, "the prober gets answers", 20*time.Second, func(context.Context) error {
		if s := p.Summary(); !s.Up {
			return fmt.Errorf("sent %d, failed %d, missed %d, latest %+v", s.Sent, s.Failed, s.Missed, s.Last)
		}
		return nil
	})
	if err != nil {
		u.Stop()
		return nil, err
	}
	return u, nil
}

// Stop ends the measurement; it can be repeated.
func (u *Users) Stop() { u.stop() }

// MustServeAll stops the measurement and fails the test if a single request
// failed, or if too few were sent to tell.
func (u *Users) MustServeAll(t testing.TB) {
	t.Helper()
	// What was tested may have taken less time than a verdict needs.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if s := u.Summary(); s.Sent-s.Missed >= 100 {
			break
		}
	}
	u.Stop()
	s := u.Summary()
	if served := s.Sent - s.Missed; served < 50 {
		t.Errorf("only %d requests were measured: that proves nothing", served)
	}
	if s.Failed > 0 {
		t.Errorf("%d of %d users' requests failed; outages: %s", s.Failed, s.Sent, asJSON(u.Outages(0)))
	}
}

// Longest is the outage so far that surely lasted longest, or the one that is
// open, or nil. Upper bounds do not count: where the prober itself had to wait
// for the CPU, a single failed request may have a long one.
func (u *Users) Longest() *probe.Outage {
	var longest *probe.Outage
	for _, o := range u.Outages(0) {
		if longest == nil || o.LowerMS > longest.LowerMS || o.Open {
			longest = &o
		}
	}
	return longest
}

func asJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

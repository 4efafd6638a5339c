package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"zdl/internal/topology"
)

// api completes a TLS handshake and a request with the API's virtual IP.
func (r *rig) api(from string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), timeout)
	defer cancel()
	conn, err := r.secure(ctx, from, fmt.Sprintf("%s:%d", topology.APIVIP, topology.APIPort))
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := ask(conn)
	if err == nil && !strings.Contains(answer, "200 OK") {
		err = errors.New(answer)
	}
	return err
}

// secure makes a TLS connection from a machine; whose certificate it is does not
// matter.
func (r *rig) secure(ctx context.Context, from, address string) (*tls.Conn, error) {
	conn, err := r.f.Dial(ctx, from, "tcp", address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	t := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

// ask sends a request on a connection that stays open and reads some answer.
func ask(conn net.Conn) (string, error) {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: api\r\n\r\n"); err != nil {
		return "", err
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}

func TestBothVirtualIPsLeadToAllServers(t *testing.T) {
	r := newRig(t, "ha")
	seen := map[string]int{}
	r.until("every ingress is used", func() error {
		resp, err := r.get(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		name, client, _ := strings.Cut(string(body), " for ")
		if client != topology.OutsideAddr.String() {
			t.Fatalf("the ingress saw a request for %q", client)
		}
		if via := resp.Header.Get("Via"); !strings.HasPrefix(via, "1.1 lb-") {
			t.Fatalf("Via: %q", via)
		}
		if by := resp.Header.Get("X-Served-By"); by != "" {
			t.Fatalf("an answer of the ingress has X-Served-By: %q", by)
		}
		if seen[name]++; len(seen) < 3 {
			return fmt.Errorf("seen %v", seen)
		}
		return nil
	})
	for _, m := range r.topo.Machines {
		if m.Kind != topology.KindRouter {
			if err := r.api(m.Name, 2*time.Second); err != nil {
				t.Errorf("API from %s: %v", m.Name, err)
			}
		}
	}
}

// TLS of users ends at the ingress, on whose health both ways depend.
func TestHTTPSGoesThroughToTheIngress(t *testing.T) {
	r := newRig(t, "small")
	https := func() (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := r.secure(ctx, "outside", topology.UserVIP.String()+":443")
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return ask(conn)
	}
	seen := map[string]bool{}
	r.until("every ingress is used", func() error {
		answer, err := https()
		if err != nil {
			return err
		}
		for _, n := range r.topo.Of(topology.KindWorker) {
			seen[n.Name] = seen[n.Name] || strings.Contains(answer, n.Name+" for ")
			if !seen[n.Name] {
				return fmt.Errorf("seen %v, latest answer %q", seen, answer)
			}
		}
		return nil
	})
	workers := r.topo.Of(topology.KindWorker)
	r.healthy[workers[0].Name].Store(false)
	took := r.until("only the healthy one is used", func() error {
		for range 4 {
			answer, err := https()
			if err != nil || !strings.Contains(answer, workers[1].Name+" for ") {
				return fmt.Errorf("%q, %v", answer, err)
			}
		}
		return nil
	})
	t.Logf("an ingress that fails its check gets no connection after %v", took)
}

func TestTheLoadBalancerSignsItsOwnErrors(t *testing.T) {
	r := newRig(t, "small")
	for _, n := range r.topo.Of(topology.KindWorker) {
		r.healthy[n.Name].Store(false)
	}
	took := r.until("503", func() error {
		resp, err := r.get(time.Second)
		if err == nil {
			return errors.New("still 200")
		}
		if resp == nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 503 || resp.Header.Get("X-Served-By") != "lb-1" {
			t.Fatalf("status %d, header %v", resp.StatusCode, resp.Header)
		}
		return nil
	})
	t.Logf("503 %v after the last ingress got unhealthy", took)
	for _, n := range r.topo.Of(topology.KindWorker) {
		r.healthy[n.Name].Store(true)
	}
	t.Logf("200 %v after they were healthy again", r.until("200", func() error { _, err := r.get(time.Second); return err }))
}

func TestTheVirtualIPsMoveWhenALoadBalancerLosesItsLink(t *testing.T) {
	r := newRig(t, "ha")
	for round := range 2 {
		lb := r.topo.Machine(r.holder(topology.KindEdge, topology.UserVIP.String()))
		took := r.outage(func() {
			if err := r.f.SetLink(t.Context(), lb, false); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("round %d: %s lost its link, users were without service for %v", round, lb.Name, took)
		if took > 2*time.Second {
			t.Errorf("takeover took %v, want less than 2 s", took)
		}
		if err := r.api("outside", time.Second); err != nil {
			t.Errorf("API after the takeover: %v", err)
		}
		// It comes back without taking the addresses away again.
		if err := r.f.SetLink(t.Context(), lb, true); err != nil {
			t.Fatal(err)
		}
		for begin := time.Now(); time.Since(begin) < time.Second; {
			if _, err := r.get(500 * time.Millisecond); err != nil {
				t.Fatalf("%v after the return of %s: %v", time.Since(begin), lb.Name, err)
			}
		}
		if now := r.holder(topology.KindEdge, topology.UserVIP.String()); now == lb.Name {
			t.Errorf("%s took the virtual IP back", lb.Name)
		}
	}
}

func TestTheVirtualIPsMoveWhenALoadBalancerLosesPower(t *testing.T) {
	r := newRig(t, "ha")
	for round := range 2 {
		lb := r.topo.Machine(r.holder(topology.KindEdge, topology.UserVIP.String()))
		took := r.outage(func() {
			if err := r.f.SetLink(t.Context(), lb, false); err != nil {
				t.Fatal(err)
			}
			r.kill(lb.Name + "/keepalived")
			r.kill(lb.Name + "/haproxy")
			if err := r.f.Unplug(t.Context(), lb); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("round %d: %s lost power, users were without service for %v", round, lb.Name, took)
		if took > 2*time.Second {
			t.Errorf("takeover took %v, want less than 2 s", took)
		}
		if _, err := r.f.Plug(t.Context(), lb); err != nil {
			t.Fatal(err)
		}
		r.boot(lb)
		r.until("the load balancer is back", func() error { return r.keepalivedHears(lb) })
	}
}

func TestTheVirtualIPsMoveWhenHAProxyStaysAway(t *testing.T) {
	for _, c := range []struct {
		how  string
		end  func(*rig, string)
		want time.Duration
	}{
		{"died for good", func(r *rig, name string) { r.kill(name) }, 4 * time.Second},
		{"hangs", func(r *rig, name string) { r.runs[name].Process.Signal(syscall.SIGSTOP) }, 6 * time.Second},
	} {
		t.Run(c.how, func(t *testing.T) {
			r := newRig(t, "ha")
			lb := r.holder(topology.KindEdge, topology.UserVIP.String())
			took := r.outage(func() { c.end(r, lb+"/haproxy") })
			t.Logf("HAProxy on %s %s, users were without service for %v", lb, c.how, took)
			if took > c.want {
				t.Errorf("takeover took %v, want less than %v", took, c.want)
			}
			if now := r.holder(topology.KindEdge, topology.UserVIP.String()); now == lb {
				t.Errorf("%s has the virtual IP still", lb)
			}
		})
	}
}

// kill -9 of keepalived leaves the addresses where they are, and the other load
// balancer takes them too. The machine's init starts it again.
func TestARestartedKeepalivedGivesUpWhatItHad(t *testing.T) {
	r := newRig(t, "ha")
	vip := topology.UserVIP.String()
	lb := r.topo.Machine(r.holder(topology.KindEdge, vip))
	begin := time.Now()
	r.kill(lb.Name + "/keepalived")
	r.until("both have it", func() error {
		if holders := r.holders(topology.KindEdge, vip); len(holders) != 2 {
			return fmt.Errorf("on %v", holders)
		}
		return nil
	})
	t.Logf("both load balancers have the virtual IP %v after keepalived of %s was killed", time.Since(begin), lb.Name)
	begin = time.Now()
	r.boot(lb, "keepalived")
	r.until("one has it", func() error {
		if holders := r.holders(topology.KindEdge, vip); len(holders) != 1 || holders[0] == lb.Name {
			return fmt.Errorf("on %v", holders)
		}
		return nil
	})
	t.Logf("one has it %v after keepalived was started again", time.Since(begin))
	if _, err := r.get(time.Second); err != nil {
		t.Error(err)
	}
}

func TestZonesStayConnectedWhenARouterLosesPower(t *testing.T) {
	r := newRig(t, "ha")
	gateway := r.topo.Segments[1].Gateway.String()
	for round := range 2 {
		router := r.topo.Machine(r.holder(topology.KindRouter, gateway))
		for _, s := range r.topo.Segments {
			if now := r.holder(topology.KindRouter, s.Gateway.String()); now != router.Name {
				t.Errorf("%s has the gateway of %s, %s that of %s", router.Name, r.topo.Segments[1].Name, now, s.Name)
			}
		}
		took := r.outage(func() {
			if err := r.f.SetLink(t.Context(), router, false); err != nil {
				t.Fatal(err)
			}
			r.kill(router.Name + "/keepalived")
			if err := r.f.Unplug(t.Context(), router); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("round %d: %s lost power, users were without service for %v", round, router.Name, took)
		if took > 2*time.Second {
			t.Errorf("takeover took %v, want less than 2 s", took)
		}
		for _, s := range r.topo.Segments {
			if now := r.holder(topology.KindRouter, s.Gateway.String()); now == router.Name {
				t.Errorf("%s still has the gateway of %s", now, s.Name)
			}
		}
		if _, err := r.f.Plug(t.Context(), router); err != nil {
			t.Fatal(err)
		}
		r.boot(router)
		r.until("the router is back", func() error { return r.keepalivedHears(router) })
	}
}

func TestSessionsOfAFailingAPIServerAreClosed(t *testing.T) {
	r := newRig(t, "ha")
	for _, how := range []string{"is not ready", "has no link"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		conn, err := r.secure(ctx, "outside", fmt.Sprintf("%s:%d", topology.APIVIP, topology.APIPort))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		answer, err := ask(conn)
		if err != nil {
			t.Fatal(err)
		}
		var server *topology.Machine
		for _, n := range r.topo.Of(topology.KindControlPlane) {
			if strings.Contains(answer, n.Name+" for") {
				server = n
			}
		}
		if server == nil {
			t.Fatalf("answer %q", answer)
		}
		begin := time.Now()
		if how == "is not ready" {
			r.healthy[server.Name].Store(false)
		} else if err := r.f.SetLink(t.Context(), server, false); err != nil {
			t.Fatal(err)
		}
		_, err = conn.Read(make([]byte, 1))
		took := time.Since(begin)
		if err == nil || ctx.Err() != nil {
			t.Fatalf("the session stayed open: %v", err)
		}
		t.Logf("%s %s: session closed after %v", server.Name, how, took)
		if took > 5*time.Second {
			t.Errorf("closing took %v, want less than 5 s", took)
		}
		if err := r.api("outside", 3*time.Second); err != nil {
			t.Errorf("a new session: %v", err)
		}
		r.healthy[server.Name].Store(true)
		if err := r.f.SetLink(t.Context(), server, true); err != nil {
			t.Fatal(err)
		}
	}
}

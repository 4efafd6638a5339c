package faults

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zdl/internal/fault"
	"zdl/internal/probe"
	"zdl/internal/topology"
	"zdl/test/harness"
)

// askSecurely makes a TLS handshake with the users' virtual IP and asks, as a
// user's program does that trusts the lab's authority.
func askSecurely(ctx context.Context, lab *harness.Lab) error {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(filepath.Join(lab.StateDir(), "pki", "users-ca.crt"))
	if err != nil {
		return err
	}
	roots.AppendCertsFromPEM(pem)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := lab.Dial(ctx, "outside", "tcp", topology.UserVIP.String()+":443")
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	secure := tls.Client(conn, &tls.Config{ServerName: topology.UserHost, RootCAs: roots})
	answer := make([]byte, len("HTTP/1.1 200"))
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(secure, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", topology.UserHost); err != nil {
		return err
	}
	if _, err := secure.Read(answer); err != nil {
		return err
	}
	if string(answer) != "HTTP/1.1 200" {
		return errors.New(string(answer))
	}
	return nil
}

// securely wants users who come by HTTPS to be served.
func securely(t *testing.T, lab *harness.Lab, _ fault.Attack) {
	eventually(t, "users are served by HTTPS", func(ctx context.Context) error { return askSecurely(ctx, lab) })
}

// distrusted wants users who come by HTTPS to hang up with these words, and
// everybody else to be served.
func distrusted(words string) check {
	return func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
		for range 6 { // whichever ingress it is
			if err := askSecurely(t.Context(), lab); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("by HTTPS users get %v, want %q", err, words)
			}
		}
		if a, err := lab.Ask(t.Context()); err != nil || a.Status != http.StatusOK {
			t.Errorf("by HTTP users get %d, %v", a.Status, err)
		}
		var r probe.Report
		lab.ZdlJSON(t, &r, "probe", "--https", "--lanes", "new,reused", "--rate", "20", "--for", "2s")
		for _, l := range r.Lanes {
			if l.Sent-l.Missed < 10 || l.Failed != l.Sent-l.Missed {
				t.Errorf("zdl probe --https: of %d requests of the lane %s %d failed", l.Sent-l.Missed, l.Lane, l.Failed)
			}
		}
		if len(r.Outages) != 1 || !r.Outages[0].Open || r.Outages[0].ByClass[string(probe.Wrong)] != r.Outages[0].Failed {
			t.Errorf("zdl probe --https says %+v, want one outage of wrong answers", r.Outages)
		}
	}
}

func TestCertificatesOfTheIngress(t *testing.T) {
	mode := func(m string) map[string]string { return map[string]string{"mode": m} }
	runAll(t, []scenario{
		{kind: "ingress-certificate-expired", effect: distrusted("has expired"), after: securely},
		{kind: "ingress-certificate-expired", params: mode("wrong-host"), effect: distrusted("not " + topology.UserHost), after: securely},
		{kind: "ingress-certificate-expired", params: mode("unknown-authority"), effect: distrusted("unknown authority"), after: securely},
		{kind: "ingress-certificate-expired", params: mode("key-mismatch"), effect: untilItRestarts, after: securely},
	})
	lab := healthy(t)
	refused(t, lab, "expired, wrong-host", "attack", "ingress-certificate-expired", "-p", "mode=lost")
	refused(t, lab, "No ingress matches", "attack", "ingress-certificate-expired", "nobody")
}

// untilItRestarts wants users to be served by HTTPS until the ingress is started
// anew, and then only by HTTP.
func untilItRestarts(t *testing.T, lab *harness.Lab, a fault.Attack) {
	securely(t, lab, a)
	lab.Kubectl(t, "-n", "kube-system", "delete", "pod", "-l", "application=skipper-ingress", "--wait=false")
	eventually(t, "users are served by HTTP only", func(ctx context.Context) error {
		got, err := lab.Ask(ctx)
		if err != nil || got.Status != http.StatusOK {
			return fmt.Errorf("by HTTP they get %d, %v", got.Status, err)
		}
		if err = askSecurely(ctx, lab); err == nil || !strings.Contains(err.Error(), "remote error: tls") {
			return fmt.Errorf("by HTTPS they get %v", err)
		}
		return nil
	})
}

// The virtual IPs come to rest when the lab is killed in the middle of a move:
// keepalived is not left stopped anywhere, before any new daemon is there.
func TestAFlappingAddressNeedsNobodyToComeToRest(t *testing.T) {
	lab := healthy(t)
	attack(t, lab, scenario{kind: "vip-flap", params: map[string]string{"interval": "500ms"}})
	daemon, err := lab.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(rand.Int64N(int64(time.Second)))) // the point of the test is that it does not matter when
	if err := syscall.Kill(daemon.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range wiring().Of(topology.KindEdge) {
		names = append(names, m.Name)
	}
	eventually(t, "keepalived runs on every load balancer", func(context.Context) error {
		if daemon.Alive() {
			return errors.New("the daemon still lives")
		}
		for _, name := range names {
			all, err := lab.Processes(name)
			if err != nil {
				return err
			}
			if !anyNamed(all, "keepalived") {
				return fmt.Errorf("%s runs %v", name, all)
			}
		}
		return nil
	})
	eventually(t, "users are served", func(ctx context.Context) error {
		got, err := lab.Ask(ctx)
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("status %d", got.Status)
		}
		return err
	})
	if err := lab.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	lab.Zdl(t, "heal", "--all")
	for _, a := range attacks(t, lab) {
		if !a.State.Over() || len(a.Residue) > 0 {
			t.Errorf("%s is %s, residue %q", a.Kind, a.State, a.Residue)
		}
	}
}

func anyNamed(all []harness.Process, name string) bool {
	for _, p := range all {
		if p.Name == name {
			return true
		}
	}
	return false
}

// A boot does not wait for what an active fault breaks, and says so.
func TestABootDoesNotWaitForAMachineThatIsCutOff(t *testing.T) {
	lab := healthy(t)
	a := attack(t, lab, scenario{kind: "node-link-down", target: "worker-3", for_: 10 * time.Minute})
	eventually(t, "worker-3 is NotReady", func(ctx context.Context) error {
		if lab.NodeReady(ctx, "worker-3") == nil {
			return errors.New("it is Ready")
		}
		return nil
	})
	daemon, err := lab.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(daemon.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon is gone", func(context.Context) error {
		if daemon.Alive() {
			return errors.New("it lives")
		}
		return nil
	})
	r, err := lab.Try(t.Context(), "up")
	if err != nil || r.Code != 0 {
		t.Fatalf("zdl up: exit %d, %v\n%s", r.Code, err, r.Stderr)
	}
	if want := fmt.Sprintf("worker-3 is not Ready while node-link-down (%s) lasts", a.ID); !strings.Contains(r.Stderr, want) {
		t.Errorf("zdl up says nothing like %q:\n%s", want, r.Stderr)
	}
	if r.Took > 40*time.Second {
		t.Errorf("zdl up took %v", r.Took)
	}
	heal(t, lab, a.ID)
	lab.WaitHealthy(t, 2*time.Minute)
}

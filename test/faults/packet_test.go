package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"

	"zdl/internal/cluster/local/fabric"
	"zdl/internal/dnsfault"
	"zdl/internal/fault"
	"zdl/internal/topology"
	"zdl/test/harness"
)

const kubelet = ":10250" // answers on every node

// answer tells how a connection attempt ended: "open", "refused" or "silence".
func answer(lab *harness.Lab, from, to string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	conn, err := lab.Dial(ctx, from, "tcp", to)
	switch {
	case err == nil:
		conn.Close()
		return "open"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	}
	return "silence"
}

// answers checks attempts, each "from to want", between machines.
func answers(lines ...string) func(*testing.T, *harness.Lab, fault.Attack) {
	return func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
		t.Helper()
		for _, line := range lines {
			f := strings.Fields(line)
			to := wiring().Machine(f[1]).Addr().String() + kubelet
			if got := answer(lab, f[0], to); got != f[2] {
				t.Errorf("%s to %s: %s, want %s", f[0], f[1], got, f[2])
			}
		}
	}
}

func TestPartitionsAndLinks(t *testing.T) {
	machine := wiring().Machine
	zoneA, zoneB, zoneC := machine("worker-1"), machine("worker-2"), machine("worker-3")
	if zoneA.Zone == zoneB.Zone || zoneB.Zone == zoneC.Zone || machine("cp-1").Zone != zoneA.Zone {
		t.Fatal("this test knows another wiring of the profile")
	}
	runAll(t, []scenario{
		{kind: "partition", target: "worker-1", params: map[string]string{"with": "worker-2,cp-2"},
			effect: answers("worker-1 worker-2 silence", "cp-2 worker-1 silence", "worker-1 worker-3 open", "cp-1 worker-2 open")},
		{kind: "partition", target: "zone=" + zoneA.Zone, params: map[string]string{"with": "zone=" + zoneB.Zone, "action": "reject"},
			effect: answers("worker-1 worker-2 refused", "cp-2 cp-1 refused", "worker-1 cp-1 open", "worker-2 worker-3 open")},
		{kind: "partition", target: "lb-1", params: map[string]string{"with": "workers", "direction": "to"},
			effect: answers("lb-1 worker-1 silence", "lb-2 worker-1 open")},
		{kind: "zone-isolate", target: zoneB.Zone,
			effect: answers("worker-1 worker-2 silence", "worker-2 cp-3 silence", "worker-2 cp-2 open", "worker-1 worker-3 open")},
		{kind: "zone-switch-down", target: zoneA.Zone,
			effect: answers("worker-1 cp-1 silence", "cp-2 worker-1 silence", "cp-2 worker-3 open")},
		{kind: "node-link-down", target: "worker-3", effect: answers("cp-1 worker-3 silence", "cp-1 worker-2 open")},
		{kind: "link-flap", target: "worker-3", params: map[string]string{"down": "500ms", "up": "2s"}, effect: flaps},
		{kind: "etcd-leader-isolate", effect: leaderMoves},
		{kind: "backend-healthcheck-blind", target: "ingress", effect: blind},
		{kind: "apiserver-etcd-delay", target: "cp-1", params: map[string]string{"latency": "80ms"}, effect: slowWrites},
	})
}

// flaps sees the link down and up, twice. Up is for longer than the second after
// which a neighbour is asked for again.
func flaps(t *testing.T, lab *harness.Lab, _ fault.Attack) {
	to := wiring().Machine("worker-3").Addr().String() + kubelet
	for _, up := range []bool{false, true, false, true} {
		harness.Eventually(t, fmt.Sprintf("the link is up: %v", up), 10*time.Second, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			conn, err := lab.Dial(ctx, "cp-3", "tcp", to)
			if err == nil {
				conn.Close()
			}
			if (err == nil) != up {
				return fmt.Errorf("connecting: %v", err)
			}
			return nil
		})
	}
}

func leaderMoves(t *testing.T, lab *harness.Lab, a fault.Attack) {
	old := ""
	for _, m := range wiring().Of(topology.KindControlPlane) {
		if strings.Contains(a.Evidence[0], "leader on "+m.Name+" ") {
			old = m.Name
		}
	}
	var others []string
	for _, m := range wiring().Of(topology.KindControlPlane) {
		if m.Name != old {
			others = append(others, m.Name)
		}
	}
	if old == "" {
		t.Fatalf("nobody is said to be isolated: %q", a.Evidence)
	}
	harness.Eventually(t, "the others have a leader of their own", 30*time.Second, func(ctx context.Context) error {
		_, err := lab.EtcdLeader(ctx, others...)
		return err
	})
}

// blind cuts an ingress off from its load balancers: one that checks takes it out
// within 2 x 2 s and a second, one that does not goes on for good.
func blind(t *testing.T, lab *harness.Lab, _ fault.Attack) {
	believes := func(lb, worker string) bool {
		metrics := lab.Shell(t, lb, "/bin/bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/8404; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3`)
		return strings.Contains(metrics, `haproxy_server_status{proxy="ingress",server="`+worker+`",state="UP"} 1`)
	}
	// What came before may have moved an ingress away: one is wanted that both
	// took for alive when they went blind.
	worker := ""
	for _, m := range wiring().Of(topology.KindWorker) {
		if believes("lb-1", m.Name) && believes("lb-2", m.Name) {
			worker = m.Name
		}
	}
	if worker == "" {
		t.Fatal("the load balancers take no ingress for alive")
	}
	cut := attack(t, lab, scenario{kind: "partition", target: worker, params: map[string]string{"with": "load-balancers"}})
	time.Sleep(7 * time.Second) // nothing is to happen
	for _, lb := range []string{"lb-1", "lb-2"} {
		if !believes(lb, worker) {
			t.Errorf("%s noticed that %s is cut off", lb, worker)
		}
	}
	heal(t, lab, cut.ID)
}

// slowWrites compares writes through the API server that is struck with those
// through another.
func slowWrites(t *testing.T, lab *harness.Lab, _ fault.Attack) {
	took := func(cp string) time.Duration {
		best := time.Hour
		for range 5 {
			begin := time.Now()
			out := lab.Shell(t, cp, "/opt/zdl/bin/kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf",
				"--server", "https://"+wiring().Machine(cp).Addr().String()+":6443",
				"create", "namespace", "slow-write", "--dry-run=server", "-o", "name")
			best = min(best, time.Since(begin))
			if !strings.Contains(out, "slow-write") {
				t.Fatalf("on %s: %s", cp, out)
			}
		}
		return best
	}
	if slow, fast := took("cp-1"), took("cp-2"); slow < 80*time.Millisecond {
		t.Errorf("through the API server that is struck %v, through another %v", slow, fast)
	}
}

// lookup asks the cluster's name service from a network namespace.
func lookup(netns, name string, patience time.Duration) (*dns.Msg, time.Duration, error) {
	var conn net.Conn
	err := fabric.In(netns, func() (err error) {
		conn, err = net.DialTimeout("udp4", netip.AddrPortFrom(topology.DNS, 53).String(), patience)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	client := dns.Client{Timeout: patience}
	return client.ExchangeWithConn(new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA), &dns.Conn{Conn: conn})
}

// netnsOf finds a pod's network namespace through some process of its.
func netnsOf(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), "pod"+string(pod.UID)) {
			return filepath.Join(filepath.Dir(file), "ns/net")
		}
	}
	t.Fatalf("pod %s has no process", pod.Name)
	return ""
}

const (
	apiName = "kubernetes.default.svc.cluster.local"
	webName = "web.web.svc.cluster.local"
)

func TestNamesArePoisonedForOnePodOnly(t *testing.T) {
	lab := healthy(t)
	pods := lab.WaitPods(t, "web", "app.kubernetes.io/name=web", 3, time.Minute)
	struck, spared := netnsOf(t, &pods[0]), netnsOf(t, &pods[1])
	target := "web/" + pods[0].Name
	code := func(t *testing.T, netns, name string, want int) {
		t.Helper()
		r, _, err := lookup(netns, name, 3*time.Second)
		if err != nil || r.Rcode != want {
			t.Errorf("%s: %v, %v, want %s", name, r, err, dns.RcodeToString[want])
		}
	}
	runAll(t, []scenario{
		{kind: "pod-dns-error", target: target, params: map[string]string{"names": "web.*"},
			effect: func(t *testing.T, _ *harness.Lab, _ fault.Attack) {
				code(t, struck, webName, dns.RcodeServerFailure)
				code(t, struck, apiName, dns.RcodeSuccess)
				code(t, spared, webName, dns.RcodeSuccess)
			},
			after: func(t *testing.T, _ *harness.Lab, _ fault.Attack) { code(t, struck, webName, dns.RcodeSuccess) }},
		{kind: "pod-dns-random", target: target,
			effect: func(t *testing.T, _ *harness.Lab, _ fault.Attack) {
				r, _, err := lookup(struck, webName, 3*time.Second)
				if err != nil || len(r.Answer) != 1 {
					t.Fatalf("%v, %v", r, err)
				}
				got, _ := netip.AddrFromSlice(r.Answer[0].(*dns.A).A.To4())
				if !dnsfault.Nowhere.Contains(got) {
					t.Errorf("the pod was told %s", got)
				}
				code(t, spared, webName, dns.RcodeSuccess)
			}},
		{kind: "pod-network-partition", target: target, params: map[string]string{"peer": "kube-system/app=kube-dns", "direction": "to"},
			effect: func(t *testing.T, _ *harness.Lab, _ fault.Attack) {
				if r, _, err := lookup(struck, webName, time.Second); err == nil {
					t.Errorf("the pod still reaches the name service: %v", r)
				}
				code(t, spared, webName, dns.RcodeSuccess)
			},
			after: func(t *testing.T, _ *harness.Lab, _ fault.Attack) { code(t, struck, webName, dns.RcodeSuccess) }},
	})
}

func TestTheNameServiceLies(t *testing.T) {
	lab := healthy(t)
	pods := lab.WaitPods(t, "web", "app.kubernetes.io/name=web", 3, time.Minute)
	netns := netnsOf(t, &pods[0])
	runAll(t, []scenario{
		{kind: "dns-delay", params: map[string]string{"latency": "300ms", "names": "kubernetes.*"},
			effect: func(t *testing.T, _ *harness.Lab, _ fault.Attack) {
				if _, took, err := lookup(netns, apiName, 3*time.Second); err != nil || took < 300*time.Millisecond {
					t.Errorf("an answer after %v, %v", took, err)
				}
			}},
		{kind: "dns-nxdomain", params: map[string]string{"names": "web.*"},
			effect: func(t *testing.T, _ *harness.Lab, _ fault.Attack) {
				if r, _, err := lookup(netns, webName, 3*time.Second); err != nil || r.Rcode != dns.RcodeNameError {
					t.Errorf("%v, %v", r, err)
				}
				if r, _, err := lookup(netns, apiName, 3*time.Second); err != nil || r.Rcode != dns.RcodeSuccess {
					t.Errorf("another name: %v, %v", r, err)
				}
			}},
		{kind: "dns-stale",
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				lab.Kubectl(t, "create", "service", "clusterip", "stale-test", "--tcp=80", "-n", "default")
				for range 8 { // both name servers
					r, _, err := lookup(netns, "stale-test.default.svc.cluster.local", 3*time.Second)
					if err != nil || r.Rcode != dns.RcodeNameError {
						t.Fatalf("a new Service is known: %v, %v", r, err)
					}
				}
			},
			after: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				harness.Eventually(t, "the new Service is known", 15*time.Second, func(context.Context) error {
					r, _, err := lookup(netns, "stale-test.default.svc.cluster.local", 3*time.Second)
					if err == nil && r.Rcode != dns.RcodeSuccess {
						err = errors.New(dns.RcodeToString[r.Rcode])
					}
					return err
				})
				lab.Kubectl(t, "delete", "service", "stale-test", "-n", "default")
			}},
	})
}

func TestPartitionsThatCannotBeAreRefused(t *testing.T) {
	lab := healthy(t)
	refused(t, lab, "outside", "attack", "partition", "worker-1", "-p", "with=outside")
	refused(t, lab, "both sides", "attack", "partition", "workers", "-p", "with=worker-1")
	refused(t, lab, "No machine matches", "attack", "partition", "worker-1", "-p", "with=nobody")
	refused(t, lab, "No Service has a name", "attack", "dns-nxdomain", "-p", "names=nobody.example")
	refused(t, lab, "has no port", "attack", "node-link-down", "worker-1", "-p", "port=eth7")
}

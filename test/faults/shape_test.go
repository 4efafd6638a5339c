package faults

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zdl/internal/fault"
	"zdl/internal/shape"
	"zdl/internal/topology"
	"zdl/test/harness"
)

// echoes pings from a machine, without asking the engine.
func echoes(t *testing.T, lab *harness.Lab, from string, to netip.Addr, p shape.Ping) shape.Echoes {
	t.Helper()
	p.Netns, p.To = filepath.Join(lab.RunDir(), "netns", from), []netip.Addr{to}
	if p.Wait == 0 {
		p.Wait = time.Second
	}
	e, err := p.Do()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// few and many are the pings of these tests: for times, and for shares.
var (
	few  = shape.Ping{Count: 5, Gap: 10 * time.Millisecond}
	many = shape.Ping{Count: 300, Gap: 500 * time.Microsecond, Wait: 500 * time.Millisecond}
)

// slower expects that a round trip takes as much longer, and that another way is
// as quick as ever.
func slower(t *testing.T, lab *harness.Lab, from string, to netip.Addr, by time.Duration) {
	t.Helper()
	e := echoes(t, lab, from, to, few)
	if rtt := e.Median(); rtt < by || rtt > by+50*time.Millisecond {
		t.Errorf("from %s to %s and back takes %v, want %v more than usual", from, to, rtt, by)
	}
}

func asQuick(t *testing.T, lab *harness.Lab, from string, to netip.Addr) {
	t.Helper()
	e := echoes(t, lab, from, to, few)
	if rtt := e.Median(); rtt == 0 || rtt > 50*time.Millisecond {
		t.Errorf("from %s to %s and back takes %v; it should not be touched", from, to, rtt)
	}
}

// share expects that about so many of all echoes did something. The bounds are
// at 4.5 standard deviations of 300 trials, rounded.
func share(t *testing.T, what string, n int, want float64) {
	t.Helper()
	if got := float64(n) / float64(many.Count); got < want-0.13 || got > want+0.13 {
		t.Errorf("%s: %.0f %%, want %.0f %%", what, 100*got, 100*want)
	}
}

func TestNetworkShapingOfMachines(t *testing.T) {
	topo := wiring()
	worker, other := topo.Of(topology.KindWorker)[0], topo.Of(topology.KindWorker)[1]
	lb := topo.Of(topology.KindEdge)[0]
	type effect = func(*testing.T, *harness.Lab, fault.Attack)
	through := func(check func(t *testing.T, e shape.Echoes), p shape.Ping) effect {
		return func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
			check(t, echoes(t, lab, other.Name, worker.Addr(), p))
			asQuick(t, lab, other.Name, lb.Addr())
		}
	}
	runAll(t, []scenario{
		{kind: "node-network-delay", target: worker.Name, params: map[string]string{"latency": "120ms", "jitter": "10ms"},
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				slower(t, lab, other.Name, worker.Addr(), 110*time.Millisecond)
				asQuick(t, lab, other.Name, lb.Addr())
			},
			after: func(t *testing.T, lab *harness.Lab, _ fault.Attack) { asQuick(t, lab, other.Name, worker.Addr()) }},
		{kind: "node-network-delay", target: worker.Name, params: map[string]string{"latency": "60ms", "direction": "both", "peer": lb.Name},
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				slower(t, lab, lb.Name, worker.Addr(), 120*time.Millisecond)
				asQuick(t, lab, other.Name, worker.Addr())
			}},
		{kind: "node-network-delay", target: lb.Name, params: map[string]string{"latency": "80ms"},
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				slower(t, lab, worker.Name, lb.Addr(), 80*time.Millisecond)
			}},
		{kind: "node-network-loss", target: worker.Name, params: map[string]string{"loss": "40%"},
			effect: through(func(t *testing.T, e shape.Echoes) { share(t, "lost", e.Sent-e.Received, 0.4) }, many)},
		{kind: "node-network-duplicate", target: worker.Name, params: map[string]string{"duplicate": "30%"},
			effect: through(func(t *testing.T, e shape.Echoes) { share(t, "came twice", e.Copies, 0.3) }, many)},
		{kind: "node-network-corrupt", target: worker.Name, params: map[string]string{"corrupt": "40%"},
			effect: through(func(t *testing.T, e shape.Echoes) { share(t, "were refused", e.Sent-e.Received, 0.4) },
				shape.Ping{Count: many.Count, Gap: many.Gap, Size: 1000, Wait: many.Wait})}, // no checksum covers the sender's MAC
		{kind: "node-network-reorder", target: worker.Name,
			effect: through(func(t *testing.T, e shape.Echoes) {
				if e.Overtakes < 30 {
					t.Errorf("%d of %d came after later ones, want many", e.Overtakes, e.Sent)
				}
			}, many)},
		{kind: "node-network-bandwidth", target: worker.Name, params: map[string]string{"rate": "2Mbit"},
			// 20 frames of 1442 bytes take 115 ms at 2 Mbit/s.
			effect: through(func(t *testing.T, e shape.Echoes) {
				if e.Took < 100*time.Millisecond {
					t.Errorf("%d large echoes came back within %v, want 115 ms at least", e.Received, e.Took)
				}
			}, shape.Ping{Count: 20, Size: 1400})},
	})
}

func TestNetworkShapingOfPods(t *testing.T) {
	address := func(t *testing.T, lab *harness.Lab, a fault.Attack) (node string, addr netip.Addr) {
		t.Helper()
		namespace, name, _ := strings.Cut(a.Targets[0].Name, "/")
		text := strings.TrimSpace(lab.Kubectl(t, "-n", namespace, "get", "pod", name, "-o", "jsonpath={.status.podIP}"))
		addr, err := netip.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		return a.Targets[0].Node, addr
	}
	all := map[string]func(t *testing.T, lab *harness.Lab, node string, pod netip.Addr){
		"delay": func(t *testing.T, lab *harness.Lab, node string, pod netip.Addr) {
			slower(t, lab, node, pod, 100*time.Millisecond)
		},
		"loss": func(t *testing.T, lab *harness.Lab, node string, pod netip.Addr) {
			e := echoes(t, lab, node, pod, many)
			share(t, "lost", e.Sent-e.Received, 0.1)
		},
		"duplicate": func(t *testing.T, lab *harness.Lab, node string, pod netip.Addr) {
			share(t, "came twice", echoes(t, lab, node, pod, many).Copies, 0.1)
		},
		"corrupt": func(t *testing.T, lab *harness.Lab, node string, pod netip.Addr) {
			e := echoes(t, lab, node, pod, many)
			share(t, "were refused", e.Sent-e.Received, 0.1)
		},
		"reorder": func(t *testing.T, lab *harness.Lab, node string, pod netip.Addr) {
			if e := echoes(t, lab, node, pod, many); e.Overtakes < 30 {
				t.Errorf("%d of %d came after later ones, want many", e.Overtakes, e.Sent)
			}
		},
		"bandwidth": func(t *testing.T, lab *harness.Lab, node string, pod netip.Addr) {
			if e := echoes(t, lab, node, pod, shape.Ping{Count: 10, Size: 1400}); e.Took < 100*time.Millisecond {
				t.Errorf("%d large echoes came back within %v, want 115 ms at least", e.Received, e.Took)
			}
		},
	}
	for _, name := range []string{"delay", "loss", "duplicate", "corrupt", "reorder", "bandwidth"} {
		runAll(t, []scenario{{kind: "pod-network-" + name, target: "any",
			effect: func(t *testing.T, lab *harness.Lab, a fault.Attack) {
				node, pod := address(t, lab, a)
				all[name](t, lab, node, pod)
			}}})
	}
}

func TestNetworkShapingOfAZone(t *testing.T) {
	topo := wiring()
	worker := topo.Of(topology.KindWorker)[0]
	var neighbour *topology.Machine
	for _, m := range topo.Nodes() {
		if m.Zone == worker.Zone && m != worker {
			neighbour = m
		}
	}
	lb := topo.Of(topology.KindEdge)[0]
	runAll(t, []scenario{{kind: "zone-network-delay", target: worker.Zone, params: map[string]string{"latency": "40ms"},
		effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
			slower(t, lab, worker.Name, lb.Addr(), 40*time.Millisecond)
			if neighbour != nil {
				asQuick(t, lab, worker.Name, neighbour.Addr())
			}
			asQuick(t, lab, lb.Name, topo.Machine("outside").Addr())
		}}})
}

func TestShapingThatCannotBeIsRefused(t *testing.T) {
	lab := healthy(t)
	if why := kindOf(t, lab, "node-network-delay").Unavailable; why != "" {
		t.Skip(why)
	}
	worker := wiring().Of(topology.KindWorker)[0].Name
	refused(t, lab, "outside", "attack", "node-network-loss", "outside")
	refused(t, lab, "outside", "attack", "node-network-loss", "outside", "--force")
	refused(t, lab, "10s", "attack", "node-network-delay", worker, "-p", "latency=11s")
	refused(t, lab, "jitter", "attack", "node-network-delay", worker, "-p", "latency=10ms", "-p", "jitter=20ms")
	refused(t, lab, "nobody", "attack", "node-network-delay", worker, "-p", "peer=nobody")
	refused(t, lab, "100%", "attack", "node-network-loss", worker, "-p", "loss=101%")
	a := attack(t, lab, scenario{kind: "node-network-loss", target: worker, params: map[string]string{"loss": "1%"}})
	refused(t, lab, a.ID, "attack", "node-network-delay", worker)
}

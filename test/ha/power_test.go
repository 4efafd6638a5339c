package ha

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/cluster/local/edge"
	"zdl/internal/topology"
	"zdl/test/harness"
)

func TestPowerOffEndsEveryProcessOfANodeAtOnceAndItReturnsAsItself(t *testing.T) {
	l := lab(t)
	victim := workers[1]
	before := node(t, l, victim)
	restarts := restartsElsewhere(t, l, victim)
	inits := l.MustInits(t)
	processes, err := l.Processes(victim)
	if err != nil {
		t.Fatal(err)
	}
	if len(processes) < 8 { // init, containerd, kubelet, shims, pods
		t.Fatalf("only %v run on %s", processes, victim)
	}
	t.Cleanup(func() { _, _ = l.Try(context.Background(), "node", "power-on", victim) })

	gone := watchDeath(processes)
	var replies []struct{ TookMS float64 }
	l.ZdlJSON(t, &replies, "node", "power-off", victim)
	first, last := gone()
	if left, err := l.Processes(victim); err != nil || len(left) > 0 {
		t.Errorf("left on %s: %v, %v", victim, left, err)
	}
	// 100 ms is the goal, measured by the benchmark; here other tests' pods are
	// still being cleaned up, and we are late to look.
	took := last.Sub(first)
	if took > time.Second || len(replies) != 1 || replies[0].TookMS > 1000 {
		t.Errorf("%s from the first to the last of %d processes' end, zdl says %+v", took, len(processes), replies)
	}
	t.Logf("%d processes were gone within %s, zdl says %+v", len(processes), took, replies)
	waitFor(t, "Kubernetes notices", 40*time.Second, func(ctx context.Context) error {
		if l.NodeReady(ctx, victim) == nil {
			return fmt.Errorf("%s is still Ready", victim)
		}
		return nil
	})
	if again, err := l.Try(t.Context(), "node", "power-off", victim); err != nil || again.Code != 0 {
		t.Errorf("a second power-off: exit %d %s", again.Code, again.Stderr)
	}

	begin := time.Now()
	l.Zdl(t, "node", "power-on", victim)
	waitFor(t, victim+" is Ready again", 15*time.Second, func(ctx context.Context) error { return l.NodeReady(ctx, victim) })
	t.Logf("Ready %.1f s after power-on", time.Since(begin).Seconds())
	after := node(t, l, victim)
	if after.UID != before.UID || after.Status.NodeInfo.MachineID != before.Status.NodeInfo.MachineID || address(&after) != address(&before) || after.Spec.PodCIDR != before.Spec.PodCIDR {
		t.Errorf("the node came back as another:\nbefore %s %s %s\nafter  %s %s %s", before.UID, before.Status.NodeInfo.MachineID, address(&before),
			after.UID, after.Status.NodeInfo.MachineID, address(&after))
	}
	waitFor(t, "the node tells its new boot", 20*time.Second, func(ctx context.Context) error {
		n, err := l.Client.CoreV1().Nodes().Get(ctx, victim, metav1.GetOptions{})
		if err == nil && n.Status.NodeInfo.BootID == before.Status.NodeInfo.BootID {
			err = fmt.Errorf("boot id %s is that of before", n.Status.NodeInfo.BootID)
		}
		return err
	})
	for name, p := range inits {
		if name != victim && !p.Alive() {
			t.Errorf("%s lost its first process when the power of %s was cut", name, victim)
		}
	}
	l.WaitHealthy(t, time.Minute)
	for pod, n := range restartsElsewhere(t, l, victim) {
		if was, ok := restarts[pod]; ok && n > was {
			t.Errorf("%s on another node restarted %d times", pod, n-was)
		}
	}
}

func node(t *testing.T, l *harness.Lab, name string) corev1.Node {
	t.Helper()
	n, err := l.Client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return *n
}

// restartsElsewhere counts container restarts of pods by namespace/name, those
// on one node left out.
func restartsElsewhere(t *testing.T, l *harness.Lab, except string) map[string]int32 {
	t.Helper()
	pods, err := l.Client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int32{}
	for _, p := range pods.Items {
		for _, c := range p.Status.ContainerStatuses {
			if p.Spec.NodeName != except {
				out[p.Namespace+"/"+p.Name] += c.RestartCount
			}
		}
	}
	return out
}

// watchDeath looks after processes every millisecond; the result waits until
// all are gone, at most ten seconds, and tells when the first and the last went.
func watchDeath(processes []harness.Process) func() (first, last time.Time) {
	type span struct{ first, last time.Time }
	done := make(chan span, 1)
	go func() {
		left := slices.Clone(processes)
		var s span
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for give := time.Now().Add(time.Minute); len(left) > 0 && time.Now().Before(give); <-ticker.C {
			n := len(left)
			left = slices.DeleteFunc(left, func(p harness.Process) bool { return !p.Alive() })
			if len(left) < n {
				if s.first.IsZero() {
					s.first = time.Now()
				}
				s.last = time.Now()
			}
			// A process that ends by itself before the cut (a probe's) is no start.
			if len(left) > 0 && time.Since(s.first) > 5*time.Second {
				s.first = time.Time{}
			}
		}
		done <- s
	}()
	return func() (time.Time, time.Time) { s := <-done; return s.first, s.last }
}

// The hardest single loss: the node with the etcd leader, an API server and
// maybe the leaders of both controllers.
func TestWritesSucceedSoonAfterTheEtcdLeadersNodeLosesPower(t *testing.T) {
	l := lab(t)
	victim, err := l.EtcdLeader(t.Context(), controlPlanes...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = l.Try(context.Background(), "node", "power-on", victim) })
	users := l.Watch(t)
	writes, err := l.Writes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer writes.Stop()
	waitFor(t, "writes succeed", 10*time.Second, func(context.Context) error {
		if writes.Succeeded(time.Time{}) < 10 {
			return fmt.Errorf("too few; %v", writes.Trouble())
		}
		return nil
	})
	cut := time.Now()
	l.Zdl(t, "node", "power-off", victim)
	waitFor(t, "writes succeed again", 30*time.Second, func(context.Context) error {
		if n := writes.Succeeded(time.Now().Add(-3 * time.Second)); n < 20 || time.Since(cut) < 5*time.Second {
			return fmt.Errorf("%d writes in the last 3 s; %v", n, writes.Trouble())
		}
		return nil
	})
	gap := writes.Gap(cut)
	t.Logf("writes were interrupted for %.2f s", gap.Seconds())
	if gap > 10*time.Second {
		t.Errorf("writes were interrupted for %s", gap)
	}
	others := slices.DeleteFunc(slices.Clone(controlPlanes), func(s string) bool { return s == victim })
	if leader, err := l.EtcdLeader(t.Context(), others...); err != nil {
		t.Errorf("after the loss of %s: leader %q, %v", victim, leader, err)
	}
	users.MustServeAll(t) // the control plane is not on the users' way

	l.Zdl(t, "node", "power-on", victim)
	waitFor(t, "the member rejoins", 40*time.Second, func(ctx context.Context) error { return l.EtcdHasLeader(ctx, victim) })
	waitFor(t, "the node is Ready", 40*time.Second, func(ctx context.Context) error { return l.NodeReady(ctx, victim) })
	l.WaitHealthy(t, time.Minute)
}

// Each load balancer must be able to take over from the other, for users and
// for the API, so both are cut one after the other.
func TestLosingEitherLoadBalancerIsOverWithinTwoSeconds(t *testing.T) {
	l := lab(t)
	for range loadBalancers {
		holder := waitHolder(t, l, topology.UserVIP.String())
		t.Cleanup(func() { _, _ = l.Try(context.Background(), "node", "power-on", holder) })
		users := l.Watch(t)
		writes, err := l.Writes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cut := time.Now()
		l.Zdl(t, "node", "power-off", holder)
		waitFor(t, "the other takes the address over", 10*time.Second, func(context.Context) error {
			now, err := l.HolderOf(topology.UserVIP.String(), loadBalancers...)
			if err == nil && (now == "" || now == holder) {
				err = fmt.Errorf("%q holds it", now)
			}
			return err
		})
		waitFor(t, "users and writers are served for three seconds", 20*time.Second, func(context.Context) error {
			o := users.Longest()
			since := time.Now().Add(-3 * time.Second)
			if since.Before(cut) || o != nil && (o.Open || o.Ended.After(since)) || writes.Succeeded(since) < 20 {
				return fmt.Errorf("outage %+v, %d writes; %v", o, writes.Succeeded(since), writes.Trouble())
			}
			return nil
		})
		gap := writes.Gap(cut)
		writes.Stop()
		users.Stop()
		longest := 0.0
		if o := users.Longest(); o != nil {
			longest = o.UpperMS
		}
		t.Logf("without %s: users down for at most %.0f ms, writes for %.0f ms", holder, longest, float64(gap.Milliseconds()))
		if longest > 2000 || gap > 4*time.Second {
			t.Errorf("without %s users were down for up to %.0f ms, writes for %s", holder, longest, gap)
		}
		l.Zdl(t, "node", "power-on", holder)
		waitFor(t, holder+" is back", 20*time.Second, func(ctx context.Context) error {
			resp, err := l.HTTP("outside", time.Second).Get(fmt.Sprintf("http://%s:%d/healthz", machineAddress(holder), edge.StatsPort))
			if err == nil {
				resp.Body.Close()
			}
			return err
		})
	}
}

// waitHolder waits until exactly one load balancer has the address.
func waitHolder(t *testing.T, l *harness.Lab, address string) string {
	t.Helper()
	var holder string
	waitFor(t, "one load balancer holds "+address, 20*time.Second, func(context.Context) error {
		var holders []string
		for _, name := range loadBalancers {
			found, err := l.HolderOf(address, name)
			if err != nil {
				return err
			}
			if found != "" {
				holders = append(holders, found)
			}
		}
		if len(holders) != 1 {
			return fmt.Errorf("held by %v", holders)
		}
		holder = holders[0]
		return nil
	})
	return holder
}

func machineAddress(name string) string {
	return shape().Machine(name).Addr().String()
}

func TestNodeListShowsEveryMachineAndItsPower(t *testing.T) {
	l := lab(t)
	var rows []struct {
		Name, Zone, Power, Address string
		Ready                      bool
	}
	l.ZdlJSON(t, &rows, "node", "list")
	var got []string
	for _, r := range rows {
		got = append(got, r.Name)
		if r.Power != "on" || !r.Ready || r.Address == "" || r.Zone == "" {
			t.Errorf("%+v", r)
		}
	}
	want := append(append([]string{}, controlPlanes...), workers...)
	sort.Strings(want)
	sort.Strings(got)
	if !slices.Equal(got, want) {
		t.Errorf("zdl node list shows %v, want %v", got, want)
	}
}

package faults

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/fault"
	"zdl/internal/topology"
	"zdl/test/harness"
)

// runsNone wants that no process of a name runs on the machine that was struck.
func runsNone(name string) check {
	return func(t *testing.T, lab *harness.Lab, a fault.Attack) {
		all, err := lab.Processes(a.Targets[0].Node)
		if err != nil {
			t.Fatal(err)
		}
		if anyNamed(all, name) {
			t.Errorf("%s still runs on %s: %v", name, a.Targets[0].Node, all)
		}
	}
}

// ofZone are the nodes of the zone that was struck.
func ofZone(a fault.Attack) (out []string) {
	for _, m := range wiring().Nodes() {
		if m.Zone == a.Targets[0].Zone {
			out = append(out, m.Name)
		}
	}
	return out
}

// hasNoProcess wants that nothing at all runs on the machines that were struck.
func hasNoProcess(t *testing.T, lab *harness.Lab, a fault.Attack) {
	var off []string
	for _, target := range a.Targets {
		off = append(off, target.Name)
	}
	if a.Targets[0].Type == "zone" {
		off = ofZone(a)
	}
	for _, name := range off {
		if all, err := lab.Processes(name); err != nil || len(all) > 0 {
			t.Errorf("%s is off, and %v runs there (%v)", name, all, err)
		}
	}
}

// isGone wants the pod that was struck to be replaced by another.
func isGone(t *testing.T, lab *harness.Lab, a fault.Attack) {
	namespace, name, _ := strings.Cut(a.Targets[0].Name, "/")
	eventually(t, "the pod "+name+" is gone", func(ctx context.Context) error {
		pod, err := lab.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("it is %s, deleted at %v", pod.Status.Phase, pod.DeletionTimestamp)
		}
		return err
	})
}

// isSilent wants the pod that was struck to accept a request and not to answer it.
func isSilent(t *testing.T, lab *harness.Lab, a fault.Attack) {
	namespace, name, _ := strings.Cut(a.Targets[0].Name, "/")
	pod, err := lab.Client.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := lab.HTTP("outside", time.Second).Get("http://" + pod.Status.PodIP + ":8080/")
	if err == nil {
		resp.Body.Close()
		t.Errorf("%s answers %s although it is frozen", name, resp.Status)
	} else if n := net.Error(nil); !errors.As(err, &n) || !n.Timeout() {
		t.Errorf("%s: %v, want silence", name, err)
	}
}

// isNotReady wants the pod that was struck to lose its readiness, and with it
// the users.
func isNotReady(t *testing.T, lab *harness.Lab, a fault.Attack) {
	namespace, name, _ := strings.Cut(a.Targets[0].Name, "/")
	eventually(t, "the pod "+name+" is not ready", func(ctx context.Context) error {
		pod, err := lab.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range pod.Status.ContainerStatuses {
			if c.Ready {
				return fmt.Errorf("%s is ready: %+v", c.Name, c.State)
			}
		}
		return nil
	})
}

// proxyAnswers wants kube-proxy of the node to tell its health, or not to.
func proxyAnswers(want bool) check {
	return func(t *testing.T, lab *harness.Lab, a fault.Attack) {
		eventually(t, fmt.Sprintf("kube-proxy on %s answers: %v", a.Targets[0].Name, want), func(context.Context) error {
			resp, err := lab.HTTP(a.Targets[0].Name, time.Second).Get("http://127.0.0.1:10256/livez")
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != want {
				return fmt.Errorf("it does not: %v", err)
			}
			return nil
		})
	}
}

// bootID is that of a node as its kubelet has reported it.
func bootID(ctx context.Context, lab *harness.Lab, node string) (string, error) {
	n, err := lab.Client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return n.Status.NodeInfo.BootID, nil
}

// silentAPI wants one API server not to answer while the virtual IP does.
func silentAPI(t *testing.T, lab *harness.Lab, a fault.Attack) {
	m := wiring().Machine(a.Targets[0].Node)
	client := lab.HTTP("outside", time.Second)
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	if resp, err := client.Get(fmt.Sprintf("https://%s:%d/readyz", m.Addr(), topology.APIPort)); err == nil {
		resp.Body.Close()
		t.Errorf("the API server on %s answers %s although it is frozen", m.Name, resp.Status)
	}
	eventually(t, "the API answers through its virtual IP", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		_, err := lab.Client.CoreV1().Namespaces().Get(ctx, "web", metav1.GetOptions{})
		return err
	})
}

// hangs wants that a machine accepts no command within a second.
func hangs(t *testing.T, lab *harness.Lab, a fault.Attack) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if r := lab.TryShell(ctx, a.Targets[0].Name, "true"); r.Code == 0 {
		t.Errorf("%s runs commands although it is frozen", a.Targets[0].Name)
	}
}

// wandered wants the users' virtual IP to be seen on two load balancers.
func wandered(t *testing.T, lab *harness.Lab, _ fault.Attack) {
	var names []string
	for _, m := range wiring().Of(topology.KindEdge) {
		names = append(names, m.Name)
	}
	seen := map[string]bool{}
	eventually(t, "the users' virtual IP moves to and fro", func(context.Context) error {
		holder, err := lab.HolderOf(topology.UserVIP.String(), names...)
		if err != nil {
			return err
		}
		if holder != "" {
			seen[holder] = true
		}
		if len(seen) < 2 {
			return fmt.Errorf("it was seen on %v only", seen)
		}
		return nil
	})
}

// startsAgain wants the kubelet to have started the pod's container after the
// attack. component is that of a static pod, "" for the pod that was struck.
func startsAgain(component string) check {
	return func(t *testing.T, lab *harness.Lab, a fault.Attack) {
		namespace, name, _ := strings.Cut(a.Targets[0].Name, "/")
		if component != "" {
			namespace, name = "kube-system", component+"-"+a.Targets[0].Node
		}
		harness.Eventually(t, "the container of "+name+" was started again", 2*time.Minute, func(ctx context.Context) error {
			pod, err := lab.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, c := range pod.Status.ContainerStatuses {
				// Kubernetes tells whole seconds.
				if c.State.Running == nil || c.State.Running.StartedAt.Time.Before(a.Asked.Truncate(time.Second)) || !c.Ready {
					return fmt.Errorf("%s: ready %v, %d restarts, %+v", c.Name, c.Ready, c.RestartCount, c.State)
				}
			}
			return nil
		})
	}
}

// noLeader wants an etcd member that still runs to have lost its leader.
func noLeader(t *testing.T, lab *harness.Lab, _ fault.Attack) {
	eventually(t, "no etcd member knows a leader", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		for _, m := range wiring().Of(topology.KindControlPlane) {
			if lab.EtcdHasLeader(ctx, m.Name) == nil {
				return errors.New(m.Name + " has one")
			}
		}
		return nil
	})
}

func TestProcessesOfPods(t *testing.T) {
	runAll(t, []scenario{
		{kind: "pod-kill", target: "any", effect: isGone},
		{kind: "container-kill", target: "any", effect: startsAgain("")},
		{kind: "pod-freeze", target: "any", effect: isSilent},
		{kind: "pod-failure", target: "any", effect: isNotReady, recover: 2 * time.Minute},
		{kind: "coredns-kill", effect: startsAgain("")},
		{kind: "ingress-controller-kill", effect: startsAgain("")},
	})
}

func TestProcessesOfNodes(t *testing.T) {
	var boot string
	runAll(t, []scenario{
		{kind: "kubelet-stop", target: "worker-1", effect: runsNone("kubelet")},
		{kind: "runtime-stop", target: "worker-1", effect: runsNone("containerd")},
		{kind: "kube-proxy-stop", target: "worker-1", effect: proxyAnswers(false), after: proxyAnswers(true)},
		{kind: "node-freeze", target: "worker-1", effect: hangs},
		{kind: "node-reboot", target: "worker-1", recover: 2 * time.Minute, pick: func(t *testing.T, lab *harness.Lab) string {
			var err error
			if boot, err = bootID(t.Context(), lab, "worker-1"); err != nil {
				t.Fatal(err)
			}
			return "worker-1"
		}, effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
			eventually(t, "the kubelet of worker-1 reports another boot", func(ctx context.Context) error {
				now, err := bootID(ctx, lab, "worker-1")
				if err == nil && now == boot {
					err = errors.New("it is the same")
				}
				return err
			})
		}},
		{kind: "node-power-off", target: "worker-1", effect: hasNoProcess, recover: 2 * time.Minute},
		{kind: "zone-power-off", target: "any", effect: hasNoProcess, recover: 2 * time.Minute},
	})
}

// named is a process of a machine, or none.
func named(t *testing.T, lab *harness.Lab, machine, name string) harness.Process {
	t.Helper()
	all, err := lab.Processes(machine)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Name == name {
			return p
		}
	}
	return harness.Process{}
}

func TestProcessesOfTheEdge(t *testing.T) {
	var haproxy harness.Process
	runAll(t, []scenario{
		{kind: "lb-process-kill", pick: func(t *testing.T, lab *harness.Lab) string {
			holder, err := lab.HolderOf(topology.UserVIP.String(), "lb-1", "lb-2")
			if err != nil {
				t.Fatal(err)
			}
			haproxy = named(t, lab, holder, "haproxy")
			return holder
		}, effect: func(t *testing.T, lab *harness.Lab, a fault.Attack) {
			eventually(t, "another HAProxy runs", func(context.Context) error {
				if now := named(t, lab, a.Targets[0].Name, "haproxy"); now.PID == 0 || haproxy.Alive() {
					return fmt.Errorf("%v was killed, %v runs", haproxy, now)
				}
				return nil
			})
		}},
		{kind: "vip-flap", params: map[string]string{"interval": "1s"}, effect: wandered},
		{kind: "edge-power-off", effect: hasNoProcess},
		{kind: "router-down", effect: hasNoProcess},
	})
}

func TestProcessesOfTheControlPlane(t *testing.T) {
	runAll(t, []scenario{
		{kind: "apiserver-kill", effect: startsAgain("kube-apiserver")},
		{kind: "apiserver-freeze", target: "cp-2", effect: silentAPI},
		{kind: "scheduler-leader-kill", effect: startsAgain("kube-scheduler")},
		{kind: "controller-manager-leader-kill", effect: startsAgain("kube-controller-manager")},
		// Before the kills: it wants every member's container to run.
		{kind: "etcd-quorum-loss", effect: noLeader},
		{kind: "etcd-member-kill", effect: startsAgain("etcd")},
		{kind: "etcd-leader-kill", effect: startsAgain("etcd")},
	})
}

func TestProcessFaultsThatCannotBeAreRefused(t *testing.T) {
	lab := healthy(t)
	refused(t, lab, "static pod", "attack", "pod-kill", "kube-system/kube-apiserver-cp-1")
	refused(t, lab, "below 500ms", "attack", "vip-flap", "-p", "interval=1ms")
	refused(t, lab, "strikes the leader", "attack", "etcd-leader-kill", "cp-1")
	refused(t, lab, "no running container", "attack", "container-kill", "any", "-p", "container=nobody")
}

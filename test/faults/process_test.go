package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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
		for _, p := range all {
			if p.Name == name {
				t.Errorf("%s still runs on %s", p, a.Targets[0].Node)
			}
		}
	}
}

// hasNoProcess wants that nothing at all runs on the machines that were struck.
func hasNoProcess(t *testing.T, lab *harness.Lab, a fault.Attack) {
	for _, target := range a.Targets {
		if all, err := lab.Processes(target.Name); err != nil || len(all) > 0 {
			t.Errorf("%s is off, and %v runs there (%v)", target.Name, all, err)
		}
	}
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
		{kind: "pod-kill", target: "any"},
		{kind: "container-kill", target: "any", effect: startsAgain("")},
		{kind: "pod-freeze", target: "any"},
		{kind: "pod-failure", target: "any", recover: 2 * time.Minute},
		{kind: "coredns-kill", effect: startsAgain("")},
		{kind: "ingress-controller-kill", effect: startsAgain("")},
	})
}

func TestProcessesOfNodes(t *testing.T) {
	runAll(t, []scenario{
		{kind: "kubelet-stop", target: "worker-1", effect: runsNone("kubelet")},
		{kind: "runtime-stop", target: "worker-1", effect: runsNone("containerd")},
		{kind: "kube-proxy-stop", target: "worker-1"},
		{kind: "node-freeze", target: "worker-1", effect: hangs},
		{kind: "node-reboot", target: "worker-1", recover: 2 * time.Minute},
		{kind: "node-power-off", target: "worker-1", effect: hasNoProcess, recover: 2 * time.Minute},
		{kind: "zone-power-off", target: "any", recover: 2 * time.Minute},
	})
}

func TestProcessesOfTheEdge(t *testing.T) {
	runAll(t, []scenario{
		{kind: "lb-process-kill"},
		{kind: "vip-flap", params: map[string]string{"interval": "1s"}, effect: wandered},
		{kind: "edge-power-off", effect: hasNoProcess},
		{kind: "router-down", effect: hasNoProcess},
	})
}

func TestProcessesOfTheControlPlane(t *testing.T) {
	runAll(t, []scenario{
		{kind: "apiserver-kill", effect: startsAgain("kube-apiserver")},
		{kind: "apiserver-freeze", target: "cp-2"},
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

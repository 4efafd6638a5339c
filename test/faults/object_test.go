package faults

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"zdl/internal/fault"
	"zdl/test/harness"
)

// Faults of cluster objects, seen by users or by kubectl.
func TestObjectFaults(t *testing.T) {
	runAll(t, []scenario{
		{kind: "scale-to-zero", effect: usersGet(http.StatusServiceUnavailable)},
		{kind: "scale-to-zero", target: "web/web", params: map[string]string{"replicas": "1"}, effect: kubectlSays("1", "-n", "web", "get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")},
		{kind: "selector-mismatch", effect: usersGet(http.StatusServiceUnavailable)},
		{kind: "network-policy-deny", effect: usersGet(http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout)},
		{kind: "ingress-route-lost", params: map[string]string{"how": "host"}, effect: usersGet(http.StatusNotFound)},
		{kind: "ingress-route-lost", params: map[string]string{"how": "service"}, effect: usersGet(http.StatusNotFound)},
		{kind: "ingress-route-lost", params: map[string]string{"how": "delete"}, effect: usersGet(http.StatusNotFound)},
		{kind: "bad-image-rollout", effect: stuckRollout("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull")},
		{kind: "secret-missing-key", effect: stuckRollout("CreateContainerConfigError")},
		{kind: "configmap-broken", effect: stuckRollout("CrashLoopBackOff", "Error")},
		{kind: "resource-quota", effect: podsAreNotReplaced},
		{kind: "service-account-revoked", effect: may("no", "kube-system:skipper-ingress", "list", "ingresses.networking.k8s.io"), after: may("yes", "kube-system:skipper-ingress", "list", "ingresses.networking.k8s.io")},
		{kind: "service-account-revoked", target: "kube-system/coredns", effect: may("no", "kube-system:coredns", "list", "services"), after: may("yes", "kube-system:coredns", "list", "services")},
		{kind: "taint", target: "worker-1", params: map[string]string{"effect": "NoExecute", "key": "test"}, effect: nodeIsEmptyOf("worker-1", "web")},
		{kind: "webhook-hang", params: map[string]string{"timeout": "2"}, effect: creationHangs(2 * time.Second)},
	})
}

func TestNodesAreCordonedAndDrained(t *testing.T) {
	runAll(t, []scenario{
		{kind: "node-cordon", target: "worker-1", effect: kubectlSays("true", "get", "node", "worker-1", "-o", "jsonpath={.spec.unschedulable}")},
		{kind: "node-drain", target: "worker-1", effect: nodeIsEmptyOf("worker-1", "web")},
	})
}

// A pod that nobody would make anew is evicted only by force, and is made anew
// when the drain is undone.
func TestAPodWithoutAControllerIsDrainedByForceOnly(t *testing.T) {
	lab := healthy(t)
	lab.Namespace(t, "bare")
	lab.Apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: alone, namespace: bare, labels: {kept: "yes"}}
spec:
  nodeName: worker-2
  terminationGracePeriodSeconds: 1
  containers: [{name: sleep, image: %q, command: [sleep, "100000"]}]
`, lab.Image(t, "toolbox")))
	lab.WaitPods(t, "bare", "kept=yes", 1, time.Minute)
	refused(t, lab, "no controller", "attack", "node-drain", "worker-2")
	run(t, scenario{kind: "node-drain", target: "worker-2", params: map[string]string{"force": "true"}, effect: nodeIsEmptyOf("worker-2", "bare"),
		after: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
			pod := lab.WaitPods(t, "bare", "kept=yes", 1, time.Minute)[0]
			if pod.Name != "alone" || pod.Spec.NodeName != "worker-2" {
				t.Errorf("it was made anew as %s on %s, want as it was", pod.Name, pod.Spec.NodeName)
			}
		}})
}

func TestALeaderThatLosesItsLeaseGivesUp(t *testing.T) {
	held := func(component string) func(*testing.T, *harness.Lab, fault.Attack) {
		return func(t *testing.T, lab *harness.Lab, a fault.Attack) {
			kubectlSays("zdl-"+a.ID, "-n", "kube-system", "get", "lease", component, "-o", "jsonpath={.spec.holderIdentity}")(t, lab, a)
		}
	}
	runAll(t, []scenario{
		{kind: "lease-loss", target: "kube-scheduler", effect: held("kube-scheduler")},
		{kind: "lease-loss", target: "kube-controller-manager", effect: held("kube-controller-manager")},
	})
}

func TestObjectFaultsThatCannotBeAreRefused(t *testing.T) {
	lab := healthy(t)
	refused(t, lab, "No deployment matches", "attack", "scale-to-zero", "nothing")
	refused(t, lab, "0 to 100", "attack", "scale-to-zero", "web", "-p", "replicas=-1")
	refused(t, lab, "like that already", "attack", "scale-to-zero", "web", "-p", "replicas=3")
	refused(t, lab, "cannot be a taint", "attack", "taint", "worker-1", "-p", "key=no key")
	refused(t, lab, "1 to 30", "attack", "webhook-hang", "web", "-p", "timeout=31")
	refused(t, lab, "cluster's own", "attack", "webhook-hang", "kube-system")
	refused(t, lab, "No role binding", "attack", "service-account-revoked", "web/web")
	refused(t, lab, "does not use", "attack", "secret-missing-key", "web", "-p", "secret=none")
}

// What somebody else changes while a fault lasts is not overwritten by its undo,
// which says so.
func TestAnUndoLeavesWhatSomebodyElseChanged(t *testing.T) {
	lab := healthy(t)
	a := attack(t, lab, scenario{kind: "scale-to-zero", target: "web", params: map[string]string{"replicas": "1"}})
	lab.Kubectl(t, "-n", "web", "scale", "deployment", "web", "--replicas=2")
	a = heal(t, lab, a.ID)
	if len(a.Residue) != 1 || !strings.Contains(a.Residue[0], "spec.replicas") {
		t.Errorf("residue %q, want the replicas that somebody else set", a.Residue)
	}
	if got := lab.Kubectl(t, "-n", "web", "get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"); got != "2" {
		t.Errorf("the undo set %s replicas, want the 2 that somebody else set", got)
	}
	lab.Kubectl(t, "-n", "web", "scale", "deployment", "web", "--replicas=3")
	lab.WaitHealthy(t, time.Minute)
}

type check = func(*testing.T, *harness.Lab, fault.Attack)

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func(ctx context.Context) error) {
	t.Helper()
	if err := harness.Until(t.Context(), what, 45*time.Second, condition); err != nil {
		t.Error(err)
	}
}

func usersGet(statuses ...int) check {
	return func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
		eventually(t, fmt.Sprintf("users get %v", statuses), func(ctx context.Context) error {
			a, err := lab.Ask(ctx)
			if err != nil {
				return err
			}
			for _, s := range statuses {
				if a.Status == s {
					return nil
				}
			}
			return fmt.Errorf("status %d", a.Status)
		})
	}
}

func kubectlSays(want string, args ...string) check {
	return func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
		if got := strings.TrimSpace(lab.Kubectl(t, args...)); got != want {
			t.Errorf("kubectl %s says %q, want %q", strings.Join(args, " "), got, want)
		}
	}
}

// stuckRollout wants a new pod of web to wait for one of these reasons, while
// users are served.
func stuckRollout(reasons ...string) check {
	return func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
		eventually(t, fmt.Sprintf("a pod is in %v", reasons), func(ctx context.Context) error {
			r := lab.TryKubectl(ctx, nil, "-n", "web", "get", "pods", "--no-headers")
			for _, reason := range reasons {
				if strings.Contains(r.Stdout, reason) {
					return nil
				}
			}
			return fmt.Errorf("the pods are\n%s%s", r.Stdout, r.Stderr)
		})
		if a, err := lab.Ask(t.Context()); err != nil || a.Status != http.StatusOK {
			t.Errorf("users get %d, %v, although the rollout must leave the old pods alone", a.Status, err)
		}
	}
}

func podsAreNotReplaced(t *testing.T, lab *harness.Lab, _ fault.Attack) {
	// All of them: a single one might be a pod that is ending already.
	lab.Kubectl(t, "-n", "web", "delete", "pods", "--all", "--wait=false")
	eventually(t, "the replicaset may not replace a pod", func(ctx context.Context) error {
		r := lab.TryKubectl(ctx, nil, "-n", "web", "get", "replicasets", "-o", "jsonpath={.items[*].status.conditions[*].message}")
		if !strings.Contains(r.Stdout, "exceeded quota") {
			return fmt.Errorf("its conditions say %q", r.Stdout)
		}
		return nil
	})
}

func may(want, account, verb, resource string) check {
	return func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
		eventually(t, account+" may "+verb+" "+resource+": "+want, func(ctx context.Context) error {
			r := lab.TryKubectl(ctx, nil, "auth", "can-i", verb, resource, "--as=system:serviceaccount:"+account)
			if got := strings.TrimSpace(r.Stdout); got != want {
				return fmt.Errorf("kubectl says %q %s", got, r.Stderr)
			}
			return nil
		})
	}
}

func nodeIsEmptyOf(node, namespace string) check {
	return func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
		eventually(t, "no pod of "+namespace+" is on "+node, func(ctx context.Context) error {
			r := lab.TryKubectl(ctx, nil, "-n", namespace, "get", "pods", "--no-headers", "--field-selector=spec.nodeName="+node)
			if r.Code != 0 || strings.TrimSpace(r.Stdout) != "" {
				return fmt.Errorf("there are\n%s%s", r.Stdout, r.Stderr)
			}
			return nil
		})
	}
}

// creationHangs wants kubectl to be kept waiting for the webhook's timeout.
func creationHangs(timeout time.Duration) check {
	return func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
		begin := time.Now()
		r := lab.TryKubectl(t.Context(), nil, "-n", "web", "run", "trial", "--image=none", "--dry-run=server")
		if waited := time.Since(begin); r.Code == 0 || waited < timeout || !strings.Contains(r.Stderr, "webhook") {
			t.Errorf("kubectl run: exit %d after %v, want a failure of the webhook after %v\n%s", r.Code, waited, timeout, r.Stderr)
		}
	}
}

package ha

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// A policy acts on connections within a node and between zones alike, and only
// on the pods that it selects.
func TestNetworkPolicyDeniesAndAllowsAgain(t *testing.T) {
	l := lab(t)
	const ns = "t-policy"
	l.Namespace(t, ns)
	l.Apply(t, toolbox(t, l, ns, "server", serve, onNode(workers[0]))+
		toolbox(t, l, ns, "bystander", serve, onNode(workers[0]))+
		toolbox(t, l, ns, "near", "sleep 3600", onNode(workers[0]))+
		toolbox(t, l, ns, "far", "sleep 3600", onNode(workers[1])))
	address := map[string]string{}
	for _, name := range []string{"server", "bystander", "near", "far"} {
		address[name] = l.WaitPods(t, ns, "app="+name, 1, time.Minute)[0].Status.PodIP
	}
	reach := func(ctx context.Context, from, to string) error {
		r := l.TryKubectl(ctx, nil, "-n", ns, "exec", from, "--", "timeout", "2", "wget", "-q", "-O", "-", "http://"+address[to]+":8080/")
		if r.Code != 0 {
			return fmt.Errorf("%s does not reach %s: %s", from, to, r.Stderr)
		}
		return nil
	}
	all := func(ctx context.Context) error {
		for _, from := range []string{"near", "far"} {
			for _, to := range []string{"server", "bystander"} {
				if err := reach(ctx, from, to); err != nil {
					return err
				}
			}
		}
		return nil
	}
	waitFor(t, "everybody reaches everybody without a policy", 30*time.Second, all)

	const deny = `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: t-policy},
  spec: {podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}}`
	l.Apply(t, deny)
	for _, from := range []string{"near", "far"} {
		waitFor(t, "the policy denies "+from, 20*time.Second, func(ctx context.Context) error {
			if reach(ctx, from, "server") == nil {
				return fmt.Errorf("%s still reaches the server", from)
			}
			return nil
		})
		if err := reach(t.Context(), from, "bystander"); err != nil {
			t.Errorf("the policy hit a pod that it does not select: %v", err)
		}
	}

	l.Apply(t, `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: let-far-in, namespace: t-policy},
  spec: {podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: far}}}], ports: [{port: 8080}]}]}}`)
	waitFor(t, "the second policy lets far in", 20*time.Second, func(ctx context.Context) error { return reach(ctx, "far", "server") })
	if reach(t.Context(), "near", "server") == nil {
		t.Error("a policy for far let near in")
	}

	l.Kubectl(t, "-n", ns, "delete", "networkpolicy", "--all")
	waitFor(t, "everybody reaches everybody again", 20*time.Second, all)
}

func TestNetworkPolicyDeniesEgress(t *testing.T) {
	l := lab(t)
	const ns = "t-egress"
	l.Namespace(t, ns)
	l.Apply(t, toolbox(t, l, ns, "server", serve, onNode(workers[2]))+toolbox(t, l, ns, "client", "sleep 3600", onNode(workers[1])))
	server := l.WaitPods(t, ns, "app=server", 1, time.Minute)[0].Status.PodIP
	l.WaitPods(t, ns, "app=client", 1, time.Minute)
	reach := func(ctx context.Context) error {
		if r := l.TryKubectl(ctx, nil, "-n", ns, "exec", "client", "--", "timeout", "2", "wget", "-q", "-O", "-", "http://"+server+":8080/"); r.Code != 0 {
			return fmt.Errorf("not reached: %s", r.Stderr)
		}
		return nil
	}
	waitFor(t, "the client reaches the server", 20*time.Second, reach)
	l.Apply(t, `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: stay, namespace: t-egress},
  spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Egress]}}`)
	waitFor(t, "the policy keeps the client in", 20*time.Second, func(ctx context.Context) error {
		if reach(ctx) == nil {
			return fmt.Errorf("still reached")
		}
		return nil
	})
}

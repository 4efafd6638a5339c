package step

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"zdl/internal/cluster/local/edge"
	"zdl/internal/fault"
	"zdl/test/apiserver"
)

// apiWorld is a world with an API server of its own, etcd below it and nothing
// else: no controller changes what a step does.
func apiWorld(t *testing.T) *World {
	t.Helper()
	// Nobody here makes a service account for pods.
	config := apiserver.Start(t, apiserver.Artifacts(t).Bin, "--disable-admission-plugins=ServiceAccount")
	config.QPS = -1
	w := &World{Config: func() (*rest.Config, error) { return config, nil }}
	until(t, "the API server is ready", func() error {
		kube, err := w.Kube()
		if err != nil {
			return err
		}
		if err := kube.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(t.Context()).Error(); err != nil {
			return err
		}
		_, err = kube.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return w
}

func until(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// TestObjectFaults runs everything that needs an API server against a single one.
func TestObjectFaults(t *testing.T) {
	w := apiWorld(t)
	t.Run("a patch is taken back, field by field", func(t *testing.T) { patchIsTakenBack(t, w) })
	t.Run("what somebody else changed is left alone", func(t *testing.T) { othersChangesStay(t, w) })
	t.Run("an object made anew is not touched", func(t *testing.T) { newObjectStays(t, w) })
	t.Run("other members of a list may change", func(t *testing.T) { otherMembersStay(t, w) })
	t.Run("a patch that changes nothing is refused", func(t *testing.T) {
		r := given(t, w, cm("same"), map[string]any{"data": map[string]any{"a": "1"}})
		if _, err := w.NewPatch(t.Context(), r, nil, Set("/data/a", "1")); !refused(err) {
			t.Errorf("got %v, want a refusal", err)
		}
	})
	t.Run("only objects of the attack are deleted", func(t *testing.T) { foreignObjectStays(t, w) })
	t.Run("a deleted object is made anew", func(t *testing.T) { deletedIsMadeAnew(t, w) })
	t.Run("a quota refuses pods", func(t *testing.T) { quotaRefuses(t, w) })
	t.Run("a lease is taken and freed", func(t *testing.T) { leaseIsTaken(t, w) })
	t.Run("a certificate is renewed, not put back", func(t *testing.T) { certificateIsRenewed(t, w) })
	t.Run("a revoked account is denied", func(t *testing.T) { revokedIsDenied(t, w) })
}

func cm(name string) Ref {
	return Ref{Version: "v1", Resource: "configmaps", Kind: "ConfigMap", Namespace: "default", Name: name}
}

func given(t *testing.T, w *World, r Ref, object map[string]any) Ref {
	t.Helper()
	o := unstructured.Unstructured{Object: object}
	o.SetAPIVersion(r.apiVersion())
	o.SetKind(r.Kind)
	o.SetName(r.Name)
	data, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.make(t.Context(), r, data, metav1.CreateOptions{FieldManager: "somebody"}); err != nil {
		t.Fatal(err)
	}
	return r
}

// somebody changes an object meanwhile.
func somebody(t *testing.T, w *World, r Ref, merge string) {
	t.Helper()
	resource, err := w.resource(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resource.Patch(t.Context(), r.Name, types.MergePatchType, []byte(merge), metav1.PatchOptions{FieldManager: "somebody"}); err != nil {
		t.Fatal(err)
	}
}

// revived is a step as the next daemon reads it from the journal.
func revived(t *testing.T, w *World, s fault.Step) fault.Step {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	again := w.Mechanics(s.Mechanism())
	if again == nil {
		t.Fatalf("mechanism %q is not registered", s.Mechanism())
	}
	if err := json.Unmarshal(data, again); err != nil {
		t.Fatal(err)
	}
	return again
}

func refused(err error) bool {
	_, ok := err.(*fault.Error)
	return ok
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func look(t *testing.T, w *World, r Ref) string {
	t.Helper()
	o, err := w.Object(t.Context(), r)
	must(t, "look", err)
	if o == nil {
		return "none"
	}
	data, err := manifest(o)
	must(t, "look", err)
	return string(data)
}

// roundTrip injects twice, undoes twice, each in another process, and wants
// everything to be as before.
func roundTrip(t *testing.T, w *World, s fault.Step, objects ...Ref) {
	t.Helper()
	ctx := t.Context()
	var before []string
	for _, r := range objects {
		before = append(before, look(t, w, r))
	}
	state, err := s.State(ctx)
	must(t, "state", err)
	must(t, "undo of what was not injected", revived(t, w, s).Undo(ctx))
	for i, r := range objects {
		if now := look(t, w, r); now != before[i] {
			t.Errorf("an undo without injection changed %s to\n%s, was\n%s", r, now, before[i])
		}
	}
	must(t, "inject", s.Inject(ctx))
	must(t, "inject again", revived(t, w, s).Inject(ctx))
	until(t, "verify", func() error { _, err := revived(t, w, s).Verify(ctx); return err })
	changed := false
	for i, r := range objects {
		changed = changed || look(t, w, r) != before[i]
	}
	if !changed {
		t.Error("nothing was changed")
	}
	must(t, "undo", revived(t, w, s).Undo(ctx))
	must(t, "undo again", revived(t, w, s).Undo(ctx))
	for i, r := range objects {
		if now := look(t, w, r); now != before[i] {
			t.Errorf("%s is now\n%s, was\n%s", r, now, before[i])
		}
	}
	after, err := s.State(ctx)
	must(t, "state", err)
	if fmt.Sprint(after) != fmt.Sprint(state) {
		t.Errorf("state %v, was %v", after, state)
	}
}

func patchIsTakenBack(t *testing.T, w *World) {
	r := given(t, w, cm("patched"), map[string]any{"metadata": map[string]any{"labels": map[string]any{"b/c": "2"}}, "data": map[string]any{"a": "1"}})
	p, err := w.NewPatch(t.Context(), r, nil, Set("/data/a", "x"), Field{Path: "/metadata/labels/b~1c"}, Set("/data/new", "y"), Set("/metadata/annotations/zdl.dev~1x", "z"))
	must(t, "plan", err)
	roundTrip(t, w, p, r)
	only := given(t, w, cm("emptied"), map[string]any{"data": map[string]any{"a": "1"}})
	last, err := w.NewPatch(t.Context(), only, nil, Field{Path: "/data/a"})
	must(t, "plan", err)
	roundTrip(t, w, last, only)
	if len(p.Touches()) != 4 {
		t.Errorf("touches %v", p.Touches())
	}
}

func othersChangesStay(t *testing.T, w *World) {
	r := given(t, w, cm("contested"), map[string]any{"data": map[string]any{"a": "1", "b": "2"}})
	p, err := w.NewPatch(t.Context(), r, nil, Set("/data/a", "x"), Set("/data/b", "x"))
	must(t, "plan", err)
	before, err := p.State(t.Context())
	must(t, "state", err)
	must(t, "inject", p.Inject(t.Context()))
	somebody(t, w, r, `{"data":{"b":"theirs"}}`)
	must(t, "undo", p.Undo(t.Context()))
	if got := look(t, w, r); !strings.Contains(got, `"data":{"a":"1","b":"theirs"}`) {
		t.Errorf("after the undo: %s", got)
	}
	after, err := p.State(t.Context())
	must(t, "state", err)
	if after["data.a of configmap default/contested"] != `"1"` || after["data.b of configmap default/contested"] == before["data.b of configmap default/contested"] {
		t.Errorf("state %v, was %v: want a residue for b only", after, before)
	}
	if err := p.Inject(t.Context()); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("an injection over somebody else's change: %v", err)
	}
}

func newObjectStays(t *testing.T, w *World) {
	r := given(t, w, cm("replaced"), map[string]any{"data": map[string]any{"a": "1"}})
	p, err := w.NewPatch(t.Context(), r, nil, Set("/data/a", "x"))
	must(t, "plan", err)
	must(t, "inject", p.Inject(t.Context()))
	must(t, "delete", w.drop(t.Context(), r, p.UID, metav1.DeletePropagationBackground))
	must(t, "undo of what is gone", p.Undo(t.Context()))
	if got := look(t, w, r); got != "none" {
		t.Errorf("the undo made it anew: %s", got)
	}
	given(t, w, r, map[string]any{"data": map[string]any{"a": "x"}})
	must(t, "undo of another", p.Undo(t.Context()))
	if got := look(t, w, r); !strings.Contains(got, `"a":"x"`) {
		t.Errorf("the undo changed another object: %s", got)
	}
	if err := p.Inject(t.Context()); err == nil {
		t.Error("the injection into another object succeeded")
	}
}

func otherMembersStay(t *testing.T, w *World) {
	ctx := t.Context()
	node := given(t, w, Ref{Version: "v1", Resource: "nodes", Kind: "Node", Name: "n1"}, map[string]any{"spec": map[string]any{"taints": []any{map[string]any{"key": "there", "effect": "NoSchedule"}}}})
	add, err := w.NewPatch(ctx, node, nil, AddMember("/spec/taints", map[string]any{"key": "zdl", "effect": "NoSchedule"}))
	must(t, "plan", err)
	roundTrip(t, w, add, node)
	remove, err := w.NewPatch(ctx, node, nil, RemoveMember("/spec/taints", map[string]any{"key": "there", "effect": "NoSchedule"}))
	must(t, "plan", err)
	roundTrip(t, w, remove, node)

	must(t, "inject", add.Inject(ctx))
	somebody(t, w, node, `{"spec":{"taints":[{"key":"other","effect":"NoSchedule"},{"key":"zdl","effect":"NoSchedule"},{"key":"there","effect":"NoSchedule"}]}}`)
	must(t, "undo", add.Undo(ctx))
	if got := look(t, w, node); strings.Contains(got, `"key":"zdl"`) || !strings.Contains(got, `"key":"other"`) || !strings.Contains(got, `"key":"there"`) {
		t.Errorf("after the undo: %s", got)
	}
}

func foreignObjectStays(t *testing.T, w *World) {
	ctx := t.Context()
	made, err := w.NewCreate(cm("made"), "f1", map[string]any{"data": map[string]any{"a": "1"}}, nil)
	must(t, "plan", err)
	roundTrip(t, w, made, cm("made"))
	given(t, w, cm("made"), map[string]any{"data": map[string]any{"theirs": "1"}})
	if err := made.Inject(ctx); err == nil {
		t.Error("the injection took somebody else's object for its own")
	}
	must(t, "undo", made.Undo(ctx))
	if look(t, w, cm("made")) == "none" {
		t.Error("the undo deleted somebody else's object")
	}
}

func deletedIsMadeAnew(t *testing.T, w *World) {
	r := given(t, w, cm("deleted"), map[string]any{"data": map[string]any{"a": "1"}, "metadata": map[string]any{"labels": map[string]any{"l": "1"}}})
	d, err := w.NewDelete(t.Context(), r)
	must(t, "plan", err)
	roundTrip(t, w, d, r)
}

func quotaRefuses(t *testing.T, w *World) {
	r := Ref{Version: "v1", Resource: "resourcequotas", Kind: "ResourceQuota", Namespace: "default", Name: "zdl-f2"}
	q, err := w.NewCreate(r, "f2", map[string]any{"spec": map[string]any{"hard": map[string]any{"pods": "0"}}}, &Proof{PodRefused: "zdl-f2"})
	must(t, "plan", err)
	must(t, "inject", q.Inject(t.Context()))
	// The quota controller, which is not here, writes the status that admission goes by.
	resource, err := w.resource(r)
	must(t, "status", err)
	_, err = resource.Patch(t.Context(), r.Name, types.MergePatchType, []byte(`{"status":{"hard":{"pods":"0"},"used":{"pods":"0"}}}`), metav1.PatchOptions{}, "status")
	must(t, "status", err)
	until(t, "a pod is refused", func() error { _, err := q.Verify(t.Context()); return err })
	must(t, "undo", revived(t, w, q).Undo(t.Context()))
	until(t, "pods can be created again", func() error {
		return w.make(t.Context(), Pods.In("default", ""), TrialPod("default"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	})
}

func leaseIsTaken(t *testing.T, w *World) {
	ctx := t.Context()
	r := given(t, w, Ref{Group: "coordination.k8s.io", Version: "v1", Resource: "leases", Kind: "Lease", Namespace: "default", Name: "elected"},
		map[string]any{"spec": map[string]any{"holderIdentity": "n1_uuid", "leaseDurationSeconds": int64(15)}})
	s, err := w.NewLease(ctx, r, "f3", 10*time.Second, func(holder string) Ref { return Pods.In("default", "none-"+holder) })
	must(t, "plan", err)
	must(t, "inject", s.Inject(ctx))
	if got := look(t, w, r); !strings.Contains(got, `"holderIdentity":"zdl-f3"`) || !strings.Contains(got, `"leaseDurationSeconds":40`) {
		t.Errorf("taken: %s", got)
	}
	evidence, err := s.Verify(ctx)
	must(t, "verify", err)
	if !strings.Contains(evidence, "n1_uuid") {
		t.Errorf("evidence %q names no former holder", evidence)
	}
	must(t, "undo", revived(t, w, s).Undo(ctx))
	if got := look(t, w, r); strings.Contains(got, "zdl-f3") || !strings.Contains(got, `"leaseDurationSeconds":15`) {
		t.Errorf("freed: %s", got)
	}
	somebody(t, w, r, `{"spec":{"holderIdentity":"n2_uuid"}}`)
	must(t, "undo again", s.Undo(ctx))
	if got := look(t, w, r); !strings.Contains(got, "n2_uuid") {
		t.Errorf("the undo took the lease from its new holder: %s", got)
	}
}

func revokedIsDenied(t *testing.T, w *World) {
	ctx := t.Context()
	rbac := Ref{Group: "rbac.authorization.k8s.io", Version: "v1"}
	role, binding := rbac, rbac
	role.Resource, role.Kind, role.Name = "clusterroles", "ClusterRole", "reader"
	binding.Resource, binding.Kind, binding.Name = "clusterrolebindings", "ClusterRoleBinding", "reader"
	given(t, w, role, map[string]any{"rules": []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"list"}}}})
	subject := map[string]any{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}
	given(t, w, binding, map[string]any{"roleRef": map[string]any{"apiGroup": rbac.Group, "kind": "ClusterRole", "name": "reader"}, "subjects": []any{subject}})
	access := &Access{User: "system:serviceaccount:default:reader", Verb: "list", Resource: "pods"}
	until(t, "the account is allowed", func() error {
		if _, err := w.denied(ctx, access); err == nil {
			return fmt.Errorf("it is denied")
		}
		return nil
	})
	p, err := w.NewPatch(ctx, binding, &Proof{Denied: access}, RemoveMember("/subjects", subject))
	must(t, "plan", err)
	roundTrip(t, w, p, binding)
}

func certificateIsRenewed(t *testing.T, w *World) {
	ctx := t.Context()
	authority, err := edge.NewAuthority("test")
	must(t, "authority", err)
	issue := func(from, until time.Duration) KeyPair {
		cert, key, err := authority.Issue("a.test", time.Now().Add(from), time.Now().Add(until))
		must(t, "issue", err)
		return KeyPair{cert, key}
	}
	first, bad, renewed := issue(-3*time.Hour, time.Hour), issue(-2*time.Hour, -time.Hour), issue(-time.Hour, time.Hour)
	r := Ref{Version: "v1", Resource: "secrets", Kind: "Secret", Namespace: "default", Name: "served"}
	holds := func(want KeyPair) {
		t.Helper()
		o, err := w.Object(ctx, r)
		must(t, "look", err)
		if string(secretBytes(o, secretCert)) != string(want.Cert) || string(secretBytes(o, secretKey)) != string(want.Key) {
			t.Errorf("the secret holds something else: %s", o.Object["data"])
		}
	}
	given(t, w, r, map[string]any{"type": "kubernetes.io/tls", "data": map[string]any{"tls.crt": first.Cert, "tls.key": first.Key}})
	s, err := w.NewIngressCertificate(ctx, r, IngressCertificate{Host: "a.test", Roots: authority.PEM, Bad: bad, Renewed: renewed})
	must(t, "plan", err)
	before, err := s.State(ctx)
	must(t, "state", err)
	must(t, "undo of what was not injected", revived(t, w, s).Undo(ctx))
	holds(first)
	must(t, "inject", s.Inject(ctx))
	must(t, "inject again", revived(t, w, s).Inject(ctx))
	holds(bad)
	during, err := s.State(ctx)
	must(t, "state", err)
	if fmt.Sprint(during) == fmt.Sprint(before) || !strings.Contains(fmt.Sprint(during), "expired") {
		t.Errorf("with an expired certificate its state is %v, as before", during)
	}
	if _, err := w.NewIngressCertificate(ctx, r, IngressCertificate{Host: "a.test", Roots: authority.PEM, Bad: first, Renewed: renewed}); !refused(err) {
		t.Errorf("of a bad certificate another was planned: %v", err)
	}
	must(t, "undo", revived(t, w, s).Undo(ctx))
	must(t, "undo again", revived(t, w, s).Undo(ctx))
	holds(renewed)
	after, err := s.State(ctx)
	must(t, "state", err)
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("state %v, was %v", after, before)
	}

	must(t, "theirs", w.drop(ctx, r, string(s.(*IngressCertificate).UID), metav1.DeletePropagationBackground))
	given(t, w, r, map[string]any{"type": "kubernetes.io/tls", "data": map[string]any{"tls.crt": bad.Cert, "tls.key": bad.Key}})
	must(t, "undo of another", revived(t, w, s).Undo(ctx))
	holds(bad)
}

package repair

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"zdl/internal/incident"
	"zdl/internal/incident/causal"
	"zdl/internal/incident/evidence"
)

const scenario = `apiVersion: zdl/v1
kind: Incident
title: Too few
summary: s
stage: {workload: shop}
inject:
- change: {set: horizontalpodautoscaler/shop/cart, field: /spec/minReplicas, value: 1}
page: {alert: A, text: t, complaint: c}
graph:
  nodes:
  - {id: errors, layer: effect, entity: users/shop, state: errors, predicate: {probe: users, of: failed, above: 5%}, window: 2m, says: e}
  - {id: few, layer: mechanism, entity: deployment/shop/cart, state: too-few-replicas, predicate: {object: deployment/shop/cart, field: /status/readyReplicas, below: 2}, window: 1m, says: f}
  - {id: minimum, layer: root, entity: horizontalpodautoscaler/shop/cart, state: minimum-too-low, predicate: {object: horizontalpodautoscaler/shop/cart, field: /spec/minReplicas, below: 2}, window: 1m, says: d}
  edges:
  - {from: minimum, to: few, maxLag: 1m}
  - {from: few, to: errors, maxLag: 1m}
decoys:
- {id: limits, entity: deployment/shop/cart, state: limits-missing, why: They are there.}
fixes:
- {id: raise, title: Raise it, play: [{set: horizontalpodautoscaler/shop/cart, field: /spec/minReplicas, value: 3}]}
- {id: fixed, title: A fixed number, settled: {object: deployment/shop/cart, field: /spec/replicas, above: 4}, heals: [], play: [{set: deployment/shop/cart, field: /spec/replicas, value: 5}]}
mayGo: [secret/shop/old]
forbidden:
- {action: limits-unbounded, on: deployment/shop/cart, why: The pods are not short of memory.}
allowed:
- {action: budget-removed, on: poddisruptionbudget/shop/free, why: It is a fix.}
recovery: {goals: [{subject: users, served: 99%, p99: 300ms}], for: 20s, within: 1m}
`

var began = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func at(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }

func read(t *testing.T) *incident.Scenario {
	t.Helper()
	s, err := incident.Read([]byte(scenario), "test.yaml", "http://h", 1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func object(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func inventory(t *testing.T) incident.Objects {
	deployment := `{"metadata":{"uid":"1"},"spec":{"replicas":3,"template":{"spec":{"containers":[{"name":"cart","image":"zdl.local/shop-cart:v1",
		"readinessProbe":{"periodSeconds":1,"failureThreshold":2},"livenessProbe":{},"resources":{"limits":{"memory":"64Mi","cpu":"500m"}}}]}}}}`
	return incident.Objects{
		"deployment/shop/cart":              object(t, deployment),
		"deployment/shop/user":              object(t, strings.Replace(deployment, `"uid":"1"`, `"uid":"2"`, 1)),
		"horizontalpodautoscaler/shop/cart": object(t, `{"metadata":{"uid":"3"},"spec":{"minReplicas":1,"scaleTargetRef":{"name":"cart"}}}`),
		"poddisruptionbudget/shop/cart":     object(t, `{"spec":{"minAvailable":2}}`),
		"poddisruptionbudget/shop/free":     object(t, `{"spec":{"maxUnavailable":1}}`),
		"networkpolicy/shop/cart":           object(t, `{}`),
		"resourcequota/shop/all":            object(t, `{"spec":{"hard":{"pods":"20","requests.cpu":"4"}}}`),
		"persistentvolumeclaim/shop/data":   object(t, `{"metadata":{"uid":"4"}}`),
		"ingress/shop/shop":                 object(t, `{"spec":{"tls":[{"secretName":"x"}]}}`),
		"secret/shop/old":                   object(t, `{}`), "secret/shop/new": object(t, `{}`), "namespace/shop": object(t, `{"metadata":{"uid":"5"}}`),
		"service/shop/cart": object(t, `{"spec":{"selector":{"app":"cart"}}}`),
		"pod/shop/cart-1":   object(t, `{}`), "validatingwebhookconfiguration/checks": object(t, `{}`),
	}
}

// synthetic is made up: users fail until a second, the root is gone from another.
func synthetic(served, mended int, before incident.Objects) *evidence.Recording {
	o := &evidence.Recording{Probes: map[string][]evidence.Look{}}
	for i := range 200 {
		l := evidence.Look{At: at(i), Sent: 100, P99: 50}
		if i < served {
			l.Failed = 20
		}
		o.Probes["users"] = append(o.Probes["users"], l)
	}
	name := "horizontalpodautoscaler/shop/cart"
	for e, v := range before {
		o.Objects = append(o.Objects, evidence.Version{Of: e, At: at(-60), Object: v})
		if string(e) == name {
			o.Objects = append(o.Objects, evidence.Version{Of: e, At: at(mended), Object: map[string]any{"spec": map[string]any{"minReplicas": 3.0}}})
		}
	}
	return o
}

func watch(v *Verification, now incident.Objects) Verdict {
	var out Verdict
	for i := range 100 {
		if out = v.Look(now, at(i)); out.Phase.Over() {
			break
		}
	}
	return out
}

func mended(t *testing.T, s *incident.Scenario, to incident.Objects) incident.Objects {
	t.Helper()
	now, err := s.Fixes[0].Play[0].Do(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func TestAFixHoldsForLongEnough(t *testing.T) {
	s, before := read(t), inventory(t)
	got := watch(Begin(s, before, synthetic(10, 15, before), at(0)), mended(t, s, before))
	if got.Phase != Verified || got.Fix != "raise" || !got.Since.Equal(at(15)) || !got.At.Equal(at(35)) || got.Served.After(got.Since) || len(got.Reasons) > 0 {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNoFixIsRefusedForItsReason(t *testing.T) {
	s, before := read(t), inventory(t)
	good := func() *evidence.Recording { return synthetic(10, 15, before) }
	for name, c := range map[string]struct {
		o    *evidence.Recording
		code Code
	}{
		"nothing was done":           {synthetic(1000, 1000, before), RootRemains},
		"the symptom only":           {synthetic(10, 1000, before), RootRemains},
		"the root, users still fail": {synthetic(1000, 15, before), UsersNotServed},
	} {
		got := watch(Begin(s, before, c.o, at(0)), before)
		if got.Phase != Refused || !has(got, c.code, "") {
			t.Errorf("%s: %+v", name, got)
		}
		if public := got.Public(); c.code == RootRemains && strings.Contains(public.Reasons[len(public.Reasons)-1].Text+string(public.Reasons[len(public.Reasons)-1].On), "cart") {
			t.Errorf("the root is given away: %+v", public)
		}
	}
	slow := good()
	for i := range slow.Probes["users"] {
		slow.Probes["users"][i].P99 = 900
	}
	if got := watch(Begin(s, before, slow, at(0)), before); got.Phase != Refused || !has(got, TooSlow, "") {
		t.Errorf("slow: %+v", got)
	}
	silent := good()
	delete(silent.Probes, "users")
	if got := watch(Begin(s, before, silent, at(0)), before); got.Phase != Refused || !has(got, NotMeasured, "") {
		t.Errorf("not measured: %+v", got)
	}
	flapping := good()
	for i := range flapping.Probes["users"] {
		if i%17 == 0 {
			flapping.Probes["users"][i].Failed = 90
		}
	}
	if got := watch(Begin(s, before, flapping, at(0)), before); got.Phase != Refused || !has(got, UsersNotServed, "") {
		t.Errorf("flapping: %+v", got)
	}
}

func has(v Verdict, c Code, a incident.Action) bool {
	for _, r := range v.Reasons {
		if r.Code == c && (a == "" || r.Action == a) && r.Text != "" {
			return true
		}
	}
	return false
}

func TestShortCutsAreRefused(t *testing.T) {
	s := read(t)
	container := "/spec/template/spec/containers/0"
	for name, c := range map[string]struct {
		do     incident.Change
		code   Code
		action incident.Action // "" with no code: it is allowed
	}{
		"workload deleted":        {incident.Change{Verb: incident.Remove, Object: "deployment/shop/user"}, ShortCut, incident.WorkloadDeleted},
		"made anew":               {set("deployment/shop/user", "/metadata/uid", "9"), ShortCut, incident.WorkloadDeleted},
		"to zero":                 {set("deployment/shop/cart", "/spec/replicas", 0), ShortCut, incident.ScaledToZero},
		"fewer":                   {set("deployment/shop/user", "/spec/replicas", 2), ShortCut, incident.ScaledDown},
		"fewer, by an autoscaler": {set("deployment/shop/cart", "/spec/replicas", 2), "", ""},
		"more":                    {set("deployment/shop/user", "/spec/replicas", 4), "", ""},
		"no probe":                {incident.Change{Verb: incident.Unset, Object: "deployment/shop/cart", Field: container + "/readinessProbe"}, ShortCut, incident.ProbeRemoved},
		"a probe without teeth":   {set("deployment/shop/cart", container+"/readinessProbe/failureThreshold", 1000), ShortCut, incident.ProbeRemoved},
		"a probe a bit slower":    {set("deployment/shop/cart", container+"/readinessProbe/failureThreshold", 5), "", ""},
		"no limit":                {incident.Change{Verb: incident.Unset, Object: "deployment/shop/cart", Field: container + "/resources/limits/memory"}, ShortCut, incident.LimitsUnbounded},
		"a limit far higher":      {set("deployment/shop/cart", container+"/resources/limits/memory", "4Gi"), ShortCut, incident.LimitsUnbounded},
		"a limit twice as high":   {set("deployment/shop/cart", container+"/resources/limits/memory", "128Mi"), "", ""},
		"no budget":               {incident.Change{Verb: incident.Remove, Object: "poddisruptionbudget/shop/cart"}, ShortCut, incident.BudgetRemoved},
		"a budget for all":        {set("poddisruptionbudget/shop/cart", "/spec/minAvailable", "0%"), ShortCut, incident.BudgetRemoved},
		"a budget that may go":    {incident.Change{Verb: incident.Remove, Object: "poddisruptionbudget/shop/free"}, "", ""},
		"no autoscaler":           {incident.Change{Verb: incident.Remove, Object: "horizontalpodautoscaler/shop/cart"}, ShortCut, incident.AutoscalerRemoved},
		"no policy":               {incident.Change{Verb: incident.Remove, Object: "networkpolicy/shop/cart"}, ShortCut, incident.PolicyRemoved},
		"no quota":                {incident.Change{Verb: incident.Remove, Object: "resourcequota/shop/all"}, ShortCut, incident.QuotaRemoved},
		"a quota of less":         {incident.Change{Verb: incident.Unset, Object: "resourcequota/shop/all", Field: "/spec/hard/pods"}, ShortCut, incident.QuotaRemoved},
		"a quota without end":     {set("resourcequota/shop/all", "/spec/hard/pods", "10k"), ShortCut, incident.LimitsUnbounded},
		"a higher quota":          {set("resourcequota/shop/all", "/spec/hard/pods", "40"), "", ""},
		"no webhook":              {incident.Change{Verb: incident.Remove, Object: "validatingwebhookconfiguration/checks"}, ShortCut, incident.WebhookRemoved},
		"no TLS":                  {incident.Change{Verb: incident.Unset, Object: "ingress/shop/shop", Field: "/spec/tls"}, ShortCut, incident.TLSRemoved},
		"no data":                 {set("persistentvolumeclaim/shop/data", "/metadata/uid", "7"), ShortCut, incident.DataDeleted},
		"no namespace":            {incident.Change{Verb: incident.Remove, Object: "namespace/shop"}, ShortCut, incident.NamespaceDeleted},
		"no secret":               {incident.Change{Verb: incident.Remove, Object: "secret/shop/new"}, Destroyed, ""},
		"a secret that may go":    {incident.Change{Verb: incident.Remove, Object: "secret/shop/old"}, "", ""},
		"a pod":                   {incident.Change{Verb: incident.Remove, Object: "pod/shop/cart-1"}, "", ""},
		"another program":         {set("deployment/shop/cart", container+"/image", "nginx:1"), ShortCut, incident.WorkloadReplaced},
		"another version":         {set("deployment/shop/cart", container+"/image", "zdl.local/shop-cart:v2"), "", ""},
		"another way":             {set("service/shop/cart", "/spec/selector", map[string]any{"app": "user"}), ShortCut, incident.TrafficRedirected},
		"no container":            {set("deployment/shop/cart", container+"/name", "pause"), ShortCut, incident.WorkloadDeleted},
	} {
		before := inventory(t)
		now, err := c.do.Do(before, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		got := watch(Begin(s, before, synthetic(10, 15, before), at(0)), now)
		if c.code == "" {
			if got.Phase != Verified {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if got.Phase != Refused || !has(got, c.code, c.action) {
			t.Errorf("%s: %+v", name, got)
		}
		if c.action == incident.LimitsUnbounded && strings.Contains(string(got.Reasons[0].On), "deployment") && !strings.Contains(got.Reasons[0].Text, "not short of memory") {
			t.Errorf("%s: the scenario's own reason is not given: %+v", name, got)
		}
	}
}

func set(e, field string, value any) incident.Change {
	return incident.Change{Verb: incident.Set, Object: entity(e), Field: field, Value: value}
}

func TestARootThatDoesNoHarmIsSettled(t *testing.T) {
	s, before := read(t), inventory(t)
	o := synthetic(10, 1000, before)
	now, err := s.Fixes[1].Play[0].Do(before, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Objects = append(o.Objects, evidence.Version{Of: "deployment/shop/cart", At: at(12), Object: now["deployment/shop/cart"]})
	if got := watch(Begin(s, before, o, at(0)), now); got.Phase != Verified || got.Fix != "fixed" {
		t.Errorf("%+v", got)
	}
}

func TestWithoutTheRootTheEffectsGo(t *testing.T) {
	s, before := read(t), inventory(t)
	o := synthetic(30, 20, before)
	if left, err := Gone(s, o, at(25)); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
	if left, err := Gone(s, o, at(80)); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}

func entity(text string) causal.Entity { return causal.Entity(text) }

package incident

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"zdl/internal/incident/evidence"
	"zdl/internal/yamlfile"
)

const good = `apiVersion: zdl/v1
kind: Incident
title: Too few
summary: Users get errors.
covers: [E2]
variants:
- - {service: cart, least: 2}
  - {service: user, least: 3}
- - {share: 5%}
stage:
  profile: shop
  workload: shop
  probes: [api]
  setup:
  - apply: |
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: a, namespace: shop}
  load:
    arrivals: {rate: 50, for: 20s}
    journeys: [{steps: [{name: home, url: /}]}]
inject:
- attack: {kind: pod-kill, target: "shop/app=${service}", params: {grace: 0s}}
- after: 2s
  change: {set: hpa/shop/${service}, field: /spec/minReplicas, value: 1}
page: {alert: A, text: t, complaint: c}
graph:
  nodes:
  - {id: errors, layer: effect, entity: users/shop, state: errors, predicate: {probe: users, of: failed, above: "${share}", for: 3s}, window: 2m, says: e}
  - id: few
    layer: mechanism
    entity: deployment/shop/${service}
    state: too-few-replicas
    predicate: {any: [{object: deployment/shop/${service}, field: /status/readyReplicas, below: ${least}}, {event: {reason: x, about: "pod/shop/${service}-*"}}]}
    window: 2m
    evidence: [{log: {of: audit, line: "a.c"}}, {etcd: {member: cp-1, metric: m}, below: 1}, {entry: {kind: k}}]
    says: f
  - {id: minimum, layer: root, entity: hpa/shop/${service}, state: minimum-too-low, predicate: {object: hpa/shop/${service}, field: /spec/minReplicas, equals: 1}, window: 1m, says: d}
  edges:
  - {from: minimum, to: few, maxLag: 1m}
  - {from: few, to: errors, maxLag: 1m}
aliases:
- {node: few, entity: "pod/shop/${service}-*", state: saturated}
decoys:
- {id: limits, entity: deployment/shop/${service}, state: limits-missing, why: They are there., shown: {query: up, below: 1}}
fixes:
- {id: raise, title: Raise it, play: [{restore: hpa/shop/${service}}, {restart: deployment/shop/${service}}]}
- {id: cable, title: A cable, order: link/control-planes, heals: [1], settled: {object: hpa/shop/${service}, field: /x, present: true}}
cheats:
- {name: nothing, because: root-remains}
- {name: turned, turned: true, because: wrong-chain}
- {name: claim, claim: {few: {entity: node/worker-1, state: not-ready}}, without: [errors], because: decoy}
forbidden:
- {action: scaled-to-zero, on: "deployment/shop/*", why: w}
allowed:
- {action: budget-removed, on: pdb/shop/x, why: w}
mayGo: [secret/shop/x]
hints: [{text: look, cost: 10%}]
recovery: {goals: [{subject: users, served: 99%, p99: 300ms}, {subject: api, served: 99%}], for: 20s, within: 1m}
prevention: [pod-deleted]
`

func readGood(t *testing.T, seed uint64) *Scenario {
	t.Helper()
	s, err := Read([]byte(good), "incidents/too-few.yaml", "http://198.18.0.100", seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAFileIsReadAsItIsMeant(t *testing.T) {
	s := readGood(t, 3)
	if s.Name != "too-few" || s.Seed != 3 || len(s.Inject) != 2 || s.Inject[1].After != 2*time.Second || s.Stage.History != DefaultHistory || s.Recovery.Goals[0].P99 != 300*time.Millisecond {
		t.Errorf("%+v", s)
	}
	service := s.Variant["service"]
	if n := s.Graph.Node("minimum"); string(n.Entity) != "horizontalpodautoscaler/shop/"+service || s.Stage.Load.Open.Rate(0) != 50 {
		t.Errorf("%+v", n)
	}
	least := map[string]float64{"cart": 2, "user": 3}[service]
	if p := s.Nodes["few"].Predicate.Any[0]; *p.Field.Below != least || *s.Nodes["errors"].Predicate.Probe.Above != 0.05 {
		t.Errorf("%+v", p.Field)
	}
	if n := s.Match("pod/shop/"+s.Graph.Node("few").Entity[len("deployment/shop/"):]+"-1", "saturated"); n == nil || n.ID != "few" {
		t.Error("an alias is not matched")
	}
	if s.Match("deployment/shop/other", "too-few-replicas") != nil || s.Decoy(s.Graph.Node("few").Entity, "limits-missing") == nil {
		t.Error("what is something else is matched, or a decoy is not")
	}
	if len(s.Witnesses("few")) != 4 || s.Fixes[1].Order != "link/control-planes" || s.Cheats[2].Claim["few"].State != "not-ready" {
		t.Errorf("%+v", s.Fixes)
	}
	if all, err := ReadAll([]byte(good), "x.yaml", "http://h"); err != nil || len(all) != 2 {
		t.Errorf("%d variants, %v", len(all), err)
	}
}

func TestWrongFilesNameTheLine(t *testing.T) {
	for _, c := range []struct{ old, new, says string }{
		{"title:", "titel:", "line 3: field titel not found here; did you mean title?"},
		{"summary: Users get errors.", "summary: ''", "no summary"},
		{"kind: Incident", "kind: Level", "want apiVersion: zdl/v1 and kind: Incident"},
		{"service: user, least: 3", "service: user", "line 6: variants: group 1: row 2"},
		{"{share: 5%}", "{share: 'a b'}", "one word without quotes"},
		{"{share: 5%}", "{share: 5%, other: x}", "choose other, and nothing uses it"},
		{"shop/app=${service}", "shop/app=${servce}", "line 23: ${servce}: the variants have no such name; they have least, service, share"},
		{"probes: [api]", "probes: [dns]", "goal of \"api\""},
		{"profile: shop", "profile: large", "want small, ha or shop"},
		{"kind: ConfigMap", "kind: Map", "there is no kind"},
		{"rate: 50, for: 20s", "rate: 50, fro: 20s", "did you mean for?"},
		{"change: {set: hpa/shop/${service}, field: /spec/minReplicas, value: 1}", "change: {set: hpa/shop/${service}, field: spec, value: 1}", "a JSON pointer"},
		{"change: {set: hpa/shop/${service}, field: /spec/minReplicas, value: 1}", "change: {set: hpa/shop/${service}, field: /a}", "value belongs to set"},
		{"change: {set: hpa/shop/${service}, field: /spec/minReplicas, value: 1}", "change: {remove: hpa/shop/x, restart: deploy/shop/x}", "exactly one of set"},
		{"- after: 2s\n  change: {set", "- after: 2s\n  attack: {kind: x}\n  change: {set", "either attack or change"},
		{"set: hpa/shop/${service}", "set: hpass/${service}", "line 25: \"hpass/"},
		{"layer: mechanism", "layer: cause", "want effect, mechanism or root"},
		{"state: too-few-replicas", "state: too-few", "there is no state"},
		{"state: minimum-too-low", "state: errors", "cannot be errors"},
		{"of: failed, above", "of: share, above", "failed or p99"},
		{"probe: users, of", "probe: dns, of", "it is not probed"},
		{"below: ${least}}", "below: ${least}, above: 1}", "exactly one of above"},
		{"reason: x, about: \"pod/shop/${service}-*\"", "reason: x", "reason and about"},
		{"line: \"a.c\"", "line: \"a(c\"", "missing closing"},
		{"predicate: {object: hpa/shop/${service}, field: /spec/minReplicas, equals: 1}", "predicate: {event: {reason: x, about: hpa/shop/x}}", "a root's predicate is about a state"},
		{"window: 1m", "window: 1", "is not a duration"},
		{"- {from: minimum, to: few, maxLag: 1m}\n", "", "few has no cause"},
		{"{node: few, entity", "{node: fwe, entity", "alias 1: want node"},
		{"state: limits-missing, why", "state: too-few-replicas, why", "is node few"},
		{"why: They are there.", "why: ''", "and why"},
		{"heals: [1]", "heals: [2]", "numbered 1 to 1"},
		{"order: link/control-planes, heals: [1]", "order: link/control-planes, play: [{restart: deploy/shop/x}]", "an order heals"},
		{"play: [{restore: hpa/shop/${service}}, {restart: deployment/shop/${service}}]", "heals: []", "it does nothing"},
		{"{name: turned, turned", "{name: nothing, turned", "a name of its own"},
		{"claim: {few:", "claim: {fwe:", "no node fwe"},
		{"action: scaled-to-zero", "action: scaled", "want one of workload-deleted"},
		{"cost: 10%", "cost: 95%", "at most 90 %"},
		{"cost: 10%", "cost: free", "is not a number"},
		{"within: 1m", "within: 10s", "is not longer"},
		{"served: 99%, p99", "served: 0%, p99", "from 0% to 100%"},
		{"page: {alert: A, text: t, complaint: c}", "page: {alert: A, text: t, complaint: c}\nhealthy: true", "it is healthy, so it has no graph"},
		{"decoys:\n- {id: limits, entity: deployment/shop/${service}, state: limits-missing, why: They are there., shown: {query: up, below: 1}}\n", "", "it has no decoys"},
		{"shown: {query: up, below: 1}", "shown: {certificate: {secret: secret/shop/x, wrong: wrong-host}}", "wrong-host with host"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("nothing was replaced: %s", c.old)
		}
		_, err := Read([]byte(text), "x.yaml", "http://h", 1)
		if err == nil || !strings.HasPrefix(err.Error(), "x.yaml: ") || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want an error that says %q", c.new, err, c.says)
		}
	}
	if _, err := Read([]byte(strings.Repeat("a", MaxSize+1)), "x.yaml", "http://h", 1); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Error(err)
	}
}

// The published schema accepts what is read: the example above and the library.
func TestTheSchemaAcceptsWhatIsRead(t *testing.T) {
	files, err := filepath.Glob("../../incidents/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	texts := map[string][]byte{"good": []byte(good)}
	for _, name := range files {
		if texts[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	schema := Schema()
	if _, err := json.Marshal(schema); err != nil {
		t.Fatal(err)
	}
	for name, data := range texts {
		all, err := readVariants(data)
		if err != nil {
			t.Fatal(err)
		}
		filled, err := fill(data, all.choose(1))
		if err != nil {
			t.Fatal(name, err)
		}
		var v any
		if err := yaml.Unmarshal(filled, &v); err != nil {
			t.Fatal(err)
		}
		if wrong := yamlfile.Conforms(schema, v, name); wrong != "" {
			t.Error(wrong)
		}
		v.(map[string]any)["prose"] = "x"
		if yamlfile.Conforms(schema, v, name) == "" {
			t.Error("an unknown field conforms")
		}
	}
}

func TestChangesAreMadeAsTheAPIServerWould(t *testing.T) {
	before := Objects{"deployment/shop/cart": map[string]any{"spec": map[string]any{"replicas": 3.0, "list": []any{1.0, 2.0}}}}
	do := func(to Objects, c Change) Objects {
		t.Helper()
		out, err := c.Do(to, before)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	cart := Change{Object: "deployment/shop/cart"}
	with := func(verb Verb, field string, value any) Change {
		c := cart
		c.Verb, c.Field, c.Value = verb, field, value
		return c
	}
	now := do(before, with(Set, "/spec/replicas", 1))
	now = do(now, with(Set, "/spec/a~1b/c", "x"))
	now = do(now, with(Unset, "/spec/list/0", nil))
	now = do(now, with(Set, "/spec/list/-", 9))
	now = do(now, Change{Verb: Apply, Manifests: []map[string]any{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "cart", "namespace": "shop"}, "spec": map[string]any{"paused": true}}}})
	text, err := json.Marshal(now["deployment/shop/cart"].(map[string]any)["spec"])
	if want := `{"a/b":{"c":"x"},"list":[2,9],"paused":true,"replicas":1}`; err != nil || string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	if before["deployment/shop/cart"].(map[string]any)["spec"].(map[string]any)["replicas"] != 3.0 {
		t.Error("the objects before were altered")
	}
	if back := do(now, with(Restore, "", nil)); back["deployment/shop/cart"].(map[string]any)["spec"].(map[string]any)["replicas"] != 3.0 {
		t.Error("it is not restored")
	}
	if left := do(now, with(Remove, "", nil)); len(left) != 0 {
		t.Error("it is not removed")
	}
	for says, c := range map[string]Change{
		"there is no secret":   {Verb: Remove, Object: "secret/shop/x"},
		"no item of a list":    with(Set, "/spec/list/7", 1),
		"through a single val": with(Set, "/spec/replicas/x", 1),
	} {
		if _, err := c.Do(before, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(good), uint64(1))
	f.Add([]byte("variants:\n- - {a: b}\nx: ${a}\n"), uint64(2))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		s, err := Read(data, "x", "http://h", seed)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		if s.Check() != nil {
			t.Error("a scenario was read that Check refuses")
		}
		for _, n := range s.Graph.Nodes {
			p := s.Nodes[n.ID].Predicate
			if _, err := p.CameTrue(&evidence.Recording{}, evidence.Window{}); err == nil && p.Probe != nil {
				t.Error("what was not observed is decided")
			}
		}
	})
}

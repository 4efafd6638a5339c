package experiment

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"zdl/internal/load"
	"zdl/internal/yamlfile"
)

func scalar(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

const good = `apiVersion: zdl/v1
kind: Experiment
title: One of three pods is deleted
hypothesis: Nobody notices.
covers: [C7, D9]
before: 3s
method:
- name: kill
  attack: {kind: pod-kill, target: any, mode: one}
- after: 2s
  when: {event: {kind: pod-ready}}
  within: 20s
  kubectl: rollout restart deployment/web -n web
  undo: rollout undo deployment/web -n web
- heal: all
expect:
- outage: {atMost: 0s}
  improve: Give it a preStop hook.
- failed: {atMost: 0.1%}
- recovery: {within: 15s}
- event: {kind: pod-ready, subject: "web/.*", within: 15s}
- load: passes
load:
  arrivals: {rate: 50, for: 20s}
  journeys: [{steps: [{name: home, url: /}]}]
  thresholds: {http_req_failed: ["rate<0.001"]}
`

func TestAFileIsReadAsItIsMeant(t *testing.T) {
	e, err := Read([]byte(good), "experiments/pod-kill.yaml", "http://198.18.0.100")
	if err != nil {
		t.Fatal(err)
	}
	if e.Name != "pod-kill" || len(e.Method) != 3 || len(e.Expect) != 5 || e.Before != 3*time.Second || e.After != DefaultAfter || e.Repeat != 1 {
		t.Errorf("%+v", e)
	}
	if a := e.Method[1]; a.After != 2*time.Second || a.When.Event.Kind != "pod-ready" || len(a.Kubectl) != 5 || a.Undo[0][1] != "undo" {
		t.Errorf("%+v", a)
	}
	if *e.Expect[1].Failed.AtMost != 0.001 || e.Expect[2].Recovery.Of != "fault" || *e.Expect[0].Outage.AtMost != 0 || e.Load.Open.Rate(0) != 50 {
		t.Errorf("%+v", e.Expect)
	}
	if re := e.Expect[3].Event.Subject; !re.MatchString("web/x") || re.MatchString("other web/x") {
		t.Error("a pattern matches other than the whole subject")
	}
	if len(e.Steady) != 3 {
		t.Errorf("default steady state: %+v", e.Steady)
	}
}

func TestWrongFilesNameTheLine(t *testing.T) {
	for _, c := range []struct{ old, new, says string }{
		{"title:", "titel:", "line 3: field titel not found here; did you mean title?"},
		{"before: 3s", "before: 3", "line 6"},
		{"Nobody notices.", "''", "no hypothesis"},
		{"mode: one", "mod: one", "field mod not found"},
		{"heal: all", "heal: kil", `called "kil"`},
		{"atMost: 0.1%", "atMost: 200%", "percentage"},
		{"within: 15s}\n- event", "of: dawn, within: 15s}\n- event", "fault or heal"},
		{"load: passes", "load: holds", "want passes"},
		{"rate<0.001", "rate<2", "from 0 to 1"},
		{"- outage: {atMost: 0s}", "- outage: {atMost: 0s}\n  failed: {atMost: 1%}", "exactly one"},
		{"subject: \"web/.*\"", "subject: \"web/(\"", "missing closing"},
		{"kind: pod-kill, ", "", "names no kind"},
		{"load: passes", "knee: {atLeast: 100}", "stages that ramp up"},
		{"load: passes", "lost: {of: api}", "probe: [api]"},
		{"load: passes", "leader: {of: ectd, within: 3s}", "want etcd"},
		{"load: passes", "outage: {of: api, atMost: 1s}", "it is not probed"},
		{"- heal: all", "- kubectl: \"a 'b\"", "quote"},
		{"- heal: all", "- {heal: all, fails: x}", "belongs to kubectl"},
		{"rate: 50, for: 20s", "rate: 50, fro: 20s", "did you mean for?"},
		{"before: 3s", "guard: {targets: 1}\nbefore: 3s", ""},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("nothing was replaced: %s", c.old)
		}
		_, err := Read([]byte(text), "x.yaml", "http://h")
		if c.says == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "x.yaml: ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", c.new, err, c.says)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := Read(data, "x", "http://h"); err == nil && e.Check() != nil {
			t.Error("an experiment was read that Check refuses")
		}
	})
}

// The published schemas are those that the types say, and every kind of value that
// is read conforms to them. ZDL_UPDATE=1 writes the files.
func TestThePublishedSchemasAreTrue(t *testing.T) {
	for name, schema := range map[string]yamlfile.Node{"experiment": Schema(), "load": load.Schema()} {
		path := filepath.Join("..", "..", "docs", "schema", name+".json")
		want, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, '\n')
		if os.Getenv("ZDL_UPDATE") != "" {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types say (%v); ZDL_UPDATE=1 go test ./internal/experiment writes it", path, err)
		}
	}
	var v any
	if err := yaml.Unmarshal([]byte(good), &v); err != nil {
		t.Fatal(err)
	}
	if wrong := yamlfile.Conforms(Schema(), v, "file"); wrong != "" {
		t.Error(wrong)
	}
	if err := yaml.Unmarshal([]byte(strings.Replace(good, "covers", "cover", 1)), &v); err != nil {
		t.Fatal(err)
	}
	if wrong := yamlfile.Conforms(Schema(), v, "file"); !strings.Contains(wrong, "cover") {
		t.Errorf("an unknown field conforms: %q", wrong)
	}
}

func TestCommandsAreSplitAtBlanksExceptWithinQuotes(t *testing.T) {
	for text, want := range map[string][]string{
		"a  b\tc":            {"a", "b", "c"},
		`patch '{"a": 1}' x`: {"patch", `{"a": 1}`, "x"},
		`a "" b`:             {"a", "", "b"},
		`x=--'y z'`:          {"x=--y z"},
	} {
		if got, err := split(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v", text, got, err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`a 'b c' "d"`)
	f.Fuzz(func(t *testing.T, text string) {
		words, err := split(text)
		if err == nil && len(strings.Join(words, "")) > len(text) {
			t.Errorf("%q became longer: %q", text, words)
		}
	})
}

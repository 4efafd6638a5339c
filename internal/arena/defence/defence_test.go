package defence

import (
	"strings"
	"testing"

	"zdl/internal/yamlfile"
)

const good = `
- name: six-replicas
  title: Six replicas
  why: More must die.
  docs: docs/defend.md#six-replicas
  needs: {workers: 2}
  patches:
  - kind: Deployment
    namespace: web
    name: web
    merge: {spec: {replicas: 6}}
    settled: rollout
    spread: {over: topology.kubernetes.io/zone, atLeast: 2}
  - kind: StaticPod
    name: kube-scheduler
    flags: {leader-elect-lease-duration: 4s}
    settled: rollout
- name: five-members
  title: Five members
  why: Two may die.
  unavailable: Another lab has them.
`

func read(t *testing.T, text string) ([]Defence, error) {
	t.Helper()
	var all struct {
		Defences []Defence `yaml:"defences"`
	}
	if err := yamlfile.Decode([]byte("defences:\n"+text), &all); err != nil {
		return nil, yamlfile.Explain("x.yaml", err)
	}
	return all.Defences, Check(all.Defences)
}

func TestDefencesAreReadStrictly(t *testing.T) {
	if _, err := read(t, good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, says string }{
		{"name: six-replicas", "name: Six", "a name is of lower-case"},
		{"name: five-members", "name: six-replicas", "two defences are named"},
		{"  title: Six replicas", "  title: ''", "want one line"},
		{"  why: More must die.", "  why: ' '", "say from what it protects"},
		{"docs/defend.md#six-replicas", "https://example.org", "want docs/FILE.md"},
		{"  unavailable: Another lab has them.", "", "it changes nothing"},
		{"  why: Two may die.", "  why: Two may die.\n  patches: [{kind: Deployment, namespace: a, name: b, merge: {spec: {}}, settled: rollout}]", "has no patches"},
		{"kind: Deployment", "kind: Secret", `kind "Secret": there are ConfigMap`},
		{"    namespace: web\n", "", "namespace is missing"},
		{"    name: web\n", "", "name is missing"},
		{"merge: {spec: {replicas: 6}}", "merge: {status: {replicas: 6}}", "only spec, data and"},
		{"merge: {spec: {replicas: 6}}", "merge: {metadata: {name: x}}", "only annotations"},
		{"merge: {spec: {replicas: 6}}", "merg: {spec: {replicas: 6}}", "field merg not found"},
		{"merge: {spec: {replicas: 6}}", "flags: {a: b}\n    merge: {spec: {}}", "exactly one of"},
		{"    settled: rollout\n    spread", "    settled: soon\n    spread", `settled "soon"`},
		{"atLeast: 2", "atLeast: 0", "spread: want over"},
		{"flags: {leader-elect-lease-duration: 4s}", "flags: {--leader-elect: 4s}", "without dashes"},
		{"flags: {leader-elect-lease-duration: 4s}", "flags: {leader-elect: \"a\\nb\"}", "a plain value"},
		{"    name: kube-scheduler", "    namespace: kube-system\n    name: kube-scheduler", "names no namespace"},
		{"  needs: {workers: 2}", "  needs: {timing: slow}", "realistic or fast"},
		{"  needs: {workers: 2}", "  within: 1s", "within 1s: want 5s to 10m0s"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%q is not in the file", c.old)
		}
		if _, err := read(t, text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", c.new, err, c.says)
		}
	}
}

func TestALabThatLacksWhatIsNeededIsTold(t *testing.T) {
	have := Facts{Workers: 2, Zones: 2, ControlPlanes: 1, Timing: "realistic"}
	for _, c := range []struct {
		needs Needs
		says  string
	}{
		{Needs{}, ""},
		{Needs{Workers: 2, Zones: 2, ControlPlanes: 1, Timing: "realistic"}, ""},
		{Needs{Workers: 3}, "3 workers and this lab has 2"},
		{Needs{Zones: 3}, "in 3 zones"},
		{Needs{ControlPlanes: 3}, "3 control planes"},
		{Needs{Timing: "fast"}, "timing fast"},
	} {
		if got := c.needs.lacks(have); !strings.Contains(got, c.says) || (got == "") != (c.says == "") {
			t.Errorf("%+v: %q", c.needs, got)
		}
	}
}

package experiments

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"zdl/internal/experiment"
	"zdl/internal/yamlfile"
)

// traps of plain Kubernetes that the library has to show, each by an experiment.
var traps = []string{
	"prestop-race", "readiness-without-liveness", "drain-without-budget", "budget-blocks-drain", "replicas-in-one-zone", "endpoints-of-a-dead-node",
	"eviction-stops-at-55-percent", "keep-alive-outlives-endpoint", "api-server-hangs", "dns-search-list", "dns-stale-names", "etcd-leader-isolated", "etcd-leader-killed",
}

// Every file of the library can be read, conforms to the published schema, and
// covers something; together they cover what they have to.
func TestLibrary(t *testing.T) {
	names := Names()
	if len(names) < 25 {
		t.Errorf("%d experiments, want at least 25", len(names))
	}
	covered := map[string]bool{}
	for _, name := range names {
		data, err := File(name)
		if err != nil {
			t.Fatal(err)
		}
		e, err := experiment.Read(data, name+".yaml", "http://198.18.0.100")
		if err != nil {
			t.Error(err)
			continue
		}
		for _, row := range e.Covers {
			covered[row] = true
		}
		if len(e.Covers) == 0 {
			t.Errorf("%s covers no row of the mission", name)
		}
		if slices.Contains(e.Tags, "trap") && e.Why == "" {
			t.Errorf("%s is a trap and does not say what plain Kubernetes does", name)
		}
		var v any
		if err := yaml.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		if wrong := yamlfile.Conforms(experiment.Schema(), v, name); wrong != "" {
			t.Error(wrong)
		}
	}
	for _, row := range strings.Fields("C1 C2 C3 C4 C5 C6 C7 B2 B4 D9") {
		if !covered[row] {
			t.Errorf("no experiment covers %s", row)
		}
	}
	for _, name := range traps {
		if !slices.Contains(names, name) {
			t.Errorf("there is no experiment %s", name)
		}
	}
}

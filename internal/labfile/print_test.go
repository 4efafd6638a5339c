package labfile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestPrintedLabParsesBackToTheSameLab tries random valid labs.
func TestPrintedLabParsesBackToTheSameLab(t *testing.T) {
	for seed := range uint64(300) {
		l := randomLab(rand.New(rand.NewPCG(seed, 1)))
		if err := l.Validate(); err != nil {
			t.Fatalf("seed %d: the generator makes invalid labs: %v", seed, err)
		}
		got, err := Parse(Print(l), "printed")
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, Print(l))
		}
		if !reflect.DeepEqual(got, l) {
			t.Fatalf("seed %d: got %+v, want %+v", seed, got, l)
		}
	}
}

func randomLab(r *rand.Rand) *Lab {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	l := &Lab{APIVersion: APIVersion, Kind: Kind, Timing: Timing(pick(timings...)),
		Edge: 1 + r.IntN(2), Routers: 1 + r.IntN(2), Replicas: 1 + r.IntN(MaxReplicas)}
	for i := range 1 + r.IntN(MaxZones) {
		// Names that YAML would take for something else if they stood bare.
		l.Zones = append(l.Zones, pick("z", "null", "true", "1", "0x1", "1e3", "no", "2026-11-21")+fmt.Sprintf("%s%d", pick("", "-"), i))
	}
	controlPlanes := []int{1, 3, 5}[r.IntN(3)]
	for i := range controlPlanes + 1 + r.IntN(10) {
		n := Node{Name: fmt.Sprintf("%s%d", pick("", "n", "1e", "0x"), i), Role: Worker, Zone: l.Zones[r.IntN(len(l.Zones))],
			Memory: pick("1Gi", "1.5Gi", "2147483648", "2G", "1e10"), CPUs: 1 + r.IntN(MaxCPUs), Disk: pick("1Gi", "10Gi", "5368709120")}
		if i < controlPlanes {
			n.Role = ControlPlane
		} else if i > controlPlanes && r.IntN(2) == 0 {
			n.Taints = []Taint{{Key: pick("k", "a.b/c", "1", "true"), Value: pick("", "v", "1", "false"), Effect: pick(effects...)}}
		}
		if r.IntN(2) == 0 {
			n.Labels = map[string]string{pick("k", "1", "null", "a.b/c"): pick("", "v", "1.5", "true", "null", "1e3")}
		}
		l.Nodes = append(l.Nodes, n)
	}
	return l
}

func TestPrintExplainsEveryField(t *testing.T) {
	l, _ := Profile("shop")
	out := string(Print(l))
	for _, f := range []string{"timing", "zones", "edge", "routers", "replicas"} {
		if !strings.Contains(out, "# "+about(labFields, f)+"\n"+f+":") {
			t.Errorf("%s is not explained in\n%s", f, out)
		}
	}
	for _, f := range nodeFields {
		if !strings.Contains(out, f.about) {
			t.Errorf("nodes[].%s is not explained", f.name)
		}
	}
}

// TestSchemaAcceptsWhatParseAccepts holds the schema against every file that
// is known to be valid and against one mistake of each kind.
func TestSchemaAcceptsWhatParseAccepts(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	good := []string{"profile: ha", "zones: 3\netcdMembers: 5\ndatabases: 0", "defaults: {memory: 1Gi}\nworkers: 2"}
	for _, p := range Profiles() {
		l, _ := Profile(p)
		good = append(good, string(Print(l)))
	}
	for _, text := range good {
		if _, err := Parse([]byte(text), "good"); err != nil {
			t.Errorf("Parse refuses: %v", err)
		}
		if err := conforms(schema, decode(t, text), ""); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	for _, text := range []string{
		"profile: big", "colour: red", "zones: 6", "zones: []", "zones: [Z]", "edge: 3", "controlPlanes: 2", "replicas: 0", "timing: 1",
		"nodes: [{role: worker}, {name: a}]", "nodes: [{name: a}, {name: b, taints: [{key: a}]}]", "nodes: [{name: a}, {name: b}]\nworkers: 1",
		"defaults: {ram: 1Gi}", "kind: Cluster", "nodes: [{name: a}, {name: b, cpus: 0}]",
	} {
		if _, err := Parse([]byte(text), "bad"); err == nil {
			t.Errorf("Parse accepts %s", text)
		}
		if err := conforms(schema, decode(t, text), ""); err == nil {
			t.Errorf("the schema accepts %s", text)
		}
	}
}

func decode(t *testing.T, text string) any {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

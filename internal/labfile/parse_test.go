package labfile

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the transcripts in testdata anew")

// TestMistakes parses every testdata/*.yaml and compares the messages with
// the transcript beside it. Read the transcripts: they are what users see.
func TestMistakes(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.yaml")
	if len(files) == 0 {
		t.Fatal("no testdata")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(data, "lab.yaml")
			if err == nil {
				t.Fatal("was taken for valid")
			}
			got, transcript := err.Error()+"\n", strings.TrimSuffix(file, ".yaml")+".txt"
			if *update {
				if err := os.WriteFile(transcript, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(transcript)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func parse(t *testing.T, text string) *Lab {
	t.Helper()
	l, err := Parse([]byte(text), "lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func profile(t *testing.T, name string) *Lab {
	t.Helper()
	l, err := Profile(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func places(l *Lab) string {
	var s []string
	for _, n := range l.Nodes {
		s = append(s, n.Name+"@"+n.Zone)
	}
	return strings.Join(s, " ")
}

func TestProfileAloneIsTheProfile(t *testing.T) {
	for _, p := range Profiles() {
		if got, want := parse(t, "profile: "+p), profile(t, p); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", p, got, want)
		}
	}
}

func TestDefaultProfileIsHA(t *testing.T) {
	want := profile(t, "ha")
	want.Timing = Fast
	if got := parse(t, "timing: fast"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestWhatAFileSaysOverridesTheProfile(t *testing.T) {
	l := parse(t, "profile: small\ntiming: fast\nzones: [north, south, west]\nedge: 2\nrouters: 2\nreplicas: 5\nworkers: 3\n")
	if l.Timing != Fast || l.Edge != 2 || l.Routers != 2 || l.Replicas != 5 {
		t.Errorf("got %+v", l)
	}
	if want := "cp-1@north worker-1@north worker-2@south worker-3@west"; places(l) != want {
		t.Errorf("got %s, want %s", places(l), want)
	}
}

func TestNumbersInsteadOfNodes(t *testing.T) {
	for text, want := range map[string]string{
		"controlPlanes: 1\nworkers: 1\nzones: 1":       "cp-1@zone-a worker-1@zone-a",
		"etcdMembers: 5\nworkers: 2\nzones: 2":         "cp-1@zone-a cp-2@zone-b cp-3@zone-a cp-4@zone-b cp-5@zone-a worker-1@zone-a worker-2@zone-b",
		"etcdMembers: 3\ncontrolPlanes: 3\nworkers: 1": "cp-1@zone-a cp-2@zone-b cp-3@zone-c worker-1@zone-a",
		"zones: 5":                     "cp-1@zone-a cp-2@zone-b cp-3@zone-c worker-1@zone-d worker-2@zone-e worker-3@zone-a",
		"profile: small\ndatabases: 2": "cp-1@zone-a worker-1@zone-a worker-2@zone-b db-1@zone-a db-2@zone-b",
		"profile: shop\ndatabases: 0\nworkers: 1\nzones: [a]\n": "cp-1@a cp-2@a cp-3@a worker-1@a",
	} {
		if got := places(parse(t, text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestDefaultsAreForNodesThatDoNotSayTheirOwn(t *testing.T) {
	l := parse(t, "profile: shop\ndefaults: {memory: 1Gi, disk: 5Gi}")
	for _, n := range l.Nodes {
		if n.Memory != "1Gi" || n.Disk != "5Gi" || n.CPUs != 2 {
			t.Errorf("%s: %s %s %d", n.Name, n.Memory, n.Disk, n.CPUs)
		}
	}
	l = parse(t, "defaults: {cpus: 8}\nnodes: [{name: c, role: control-plane}, {name: w, cpus: 3, memory: 800000000}]")
	if l.Nodes[0].CPUs != 8 || l.Nodes[1].CPUs != 3 || l.Nodes[1].Memory != "800000000" || l.Nodes[1].Disk != "10Gi" {
		t.Errorf("got %+v", l.Nodes)
	}
}

func TestListedNodesGetZonesThatAreLeastUsed(t *testing.T) {
	l := parse(t, `
zones: [a, b]
nodes:
- {name: c, role: control-plane, zone: b}
- {name: w1}
- {name: w2, zone: a}
- {name: w3, role: worker}
- {name: d, labels: {disk: ssd}, taints: [{key: k, effect: NoExecute}]}
`)
	if want := "c@b w1@b w2@a w3@a d@b"; places(l) != want {
		t.Errorf("got %s, want %s", places(l), want)
	}
	want := Node{Name: "d", Role: Worker, Zone: "b", Memory: "2Gi", CPUs: 2, Disk: "10Gi",
		Labels: map[string]string{"disk": "ssd"}, Taints: []Taint{{Key: "k", Effect: "NoExecute"}}}
	if !reflect.DeepEqual(l.Nodes[4], want) {
		t.Errorf("got %+v, want %+v", l.Nodes[4], want)
	}
}

func TestZonesComeFromListedNodesWhenTheFileNamesNone(t *testing.T) {
	l := parse(t, "nodes: [{name: c, role: control-plane, zone: oslo}, {name: w, zone: rome}, {name: v, zone: oslo}]")
	if !reflect.DeepEqual(l.Zones, []string{"oslo", "rome"}) {
		t.Errorf("got %v", l.Zones)
	}
}

func TestAliasesAreFollowed(t *testing.T) {
	l := parse(t, "nodes:\n- &w {name: c, role: control-plane, labels: &l {a: b}}\n- {name: d, labels: *l}\n")
	if l.Nodes[1].Labels["a"] != "b" {
		t.Errorf("got %+v", l.Nodes[1])
	}
}

func TestFileThatIsTooLargeIsRefused(t *testing.T) {
	if _, err := Parse(make([]byte, MaxFile+1), "lab.yaml"); err == nil || !strings.Contains(err.Error(), "at most 1048576") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, p := range Profiles() {
		l, _ := Profile(p)
		f.Add(Print(l))
		f.Add([]byte("profile: " + p))
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("nodes: &a\n- name: *a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse(data, "lab.yaml")
		if err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				if !strings.HasPrefix(line, "lab.yaml:") {
					t.Errorf("a line without its place: %q", line)
				}
			}
			return
		}
		if err := l.Validate(); err != nil {
			t.Errorf("Parse let through what Validate refuses: %v", err)
		}
		again, err := Parse(Print(l), "printed")
		if err != nil {
			t.Fatalf("the printed lab does not parse: %v\n%s", err, Print(l))
		}
		if !reflect.DeepEqual(l, again) {
			t.Errorf("got %+v, want %+v", again, l)
		}
	})
}

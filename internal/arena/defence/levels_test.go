package defence

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"zdl/internal/addon"
	"zdl/internal/labfile"
	"zdl/internal/topology"
)

const root = "../../../"

// inLevels reads the defences of every level that comes with the lab.
func inLevels(t *testing.T) map[string][]Defence {
	t.Helper()
	files, err := filepath.Glob(root + "arena/levels/*.yaml")
	if err != nil || len(files) == 0 {
		t.Skip("no levels yet", err)
	}
	out := map[string][]Defence{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var whole map[string]any
		if err := yaml.Unmarshal(data, &whole); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		part, err := yaml.Marshal(map[string]any{"defences": whole["defences"]})
		if err != nil {
			t.Fatal(err)
		}
		var all struct {
			Defences []Defence `yaml:"defences"`
		}
		d := yaml.NewDecoder(bytes.NewReader(part))
		d.KnownFields(true)
		if err := d.Decode(&all); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := Check(all.Defences); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		out[filepath.Base(file)] = all.Defences
	}
	return out
}

func TestDefencesOfOneNameAreEqualInAllLevels(t *testing.T) {
	seen := map[string]Defence{}
	where := map[string]string{}
	for file, all := range inLevels(t) {
		for _, d := range all {
			if other, ok := seen[d.Name]; ok && !reflect.DeepEqual(other, d) {
				t.Errorf("%s: %s differs from that of %s", file, d.Name, where[d.Name])
			}
			seen[d.Name], where[d.Name] = d, file
		}
	}
}

func TestDefencesAreDocumented(t *testing.T) {
	for file, all := range inLevels(t) {
		for _, d := range all {
			path, heading, _ := strings.Cut(d.Docs, "#")
			text, err := os.ReadFile(root + path)
			if d.Docs == "" || err != nil {
				t.Errorf("%s: %s: docs %q: %v", file, d.Name, d.Docs, err)
				continue
			}
			found := heading == ""
			for line := range strings.Lines(string(text)) {
				if name, ok := strings.CutPrefix(strings.TrimLeft(strings.TrimSpace(line), "#"), " "); ok && strings.HasPrefix(line, "#") {
					found = found || strings.ReplaceAll(strings.ToLower(name), " ", "-") == heading
				}
			}
			if !found {
				t.Errorf("%s: %s: %s has no heading %q", file, d.Name, path, heading)
			}
		}
	}
}

// TestPatchesFitTheLabsOwnManifests applies each patch to the object that the lab
// makes, and reads the result as Kubernetes does: every field exists.
func TestPatchesFitTheLabsOwnManifests(t *testing.T) {
	lab, err := labfile.Profile("ha")
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]string{}
	for _, name := range []string{"web", "skipper", "coredns", "kube-proxy"} {
		images[name] = "zdl.local/" + name + ":1"
	}
	objects, err := addon.Essential(addon.Params{Lab: lab, Topology: topology.New(lab), Images: images, TLSCertificate: "PEM", TLSKey: "PEM"})
	if err != nil {
		t.Fatal(err)
	}
	for file, all := range inLevels(t) {
		for _, d := range all {
			for _, p := range d.Patches {
				at := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool {
					return o.GetKind() == p.Kind && o.GetNamespace() == p.Namespace && o.GetName() == p.Name
				})
				switch {
				case p.Kind == StaticPod:
					continue // its flags are proven on a lab
				case at < 0:
					if !strings.Contains(file, "database") {
						t.Errorf("%s: %s: the lab makes no %s", file, d.Name, p.ref())
					}
					continue
				}
				before := objects[at]
				after := before.DeepCopy()
				if len(p.Flags) > 0 {
					words, _ := json.Marshal(before.Object)
					for flag := range p.Flags {
						if !strings.Contains(string(words), "-"+flag+"=") {
							t.Errorf("%s: %s: %s has no flag %s", file, d.Name, p.ref(), flag)
						}
					}
					if after, err = withFlags(before, p.Flags); err != nil {
						t.Fatal(err)
					}
				}
				var patch map[string]any
				if err := json.Unmarshal(encode(p.Merge), &patch); err != nil {
					t.Fatal(err)
				}
				mergePatch(after.Object, patch)
				if len(diff(before.Object, after.Object)) == 0 {
					t.Errorf("%s: %s: the patch of %s changes nothing", file, d.Name, p.ref())
				}
				var typed any = &appsv1.Deployment{}
				if p.Kind == "PodDisruptionBudget" {
					typed = &policyv1.PodDisruptionBudget{}
				}
				decoder := json.NewDecoder(bytes.NewReader(encode(after.Object)))
				decoder.DisallowUnknownFields()
				if err := decoder.Decode(typed); err != nil {
					t.Errorf("%s: %s: %s: %v", file, d.Name, p.ref(), err)
				}
			}
		}
	}
}

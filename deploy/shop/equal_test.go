package shop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the Kustomize base, and the development passwords, from the chart's output")

// base is the chart with its own values. Passwords come from elsewhere: what is in
// Git is in everybody's hands.
func base(t *testing.T) map[string]any {
	t.Helper()
	return map[string]any{"secrets": map[string]any{"create": false}}
}

func values(t *testing.T, name string) map[string]any {
	t.Helper()
	v, err := Values(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// rendered are the chart's objects by their identity.
func rendered(t *testing.T, values map[string]any) map[string]map[string]any {
	t.Helper()
	files, err := Render(values)
	if err != nil {
		t.Fatal(err)
	}
	var all []*unstructured.Unstructured
	for _, objects := range files {
		all = append(all, objects...)
	}
	return byID(t, all)
}

// built are the objects of a Kustomize directory by their identity.
func built(t *testing.T, dir string) map[string]map[string]any {
	t.Helper()
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("kustomize", dir))
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return byID(t, objects)
}

func byID(t *testing.T, objects []*unstructured.Unstructured) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, o := range objects {
		id := fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
		if out[id] != nil {
			t.Errorf("%s is there twice", id)
		}
		out[id] = plain(t, o.Object)
	}
	return out
}

// plain is the object as any client reads it: numbers of one type, and what a Secret
// holds as text, since stringData and data mean the same.
func plain(t *testing.T, object map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if text, ok := out["stringData"].(map[string]any); ok && out["kind"] == "Secret" {
		data := map[string]any{}
		for k, v := range text {
			data[k] = base64.StdEncoding.EncodeToString([]byte(v.(string)))
		}
		out["data"] = data
		delete(out, "stringData")
		if out["type"] == nil {
			out["type"] = "Opaque" // as the API server fills it in
		}
	}
	return out
}

func TestHelmAndKustomizeMakeTheSameObjects(t *testing.T) {
	if *update {
		writeBase(t)
		writeDevelopmentSecrets(t)
	}
	for dir, chart := range map[string]map[string]any{
		"base":                base(t),
		"overlays/dev":        values(t, "dev"),
		"overlays/production": values(t, "production"),
	} {
		helm, kustomize := rendered(t, chart), built(t, dir)
		// An overlay makes its namespace; Helm has --create-namespace for that.
		delete(kustomize, "Namespace /shop")
		if len(helm) < 50 {
			t.Errorf("%s: the chart makes %d objects only", dir, len(helm))
		}
		for _, id := range slices.Sorted(maps.Keys(helm)) {
			switch {
			case kustomize[id] == nil:
				t.Errorf("%s: Kustomize makes no %s", dir, id)
			case !reflect.DeepEqual(helm[id], kustomize[id]):
				t.Errorf("%s: %s differs:\n%s", dir, id, difference(helm[id], kustomize[id], ""))
			}
		}
		for _, id := range slices.Sorted(maps.Keys(kustomize)) {
			if helm[id] == nil {
				t.Errorf("%s: Helm makes no %s", dir, id)
			}
		}
	}
}

// The test above would not see a difference if the comparison could not.
func TestADifferenceIsSeen(t *testing.T) {
	one := rendered(t, base(t))
	v := base(t)
	v["services"] = map[string]any{"cart": map[string]any{"drain": "9s"}}
	other := rendered(t, v)
	var differ []string
	for id := range one {
		if !reflect.DeepEqual(one[id], other[id]) {
			differ = append(differ, id)
		}
	}
	if want := []string{"Deployment shop/cart"}; !slices.Equal(differ, want) {
		t.Fatalf("differ: %v, want %v", differ, want)
	}
	if text := difference(one["Deployment shop/cart"], other["Deployment shop/cart"], ""); !strings.Contains(text, `helm "3s", kustomize "9s"`) {
		t.Errorf("told as %q", text)
	}
}

// difference names each place where two values differ.
func difference(a, b any, at string) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	var out strings.Builder
	x, okX := a.(map[string]any)
	y, okY := b.(map[string]any)
	if okX && okY {
		keys := maps.Clone(x)
		maps.Copy(keys, y)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			out.WriteString(difference(x[k], y[k], at+"/"+k))
		}
		return out.String()
	}
	p, okP := a.([]any)
	q, okQ := b.([]any)
	if okP && okQ && len(p) == len(q) {
		for i := range p {
			out.WriteString(difference(p[i], q[i], fmt.Sprintf("%s/%d", at, i)))
		}
		return out.String()
	}
	m, _ := json.Marshal(a)
	n, _ := json.Marshal(b)
	return fmt.Sprintf("  %s: helm %s, kustomize %s\n", at, m, n)
}

const generated = "# Made from the chart: go test ./deploy/shop -update. Change the chart instead.\n"

// writeBase writes one file for each part, named by its label.
func writeBase(t *testing.T) {
	t.Helper()
	files, err := Render(base(t))
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]*unstructured.Unstructured{}
	for _, objects := range files {
		for _, o := range objects {
			name := o.GetLabels()["app.kubernetes.io/name"]
			parts[name] = append(parts[name], o)
		}
	}
	old, err := filepath.Glob("kustomize/base/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	list := generated + "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: shop\nresources:\n"
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		list += "- " + name + ".yaml\n"
		write(t, "kustomize/base/"+name+".yaml", parts[name])
	}
	if err := os.WriteFile("kustomize/base/kustomization.yaml", []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeDevelopmentSecrets(t *testing.T) {
	t.Helper()
	files, err := Render(values(t, "dev"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, "kustomize/overlays/dev/secrets.yaml", files["secrets.yaml"])
}

func write(t *testing.T, path string, objects []*unstructured.Unstructured) {
	t.Helper()
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int {
		return strings.Compare(a.GetKind()+" "+a.GetName(), b.GetKind()+" "+b.GetName())
	})
	var text bytes.Buffer
	text.WriteString(generated)
	for i, o := range objects {
		one, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			text.WriteString("---\n")
		}
		text.Write(one)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

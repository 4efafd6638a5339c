package incidents

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"

	"zdl/internal/incident"
	"zdl/internal/incident/causal"
)

// shopObjects are those that the shop's manifests make.
func shopObjects(t *testing.T) map[causal.Entity]bool {
	t.Helper()
	files, err := filepath.Glob("../deploy/shop/kustomize/base/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("the shop's manifests were not found: %v", err)
	}
	out := map[causal.Entity]bool{}
	for _, name := range append(files, "../deploy/shop/kustomize/overlays/dev/secrets.yaml") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
			var m map[string]any
			if err := d.Decode(&m); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if e, err := incident.EntityOf(m); err == nil { // a kustomization is no object
				out[e] = true
			}
		}
	}
	return out
}

// What scenarios of the shop change is in the shop's manifests, or was made by the
// scenario itself.
func TestScenariosNameTheShopsObjects(t *testing.T) {
	there := shopObjects(t)
	for _, name := range Names() {
		for _, s := range every(t, name) {
			if s.Stage.Workload != "shop" {
				continue
			}
			made := map[causal.Entity]bool{}
			changes := append([]incident.Change{}, s.Stage.Setup...)
			for _, x := range s.Inject {
				if x.Change != nil {
					changes = append(changes, *x.Change)
				}
			}
			for _, c := range changes {
				for _, m := range c.Manifests {
					e, err := incident.EntityOf(m)
					if err != nil {
						t.Fatal(err)
					}
					made[e] = true
				}
				if c.Object.Namespace() == "shop" && !there[c.Object] && !made[c.Object] {
					t.Errorf("%s: the shop has no %s", name, c.Object)
				}
			}
			for _, n := range s.Graph.Of(causal.Root) {
				if n.Entity.Namespace() == "shop" && !there[n.Entity] && !made[n.Entity] {
					t.Errorf("%s: the shop has no %s", name, n.Entity)
				}
			}
		}
	}
}

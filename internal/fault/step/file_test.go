package step

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"zdl/internal/artifact"
	"zdl/internal/cluster/local"
	"zdl/internal/fault"
	"zdl/internal/labfile"
)

// quietWorld is a lab of which no machine runs.
func quietWorld(t *testing.T) *World {
	t.Helper()
	lab, err := labfile.Profile("small")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := local.New(local.Config{Name: "step-test", Lab: lab, Set: &artifact.Set{}, StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run")})
	if err := os.MkdirAll(c.KubernetesDir("cp-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &World{Local: c, Dir: filepath.Join(dir, "kept")}
}

// again makes the step anew from its JSON, as a daemon after a crash does.
func again(t *testing.T, w *World, s fault.Step) fault.Step {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	out := w.Mechanics(s.Mechanism())
	if out == nil {
		t.Fatalf("no mechanism %q", s.Mechanism())
	}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func state(t *testing.T, s fault.Step) string {
	t.Helper()
	m, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(m) // sorted by key
	return string(b)
}

func TestFileIsRestoredExactly(t *testing.T) {
	for name, test := range map[string]struct {
		before, fault []byte // nil: not there
		mode          os.FileMode
		inPlace       bool
	}{
		"replaced":              {before: []byte("good"), fault: []byte("bad"), mode: 0o640},
		"replaced in place":     {before: []byte("good and long"), fault: []byte("bad"), mode: 0o604, inPlace: true},
		"removed":               {before: []byte("good"), mode: 0o600},
		"made where none was":   {fault: []byte("bad")},
		"emptied":               {before: []byte("good"), fault: []byte{}, mode: 0o444},
		"equal to what it was ": {before: []byte("good"), fault: []byte("good"), mode: 0o644},
	} {
		t.Run(name, func(t *testing.T) {
			w := quietWorld(t)
			host := filepath.Join(w.Local.KubernetesDir("cp-1"), "file")
			if test.before != nil {
				if err := os.WriteFile(host, test.before, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(host, test.mode); err != nil {
					t.Fatal(err)
				}
			}
			f, err := w.NewFile(t.Context(), "cp-1", "/etc/kubernetes/file", test.fault)
			if err != nil {
				t.Fatal(err)
			}
			f.InPlace = test.inPlace
			before := state(t, f)
			for range 2 { // Inject may be called again
				if err := again(t, w, f).Inject(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := f.Verify(t.Context()); err != nil {
				t.Error(err)
			}
			if got, err := os.ReadFile(host); (err == nil) != (test.fault != nil) || string(got) != string(test.fault) {
				t.Errorf("during the fault: %q, %v", got, err)
			}
			for range 2 {
				if err := again(t, w, f).Undo(t.Context()); err != nil {
					t.Fatal(err)
				}
				if after := state(t, f); after != before {
					t.Errorf("after the undo %s, before %s", after, before)
				}
			}
			left, err := os.ReadDir(filepath.Dir(host))
			if err != nil || len(left) > 1 {
				t.Errorf("left beside it: %v, %v", left, err)
			}
		})
	}
}

func TestFileVerifySeesWhatSomebodyElseWrote(t *testing.T) {
	w := quietWorld(t)
	host := filepath.Join(w.Local.KubernetesDir("cp-1"), "file")
	f, err := w.NewFile(t.Context(), "cp-1", "/etc/kubernetes/file", []byte("bad"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Inject(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(host, []byte("healed by hand"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := f.Verify(t.Context()); err == nil {
		t.Errorf("proven by %q although the file is another", text)
	}
}

func TestFileInMemoryOfAMachineThatIsOffNeedsNoUndo(t *testing.T) {
	w := quietWorld(t)
	f := &File{w: w, Machine: "worker-1", Path: "/run/file", Original: &Content{Data: []byte("x"), Mode: 0o600}}
	if err := f.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Inject(t.Context()); err == nil {
		t.Error("wrote to a machine that is off")
	}
}

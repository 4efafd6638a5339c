package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestOpenOfAnEmptyCacheSaysWhatToRun(t *testing.T) {
	_, err := Open(t.TempDir())
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("got %v, want a MissingError", err)
	}
	if !strings.HasSuffix(err.Error(), "run: zdl build") {
		t.Errorf("message %q does not end with what to run", err)
	}
}

// fakeSet writes a set that Open accepts, and makes it current.
func fakeSet(t *testing.T, cache, name string) *Set {
	t.Helper()
	s := &Set{Arch: runtime.GOARCH, Images: map[string]string{"web": "zdl.local/web:v1"}}
	s.at(filepath.Join(cache, "sets", name))
	for _, file := range []string{"bin/kubernetes", "bin/containerd", "cni/ptp", "golden/blobs/x", "disk.img"} {
		path := filepath.Join(s.Dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.write(); err != nil {
		t.Fatal(err)
	}
	link := currentLink(cache, runtime.GOARCH)
	os.Remove(link)
	if err := os.Symlink(filepath.Join("sets", name), link); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOpenFindsTheCurrentSetAndWhatItLacks(t *testing.T) {
	cache := t.TempDir()
	made := fakeSet(t, cache, runtime.GOARCH+"-1")
	s, err := Open(cache)
	if err != nil {
		t.Fatal(err)
	}
	if s.Images["web"] != "zdl.local/web:v1" || s.Bin != filepath.Join(made.Dir, "bin") {
		t.Errorf("got %+v", s)
	}
	if err := os.Remove(s.DiskTemplate); err != nil {
		t.Fatal(err)
	}
	_, err = Open(cache)
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Path != s.DiskTemplate {
		t.Errorf("without the disk template: got %v", err)
	}
}

func TestProgramsForAnotherArchitectureAreNoLab(t *testing.T) {
	s := fakeSet(t, t.TempDir(), "riscv64-1")
	s.Arch = "riscv64"
	if err := s.write(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenGeneration(s.Dir); err == nil || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("got %v", err)
	}
}

func TestGenerationsStayWhileALabHoldsThem(t *testing.T) {
	cache, lab := t.TempDir(), t.TempDir()
	held := fakeSet(t, cache, runtime.GOARCH+"-held")
	free := fakeSet(t, cache, runtime.GOARCH+"-free")
	foreign := fakeSet(t, cache, "other-1")
	current := fakeSet(t, cache, runtime.GOARCH+"-current")
	for range 2 {
		if err := held.Hold(lab); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(cache, "programs", "etcd-"+runtime.GOARCH+"-old"), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := newBuilder(t.Context(), Options{CacheDir: cache, SourceDir: filepath.Join("..", "..")})
	if err != nil {
		t.Fatal(err)
	}
	b.tmp = t.TempDir()
	collect := func() {
		t.Helper()
		if err := b.collect(nil, current); err != nil {
			t.Fatal(err)
		}
	}
	there := func(s *Set) bool { _, err := os.Stat(s.Dir); return err == nil }

	collect()
	if !there(held) || there(free) || !there(foreign) || !there(current) {
		t.Fatalf("after collecting: held %v, free %v, other architecture %v, current %v", there(held), there(free), there(foreign), there(current))
	}
	if left, _ := os.ReadDir(filepath.Join(cache, "programs")); len(left) != 0 {
		t.Errorf("old programs are still there: %v", left)
	}
	if err := os.RemoveAll(lab); err != nil {
		t.Fatal(err)
	}
	collect()
	if there(held) || !there(current) {
		t.Errorf("after the lab is gone: held %v, current %v", there(held), there(current))
	}
}

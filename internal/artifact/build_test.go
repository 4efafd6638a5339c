package artifact

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProgramsAreNamedAsTheGoCommandNamesThem(t *testing.T) {
	for pkg, want := range map[string]string{
		".": "family",
		"github.com/containerd/containerd/v2/cmd/ctr": "ctr",
		"go.etcd.io/etcd/etcdctl/v3":                  "etcdctl",
		"github.com/coredns/coredns":                  "coredns",
	} {
		if got := programName("family", pkg); got != want {
			t.Errorf("%s: got %s, want %s", pkg, got, want)
		}
	}
}

func TestEveryFamilyHasALockedVersion(t *testing.T) {
	for _, f := range families {
		dir := f.dir(filepath.Join("..", ".."))
		version, err := moduleVersion(dir, f.module)
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "go.sum")); err != nil {
			t.Errorf("%s %s is not locked: %v", f.name, version, err)
		}
		if flags := f.linkFlags("v1.36.3"); strings.Contains(flags, "{") {
			t.Errorf("%s: link flags %q", f.name, flags)
		}
	}
}

func TestModuleVersionReadsBothFormsOfRequire(t *testing.T) {
	dir := t.TempDir()
	mod := "module x\n\nrequire a.org/one v1.2.3\n\nrequire (\n\ta.org/two v0.1.0+incompatible // indirect\n)\n\nreplace a.org/three => a.org/three v9.0.0\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644); err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]string{"a.org/one": "v1.2.3", "a.org/two": "v0.1.0", "a.org/three": ""} {
		got, err := moduleVersion(dir, module)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", module, got, err, want)
		}
	}
}

func TestKeyChangesWithContentNamesAndImportedPackages(t *testing.T) {
	root := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key := func() string {
		t.Helper()
		k := newKey("x")
		if err := k.addPackage(root, "zdl", "web"); err != nil {
			t.Fatal(err)
		}
		return k.String()
	}
	write("web/main.go", "package main\n\nimport _ \"zdl/internal/probe\"\n")
	write("web/page.html", "one")
	write("internal/probe/probe.go", "package probe\n")
	write("internal/arena/arena.go", "package arena\n")
	write("go.sum", "one")
	first := key()
	if key() != first {
		t.Fatal("the same content has two keys")
	}
	write("internal/arena/arena.go", "package arena // changed\n")
	write("go.sum", "two")
	if key() != first {
		t.Error("a package that is not imported changed the key")
	}
	write("internal/probe/probe.go", "package probe // changed\n")
	second := key()
	if second == first {
		t.Error("an imported package did not change the key")
	}
	write("web/page.html", "two")
	if key() == second {
		t.Error("an embedded file did not change the key")
	}
	if newKey("ab", "c").String() == newKey("a", "bc").String() {
		t.Error("parts run into each other")
	}
}

func TestRequirementErrorIsOneSentenceWithTheCommand(t *testing.T) {
	native := &RequirementError{Missing: []Requirement{
		{What: "gcc", For: "runc", Packages: []string{"gcc", "libc6-dev"}},
		{What: "nft", For: "kube-proxy", Packages: []string{"nftables"}},
		{What: "gcc", For: "pause", Packages: []string{"gcc"}},
	}}
	want := "cannot build: missing gcc (for runc), nft (for kube-proxy), gcc (for pause); on Debian: apt-get install --no-install-recommends gcc libc6-dev nftables"
	if native.Error() != want {
		t.Errorf("got  %s\nwant %s", native, want)
	}
	cross := &RequirementError{Missing: []Requirement{{What: "gcc", For: "runc", Packages: []string{"libseccomp-dev:arm64"}}}}
	if !strings.Contains(cross.Error(), "dpkg --add-architecture arm64 && apt-get update && apt-get install") {
		t.Errorf("a foreign package without its architecture: %s", cross)
	}
}

func TestVersionOfE2fsprogs(t *testing.T) {
	for banner, want := range map[string]bool{
		"mke2fs 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS": true,
		"mke2fs 1.47-WIP (x)":                        true,
		"mke2fs 1.46.5 (30-Dec-2021)":                false,
		"mke2fs 2.0 (x)":                             true,
		"":                                           false,
		"mke2fs what":                                false,
	} {
		if got := e2fsprogsAtLeast(banner, 1, 47); got != want {
			t.Errorf("%q: got %v", banner, got)
		}
	}
}

func TestLibrariesOfAProgram(t *testing.T) {
	got, err := parseLDD(`	linux-vdso.so.1 (0x00007ffd)
	libnftables.so.1 => /lib/x86_64-linux-gnu/libnftables.so.1 (0x00007f)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)
	/lib64/ld-linux-x86-64.so.2 (0x00007f)
`)
	want := "/lib/x86_64-linux-gnu/libc.so.6 /lib/x86_64-linux-gnu/libnftables.so.1 /lib64/ld-linux-x86-64.so.2"
	if err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseLDD("\tlibx.so.1 => not found\n"); err == nil || !strings.Contains(err.Error(), "libx.so.1") {
		t.Errorf("a missing library: got %v", err)
	}
}

func TestTheSecondBuilderWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := lock(t.Context(), path, func() { t.Error("nobody else is there") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	told := 0
	if _, err := lock(ctx, path, func() { told++ }); !errors.Is(err, context.DeadlineExceeded) || told != 1 {
		t.Fatalf("while locked: got %v, told %d times", err, told)
	}
	release()
	release, err = lock(t.Context(), path, func() { t.Error("the lock was not released") })
	if err != nil {
		t.Fatal(err)
	}
	release()
}

package artifact

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPackagesAreReadFromWhatAptPrints(t *testing.T) {
	got, err := parseURIs(`Reading package lists...
The following NEW packages will be installed:
'http://deb.debian.org/x/zlib1g_1.2.13_amd64.deb' zlib1g_1%3a1.2.13.dfsg-1_amd64.deb 86684 SHA256:aa
'http://deb.debian.org/x/patroni_3.0.2-1_all.deb' patroni_3.0.2-1_all.deb 178700 SHA256:bb
`)
	want := []debianPackage{{"patroni", "3.0.2-1", "patroni_3.0.2-1_all.deb", 178700}, {"zlib1g", "1:1.2.13.dfsg-1", "zlib1g_1%3a1.2.13.dfsg-1_amd64.deb", 86684}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseURIs("nothing\n"); err == nil {
		t.Error("no package is no error")
	}
	left := without(got, []string{"zlib*"})
	if len(left) != 1 || left[0].name != "patroni" {
		t.Errorf("left: %+v", left)
	}
}

func TestAptsReasonIsOneSentence(t *testing.T) {
	if got := firstError("W: old\nE: Unable to locate package patroni\nE: more\n"); got != "Unable to locate package patroni" {
		t.Errorf("%q", got)
	}
}

func TestOnlyWhatIsNeededStaysInATree(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"usr/share/doc/a/copyright", "usr/lib/x/keep", "usr/lib/x/__pycache__/a.pyc", "usr/lib/postgresql/15/lib/llvmjit.so"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(root, []string{"usr/share/doc", "**/__pycache__", "usr/lib/postgresql/*/lib/llvmjit*", "no/such/thing"}); err != nil {
		t.Fatal(err)
	}
	if err := linkUsr(root); err != nil {
		t.Fatal(err)
	}
	entries, err := treeEntries(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.source != "" || e.link != "" {
			got = append(got, e.path+" "+e.link)
		}
		if e.path == "/usr/lib/x/keep" && e.mode != 0o640 {
			t.Errorf("mode %o", e.mode)
		}
	}
	if want := []string{"/lib usr/lib", "/usr/lib/x/keep "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestALibraryThatIsNotInTheImageIsNamed(t *testing.T) {
	program, err := os.ReadFile("/bin/ls") // dynamically linked on every distribution
	if err != nil {
		t.Skip(err)
	}
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "ls"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	missing, err := missingLibraries(root)
	if err != nil || len(missing) == 0 || !strings.Contains(strings.Join(missing, " "), "(for /ls)") {
		t.Errorf("%q, %v", missing, err)
	}
	for _, m := range missing {
		name, _, _ := strings.Cut(m, " ")
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if missing, err := missingLibraries(root); err != nil || len(missing) > 0 {
		t.Errorf("%q, %v", missing, err)
	}
}

func TestVersionsOfThePostgresImage(t *testing.T) {
	dir := t.TempDir()
	write := func(list string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "packages"), []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("patroni 3.0.2-1\npostgresql-15 15.18-0+deb12u1\npostgresql-client-15 15.18-0+deb12u1\n")
	got, err := postgresImage.packageVersions(dir)
	if err != nil || got["patroni"] != "3.0.2-1" || got["postgres"] != "15.18-0+deb12u1" || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if tag := imageTag(got["postgres"]); tag != "15.18-0-deb12u1" {
		t.Errorf("tag %q", tag)
	}
	write("patroni 3.0.2-1\n")
	if got, err := postgresImage.packageVersions(dir); err == nil {
		t.Errorf("without PostgreSQL: %v", got)
	}
}

// The same tree gives the same layer, and it is found again.
func TestALayerThatWasStoredIsTheSame(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "file"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	entries, err := treeEntries(root)
	if err != nil {
		t.Fatal(err)
	}
	made, err := writeLayer(filepath.Join(out, "layer"), entries)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.describe(filepath.Join(out, "layer.json")); err != nil {
		t.Fatal(err)
	}
	found, err := openLayer(out)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := found.Digest()
	diffID, err2 := found.DiffID()
	if err != nil || err2 != nil || digest != made.digest || diffID != made.diffID {
		t.Errorf("%v %v, %v %v", digest, diffID, err, err2)
	}
}

package doctor

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"zdl/internal/labfile"
)

func TestKernelVersions(t *testing.T) {
	for release, want := range map[string][3]int{
		"6.1.0-18-amd64": {6, 1, 1}, "5.10-rc3": {5, 10, 1}, "6.18.44": {6, 18, 1}, "strange": {0, 0, 0}, "7": {7, 0, 0},
	} {
		major, minor, ok := version(release)
		if (ok) != (want[2] == 1) || ok && (major != want[0] || minor != want[1]) {
			t.Errorf("%s: %d.%d %v", release, major, minor, ok)
		}
	}
}

func TestAvailableMemoryCountsSwap(t *testing.T) {
	n, err := available(strings.NewReader("MemTotal: 99 kB\nMemAvailable:    1024 kB\nSwapFree:  1024 kB\n"))
	if err != nil || n != 2<<20 {
		t.Errorf("got %d, %v", n, err)
	}
	for _, bad := range []string{"", "MemTotal: 1 kB\n", "MemAvailable: much kB\n"} {
		if _, err := available(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestMemoryFailsOnlyFarBelowTheNeed(t *testing.T) {
	if c := checkMemory(1); c.Status != OK {
		t.Errorf("1 byte: %+v", c)
	}
	if c := checkMemory(1 << 60); c.Status != Fail || c.Fix == "" {
		t.Errorf("an exbibyte: %+v", c)
	}
}

func TestFullDiskNamesTheNeedAndThePlace(t *testing.T) {
	dir := t.TempDir()
	c := checkDisk("disk", "free disk", filepath.Join(dir, "not", "there", "yet"), 1<<60)
	err := c.err()
	if err == nil || !strings.Contains(err.Error(), "needed: 1073741824.0 GiB") || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "ZDL_STATE") {
		t.Errorf("got %v", err)
	}
	if c := checkDisk("disk", "free disk", dir, 1); c.Status != OK || c.err() != nil {
		t.Errorf("one byte: %+v", c)
	}
}

func TestMissingProgramsAreOneSentenceAndOneCommand(t *testing.T) {
	checks := checkPrograms([]program{
		{[]string{"no-such-haproxy"}, "haproxy", "load balancers", false},
		{[]string{"no-such-thing", "sh"}, "dash", "found under its second name", false},
		{[]string{"no-such-nft"}, "nftables", "Services", false},
		{[]string{"no-such-browser"}, "chromium", "tests", true},
	}, false)
	if len(checks) != 3 || checks[1].Status != OK || !Failed(checks) {
		t.Fatalf("got %+v", checks)
	}
	err := missingPrograms(checks)
	if err == nil || !strings.HasPrefix(err.Error(), "no-such-haproxy, no-such-nft not found on this machine; ") || !strings.HasSuffix(err.Error(), "haproxy nftables") {
		t.Errorf("got %v", err)
	}
	if got := Packages(checks); !reflect.DeepEqual(got, []string{"haproxy", "nftables"}) {
		t.Errorf("packages %v", got)
	}
	if err := missingPrograms(checks[1:2]); err != nil {
		t.Errorf("nothing is missing: %v", err)
	}
}

func TestPackagesAreNamedOnceAndOnlyWhereNeeded(t *testing.T) {
	got := Packages([]Check{
		{Status: Fail, Packages: []string{"b", "a"}}, {Status: OK, Packages: []string{"c"}},
		{Status: Info, Packages: []string{"d"}}, {Status: Warn, Packages: []string{"a"}},
	})
	if !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
}

func TestLargerLabsNeedMore(t *testing.T) {
	var last int64
	for _, name := range labfile.Profiles() {
		l, err := labfile.Profile(name)
		if err != nil {
			t.Fatal(err)
		}
		memory, disk := Needs(l)
		if memory <= last || disk <= 0 {
			t.Errorf("%s: %d bytes of memory, %d of disk", name, memory, disk)
		}
		last = memory
	}
}

func TestNearestExistingDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{dir: dir, dir + "/a/b/c": dir, file + "/x": dir, "/": "/"} {
		if got := existing(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestMissingControllersAreNamed(t *testing.T) {
	if got := without([]string{"cpu", "memory", "pids"}, []string{"pids", "cpu"}); !reflect.DeepEqual(got, []string{"memory"}) {
		t.Errorf("got %v", got)
	}
}

// TestRunSaysEverythingAboutEveryCheck holds on any host, with root or
// without.
func TestRunSaysEverythingAboutEveryCheck(t *testing.T) {
	dir := t.TempDir()
	checks := Run(t.Context(), Options{Cache: dir, State: dir, Test: true, Build: true})
	seen := map[string]bool{}
	for _, c := range checks {
		if c.Name == "" || c.What == "" || c.Detail == "" || c.Status == "" {
			t.Errorf("incomplete: %+v", c)
		}
		if (c.Status == Fail || c.Status == Warn) && c.Fix == "" {
			t.Errorf("nothing is said about how to mend it: %+v", c)
		}
		if seen[c.Name] {
			t.Errorf("two checks are called %s", c.Name)
		}
		seen[c.Name] = true
	}
	for _, name := range []string{"system", "root", "haproxy", "namespaces", "disk-trial", "cgroups", "netem", "memory", "disk", "ports", "artifacts", "go", "gcc", "chromium"} {
		if !seen[name] {
			t.Errorf("%s is not checked", name)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if os.Geteuid() != 0 {
		if err := Require(t.Context(), Options{Cache: dir, State: dir}); err == nil || !strings.HasPrefix(err.Error(), "this needs root; run it again with: sudo zdl") {
			t.Errorf("without root: %v", err)
		}
	}
}

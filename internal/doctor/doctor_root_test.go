package doctor

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// traces lists what trials could leave behind on the host.
func traces(t *testing.T) string {
	t.Helper()
	var all []string
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, strings.Split(string(mounts), "\n")...)
	for _, pattern := range []string{"/sys/class/net/*", "/sys/fs/cgroup/zdl-doctor*", "/sys/fs/cgroup/*/zdl-doctor*", "/sys/block/loop*/loop/backing_file"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if b, err := os.ReadFile(path); err == nil {
				// Other labs on this host may come and go; ours are named.
				if !strings.Contains(string(b), ".zdl-doctor-") {
					continue
				}
				path += " " + string(b)
			}
			all = append(all, path)
		}
	}
	var ours []string
	for _, s := range all {
		if strings.Contains(s, "zdl-doctor") || strings.Contains(s, "/zdl-sw") || strings.Contains(s, "/zdl-a") || strings.Contains(s, "/zdl-b") {
			ours = append(ours, s)
		}
	}
	sort.Strings(ours)
	return strings.Join(ours, "\n")
}

func TestTrialsWorkHereAndLeaveNothing(t *testing.T) {
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: makes namespaces, links, a loop device and cgroups")
	}
	dir := t.TempDir()
	for _, c := range checkKernel(t.Context(), dir) {
		if c.Status == Fail || c.Status == Skipped {
			t.Errorf("%+v", c)
		}
	}
	if left := traces(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := Require(t.Context(), Options{Cache: dir, State: dir}); err != nil {
		t.Errorf("a lab could not run here: %v", err)
	}
}

func TestTrialInAFullOrReadOnlyPlaceIsAClearFailure(t *testing.T) {
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: mounts a read-only file system")
	}
	err := tryDisk("/proc/sys") // nobody can make a directory there
	if err == nil || !strings.Contains(err.Error(), "/proc/sys") {
		t.Errorf("got %v", err)
	}
}

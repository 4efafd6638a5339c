package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestHostsAreRecognised(t *testing.T) {
	for _, test := range []struct {
		name, mountinfo string
		version         Version
		options         []string // of each hierarchy; "" is cgroup2
	}{
		{
			name: "stock Debian 12: unified",
			mountinfo: `24 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
33 24 0:29 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot`,
			version: V2, options: []string{""},
		},
		{
			name: "hybrid: controllers on v1, an empty unified tree beside them",
			mountinfo: `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset,clone_children
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw`,
			version: V1, options: []string{"cpu,cpuacct", "cpuset", "none,name=systemd", ""},
		},
		{
			name: "the same hierarchy mounted twice, and a part of one",
			mountinfo: `32 31 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
33 31 0:29 / /var/lib/other/pids rw - cgroup cgroup rw,pids
34 31 0:30 /docker/1 /mnt/part rw - cgroup cgroup rw,memory`,
			version: V1, options: []string{"pids"},
		},
		{
			name:      "seen from within a cgroup namespace",
			mountinfo: `32 31 0:29 /../../.. /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids`,
			version:   V1, options: []string{"pids"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := parse(strings.NewReader(test.mountinfo))
			if err != nil {
				t.Fatal(err)
			}
			var options []string
			for _, h := range s.Hierarchies {
				options = append(options, h.Options())
			}
			if s.Version != test.version || !reflect.DeepEqual(options, test.options) {
				t.Errorf("got v%d %q, want v%d %q", s.Version, options, test.version, test.options)
			}
		})
	}
}

func TestHostWithoutCgroupsIsRefused(t *testing.T) {
	if _, err := parse(strings.NewReader("24 1 254:1 / / rw - ext4 /dev/vda1 rw")); err != ErrNone {
		t.Errorf("got %v, want ErrNone", err)
	}
}

// fakeV2 is a directory that looks like a cgroup2 tree as far as plain files
// can: files of new groups must be made by hand.
func fakeV2(t *testing.T, controllers string) (*System, func(dir string)) {
	t.Helper()
	root := t.TempDir()
	fill := func(dir string) {
		t.Helper()
		for file, content := range map[string]string{
			"cgroup.controllers": controllers, "cgroup.subtree_control": "", "cgroup.procs": "", "memory.max": "max", "cpu.max": "max 100000",
			"cpu.weight": "100", "pids.max": "max", "cgroup.freeze": "0", "cgroup.events": "populated 0\nfrozen 0",
		} {
			if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, dir, file), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill("")
	return &System{Version: V2, Hierarchies: []Hierarchy{{Path: root, Unified: true}}}, fill
}

func TestV2ControllersAreHandedDownToTheMachine(t *testing.T) {
	s, fill := fakeV2(t, "cpuset cpu memory pids")
	fill("zdl")
	fill("zdl/lab")
	fill("zdl/lab/m")
	g := s.Group("lab", "m")
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{"": "+pids", "zdl": "+pids", "zdl/lab": "+pids", "zdl/lab/m": ""} {
		// Each write replaces a plain file's content, so the last one shows.
		got, err := read(filepath.Join(s.Hierarchies[0].Path, dir), "cgroup.subtree_control")
		if err != nil || !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%q: subtree_control = %q, %v, want %q", dir, got, err, want)
		}
	}
}

func TestV2LimitsUseTheUnifiedFiles(t *testing.T) {
	s, fill := fakeV2(t, "cpu memory pids")
	fill("zdl/lab/m")
	g := s.Group("lab", "m")
	if err := g.SetLimits(Limits{Memory: 1 << 30, CPUs: 2, Weight: 4}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"memory.max": "1073741824", "cpu.max": "200000 100000", "cpu.weight": "800", "pids.max": "max"} {
		if got, _ := read(g.Path("memory"), file); got[:min(len(got), len(want))] != want {
			t.Errorf("%s = %q, want %q", file, got, want)
		}
	}
}

func TestV2MachineIsJoinedAtItsLeafOnceItHasOne(t *testing.T) {
	s, fill := fakeV2(t, "pids")
	fill("zdl/lab/m")
	g := s.Group("lab", "m")
	join := func(dir string) {
		t.Helper()
		if err := g.Join(); err != nil {
			t.Fatal(err)
		}
		if got, _ := read(filepath.Join(s.Hierarchies[0].Path, dir), "cgroup.procs"); got != "0" {
			t.Errorf("%s was not joined", dir)
		}
	}
	join("zdl/lab/m")
	fill("zdl/lab/m/system")
	join("zdl/lab/m/system")
}

func TestMissingControllerIsNamed(t *testing.T) {
	s := &System{Version: V1, Hierarchies: []Hierarchy{{Path: t.TempDir(), Controllers: []string{"cpu"}}}}
	err := s.Group("lab", "m").SetLimits(Limits{})
	if err == nil || !strings.Contains(fmt.Sprint(err), "memory") {
		t.Errorf("got %v, want an error that names memory", err)
	}
}

package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const pod = "/kubepods/pod1"

// fake is a tree of plain files in which writes replace, as in most cgroup files.
func fake(t *testing.T, version Version, files map[string]string) (*Group, string) {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &System{Version: V2, Hierarchies: []Hierarchy{{Path: root, Unified: true}}}
	if version == V1 {
		s = &System{Version: V1}
		for _, c := range []string{"blkio", "cpu", "cpuacct", "memory", "pids"} {
			s.Hierarchies = append(s.Hierarchies, Hierarchy{Path: filepath.Join(root, c), Controllers: []string{c}})
		}
	}
	return s.Group("lab", "node"), root
}

func TestPartReadsBothGenerations(t *testing.T) {
	v1, _ := fake(t, V1, map[string]string{
		"cpuacct/zdl/lab/node" + pod + "/cpuacct.usage":        "1500000000\n",
		"cpu/zdl/lab/node" + pod + "/cpu.cfs_quota_us":         "-1\n",
		"cpu/zdl/lab/node" + pod + "/cpu.cfs_period_us":        "100000\n",
		"cpu/zdl/lab/node" + pod + "/cpu.stat":                 "nr_periods 9\nnr_throttled 4\nthrottled_time 77\n",
		"memory/zdl/lab/node" + pod + "/memory.limit_in_bytes": "9223372036854771712\n",
		"memory/zdl/lab/node" + pod + "/memory.stat":           "shmem 1\ntotal_shmem 4096\n",
		"pids/zdl/lab/node" + pod + "/pids.current":            "12\n",
		"pids/zdl/lab/node" + pod + "/pids.max":                "max\n",
	})
	v2, _ := fake(t, V2, map[string]string{
		"zdl/lab/node" + pod + "/cpu.stat":     "usage_usec 1500000\nnr_periods 9\nnr_throttled 4\n",
		"zdl/lab/node" + pod + "/cpu.max":      "max 100000\n",
		"zdl/lab/node" + pod + "/memory.max":   "max\n",
		"zdl/lab/node" + pod + "/memory.stat":  "anon 7\nshmem 4096\n",
		"zdl/lab/node" + pod + "/pids.current": "12\n",
		"zdl/lab/node" + pod + "/pids.max":     "max\n",
	})
	for name, g := range map[string]*Group{"v1": v1, "v2": v2} {
		t.Run(name, func(t *testing.T) {
			p := g.Part(pod)
			if d, err := p.CPUTime(); err != nil || d != 1500*time.Millisecond {
				t.Errorf("CPU time %v, %v", d, err)
			}
			if q, err := p.Quota(); err != nil || q != "max 100000" {
				t.Errorf("quota %q, %v", q, err)
			}
			if n, of, err := p.Throttled(); err != nil || n != 4 || of != 9 {
				t.Errorf("throttled in %d of %d, %v", n, of, err)
			}
			if n, err := p.MemoryLimit(); err != nil || n != 0 {
				t.Errorf("limit %d, %v", n, err)
			}
			if n, err := p.SharedMemory(); err != nil || n != 4096 {
				t.Errorf("shared memory %d, %v", n, err)
			}
			if n, limit, err := p.PIDs(); err != nil || n != 12 || limit != "max" {
				t.Errorf("tasks %d of %q, %v", n, limit, err)
			}
			if !p.Exists() || g.Part("/kubepods/gone").Exists() {
				t.Error("the wrong group exists")
			}
			if _, err := g.Part("/kubepods/gone").Quota(); !Gone(err) {
				t.Errorf("a group that is not there: %v", err)
			}
		})
	}
}

func TestPartWritesBothGenerations(t *testing.T) {
	empty := func(names ...string) map[string]string {
		m := map[string]string{}
		for _, n := range names {
			m[n] = ""
		}
		return m
	}
	v1, root1 := fake(t, V1, empty("cpu/zdl/lab/node/cpu.cfs_quota_us", "cpu/zdl/lab/node/cpu.cfs_period_us", "pids/zdl/lab/node/pids.max",
		"blkio/zdl/lab/node/blkio.throttle.read_iops_device", "blkio/zdl/lab/node/blkio.throttle.write_iops_device",
		"blkio/zdl/lab/node/kubepods/blkio.throttle.read_iops_device", "blkio/zdl/lab/node/kubepods/blkio.throttle.write_iops_device"))
	v2, root2 := fake(t, V2, empty("zdl/lab/node/cpu.max", "zdl/lab/node/pids.max", "zdl/lab/node/io.max", "zdl/lab/node/kubepods/io.max"))
	for _, g := range []*Group{v1, v2} {
		p := g.Part("")
		if err := p.SetQuota("2000 100000"); err != nil {
			t.Error(err)
		}
		if err := p.SetPIDs("70"); err != nil {
			t.Error(err)
		}
		if err := p.SetIOPS("7:3", 10); err != nil {
			t.Error(err)
		}
	}
	for path, want := range map[string]string{
		root1 + "/cpu/zdl/lab/node/cpu.cfs_quota_us":                           "2000",
		root1 + "/cpu/zdl/lab/node/cpu.cfs_period_us":                          "100000",
		root1 + "/pids/zdl/lab/node/pids.max":                                  "70",
		root1 + "/blkio/zdl/lab/node/blkio.throttle.write_iops_device":         "7:3 10",
		root1 + "/blkio/zdl/lab/node/kubepods/blkio.throttle.read_iops_device": "7:3 10",
		root2 + "/zdl/lab/node/cpu.max":                                        "2000 100000",
		root2 + "/zdl/lab/node/pids.max":                                       "70",
		root2 + "/zdl/lab/node/io.max":                                         "7:3 riops=10 wiops=10",
		root2 + "/zdl/lab/node/kubepods/io.max":                                "", // v2 is hierarchical
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", strings.TrimPrefix(path, filepath.Dir(root1)), got, err, want)
		}
	}
	if got, err := v1.Part("").IOPS("7:3"); err != nil || len(got) != 4 {
		t.Errorf("limits on v1: %v, %v, want 2 groups × 2 files", got, err)
	}
	if got, err := v2.Part("").IOPS("7:3"); err != nil || len(got) != 1 {
		t.Errorf("limits on v2: %v, %v, want 1", got, err)
	}
	if err := v2.Part("").SetIOPSEverywhere("7:3", 10); err != nil {
		t.Error(err)
	}
	if got, err := v2.Part("").IOPS("7:3"); err != nil || len(got) != 2 {
		t.Errorf("limits everywhere on v2: %v, %v, want 2", got, err)
	}
	if got, err := v2.Part("").IOPS("7:4"); err != nil || len(got) != 0 {
		t.Errorf("limits of another device: %v, %v", got, err)
	}
}

func TestProcessJoinsTheNearestGroupThatExists(t *testing.T) {
	g, root := fake(t, V2, map[string]string{"zdl/lab/node/system/cgroup.procs": "", "zdl/lab/node/kubepods/cgroup.procs": ""})
	for below, want := range map[string]string{"": "system", "/kubepods": "kubepods", pod: "kubepods"} {
		if got := g.Part(below).JoinDirs(); len(got) != 1 || got[0] != filepath.Join(root, "zdl/lab/node", want) {
			t.Errorf("part %q joins %v, want %s", below, got, want)
		}
	}
	if err := JoinAt(g.Part(pod).JoinDirs()); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(root, "zdl/lab/node/kubepods/cgroup.procs")); string(b) != "0" {
		t.Errorf("cgroup.procs = %q", b)
	}
}

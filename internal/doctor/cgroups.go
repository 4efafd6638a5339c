package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"zdl/internal/cluster/local/cgroup"
)

const cgroupFix = "mount cgroup2 (mount -t cgroup2 none /sys/fs/cgroup), or boot a kernel with the controllers named above"

// needed are the controllers that a node is limited by, under the names of
// cgroup v1 and of v2.
var needed = map[cgroup.Version][]string{
	cgroup.V1: {"cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio"},
	cgroup.V2: {"cpu", "cpuset", "memory", "pids", "io"},
}

// tryCgroups makes a group in every hierarchy and removes it.
func tryCgroups() error {
	system, err := cgroup.Detect()
	if err != nil {
		return err
	}
	have, err := controllers(system)
	if err != nil {
		return err
	}
	if missing := without(needed[system.Version], have); len(missing) > 0 {
		return fmt.Errorf("no controllers %s (cgroup v%d)", strings.Join(missing, ", "), system.Version)
	}
	for _, h := range system.Hierarchies {
		dir := filepath.Join(h.Path, fmt.Sprintf("zdl-doctor-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := os.Remove(dir); err != nil {
			return err
		}
	}
	if system.Version == cgroup.V1 {
		return note("v1, all controllers")
	}
	return note("v2, all controllers")
}

// controllers lists what limits there are.
func controllers(system *cgroup.System) ([]string, error) {
	var have []string
	for _, h := range system.Hierarchies {
		if system.Version == cgroup.V1 {
			have = append(have, h.Controllers...)
			continue
		}
		b, err := os.ReadFile(filepath.Join(h.Path, "cgroup.controllers"))
		if err != nil {
			return nil, err
		}
		have = append(have, strings.Fields(string(b))...)
	}
	return have, nil
}

// without lists what is wanted and not there.
func without(want, have []string) []string {
	var missing []string
	for _, w := range want {
		if !slices.Contains(have, w) {
			missing = append(missing, w)
		}
	}
	return missing
}

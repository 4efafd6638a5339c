package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"zdl/internal/cluster/local/machine"
)

// PodNetNS is a pod's network namespace, as a path that holds as long as the
// process by which it was found. It asks no API server and no container runtime:
// the kubelet names a pod's control group after its UID.
func (c *Cluster) PodNetNS(node, uid string) (string, error) {
	m, err := machine.Find(MachineRun(c.RunDir, node))
	if errors.Is(err, machine.ErrOff) {
		err = os.ErrNotExist // nor is there anything on it
	}
	if err != nil {
		return "", fmt.Errorf("pod %s: node %s: %w", uid, node, err)
	}
	for _, dir := range m.Cgroup().Dirs() {
		if pid := processBelow(dir, "pod"+uid); pid != "" {
			return "/proc/" + pid + "/ns/net", nil
		}
	}
	return "", fmt.Errorf("pod %s has no process on %s: %w", uid, node, os.ErrNotExist)
}

// processBelow finds some process in the control group of that name, or in one
// below it.
func processBelow(dir, name string) (pid string) {
	found := errors.New("found")
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || !strings.Contains(path, "/"+name) {
			return nil // groups come and go while we look
		}
		procs, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil
		}
		if pid, _, _ = strings.Cut(string(procs), "\n"); pid != "" && pid != "0" {
			return found
		}
		return nil
	})
	return pid
}

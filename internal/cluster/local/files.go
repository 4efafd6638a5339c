package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"zdl/internal/cluster/local/machine"
)

// ErrVolatile is returned for a file that exists only while its machine runs.
var ErrVolatile = errors.New("it lies in the machine's memory and is made anew at each boot")

// KubernetesDir is where the host keeps a node's /etc/kubernetes.
func (c *Cluster) KubernetesDir(node string) string { return c.layout.Kubernetes(node) }

// DiskImage is the image of a machine's disk on the host.
func (c *Cluster) DiskImage(name string) string {
	return filepath.Join(MachineDir(c.StateDir, name), "disk.img")
}

// Machine is a machine that runs, or machine.ErrOff.
func (c *Cluster) Machine(name string) (*machine.Machine, error) {
	if _, err := c.machine(name); err != nil {
		return nil, err
	}
	return machine.Find(MachineRun(c.RunDir, name))
}

// WithFile calls do with the path by which the host reaches an absolute path of
// a machine. It works for /etc/kubernetes and, on nodes, /var also while the
// machine is off, in which case it cannot be switched on before do returns; for
// anything else the error is then ErrVolatile. do must not keep the path.
func (c *Cluster) WithFile(ctx context.Context, name, path string, do func(onHost string) error) error {
	if rest, ok := below(path, "/etc/kubernetes"); ok {
		return do(filepath.Join(c.KubernetesDir(name), rest))
	}
	m, err := c.Machine(name)
	if err == nil {
		return do(m.Path(path))
	}
	if !errors.Is(err, machine.ErrOff) {
		return err
	}
	rest, ok := below(path, "/var")
	if !ok {
		return fmt.Errorf("reach %s of %s, which is off: %w", path, name, ErrVolatile)
	}
	return machine.WithDisk(ctx, MachineRun(c.RunDir, name), c.DiskImage(name), func(root string) error {
		return do(filepath.Join(root, rest))
	})
}

// below tells what remains of path behind a directory.
func below(path, dir string) (string, bool) {
	rest, ok := strings.CutPrefix(filepath.Clean(path), dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}

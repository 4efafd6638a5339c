package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/fabric"
	"zdl/internal/cluster/local/host"
	"zdl/internal/cluster/local/machine"
)

// Remove takes everything of a lab out of the kernel: processes, mounts,
// namespaces, links, cgroups, raised sysctls. It goes by what is there, not by a
// lab file, so it also cleans up after crashes. It can be repeated.
func Remove(ctx context.Context, lab, runDir, runRoot string) error {
	entries, err := os.ReadDir(MachineRun(runDir, ""))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// All at once: the kernel takes its time to tear a machine down, but it
	// takes no longer for twelve.
	group, groupCtx := errgroup.WithContext(ctx)
	for _, e := range entries {
		group.Go(func() error {
			dir := filepath.Join(MachineRun(runDir, ""), e.Name())
			if err := machine.Destroy(groupCtx, dir); err != nil {
				return fmt.Errorf("remove %s: %w", e.Name(), err)
			}
			return nil
		})
	}
	err = group.Wait()
	err = errors.Join(err, fabric.New(lab, nil, runDir).Down(ctx))
	if err != nil {
		return err
	}
	if err := removeGroups(lab); err != nil {
		return err
	}
	return host.Host{RunRoot: runRoot}.Release(lab)
}

// removeGroups removes control groups that belong to no machine any more, as
// after a run directory was lost.
func removeGroups(lab string) error {
	system, err := cgroup.Detect()
	if err != nil {
		return err
	}
	left := system.Leftovers(lab)
	for i := len(left) - 1; i >= 0; i-- {
		if err := os.Remove(left[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the control group %s: %w", left[i], err)
		}
	}
	return nil
}

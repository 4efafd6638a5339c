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
			if err := machine.Destroy(groupCtx, lab, e.Name(), dir); err != nil {
				return fmt.Errorf("remove %s: %w", e.Name(), err)
			}
			return nil
		})
	}
	err = group.Wait()
	err = errors.Join(err, fabric.New(lab, nil, runDir).Down(ctx))
	err = errors.Join(err, cgroup.RemoveLab(ctx, lab))
	if err != nil {
		return err
	}
	return host.Release(runRoot, lab)
}

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"time"
)

// poll is how often the kernel is asked again while it finishes something that
// it announces to nobody.
const poll = 2 * time.Millisecond

// Exists reports whether the group is there in at least one hierarchy.
func (g *Group) Exists() bool {
	for _, dir := range g.Dirs() {
		if exists(dir) {
			return true
		}
	}
	return false
}

// Procs lists the processes of the group and of all groups below it, in any
// hierarchy, sorted. Ids are of the caller's PID namespace; a process outside
// it is 0 and left out.
func (g *Group) Procs() ([]int, error) {
	found := map[int]bool{}
	for _, dir := range g.Dirs() {
		err := walk(dir, func(group string) error {
			own, err := pids(group) // none, if it was removed while we looked
			for _, pid := range own {
				found[pid] = true
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list processes of machine %s: %w", g.Name, err)
		}
	}
	all := make([]int, 0, len(found))
	for pid := range found {
		all = append(all, pid)
	}
	sort.Ints(all)
	return all, nil
}

// Kill sends SIGKILL to every process of the group, once. Frozen v1 processes
// die when they thaw.
func (g *Group) Kill() error {
	pids, err := g.Procs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d of machine %s: %w", pid, g.Name, err)
		}
	}
	return nil
}

// Freeze stops every process of the group and of those below it, and returns
// when they stand still.
func (g *Group) Freeze(ctx context.Context) error { return g.freeze(ctx, true) }

// Thaw lets them go on.
func (g *Group) Thaw(ctx context.Context) error { return g.freeze(ctx, false) }

func (g *Group) freeze(ctx context.Context, frozen bool) error {
	f, err := g.Freezer("")
	if err == nil {
		if frozen {
			err = f.Freeze(ctx)
		} else {
			err = f.Thaw(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("freeze machine %s: %w", g.Name, err)
	}
	return nil
}

// Frozen reports whether the whole group stands still.
func (g *Group) Frozen() (bool, error) {
	f, err := g.Freezer("")
	if err != nil {
		return false, nil
	}
	return f.Frozen()
}

// RemoveAll removes the group and everything below it, bottom-up, and the
// lab's directory with the last machine. It is idempotent. The kernel says
// EBUSY while a dying process is still being accounted, so it is asked again
// until ctx ends.
func (g *Group) RemoveAll(ctx context.Context) error {
	for _, h := range g.System.Hierarchies {
		dir := g.Dir(h)
		for {
			err := removeTree(dir)
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.EBUSY) {
				return fmt.Errorf("remove cgroup of machine %s: %w", g.Name, err)
			}
			if ctxErr := pause(ctx); ctxErr != nil {
				pids, _ := g.Procs()
				return fmt.Errorf("remove cgroup of machine %s (processes left: %v): %w", g.Name, pids, err)
			}
		}
		// Fails while other machines or labs are there, and that is right.
		lab := filepath.Dir(dir)
		if syscall.Rmdir(lab) == nil {
			_ = syscall.Rmdir(filepath.Dir(lab))
		}
	}
	return nil
}

// Leftovers lists the directories of a lab that still exist, for a check that
// nothing is left behind; of all labs when lab is "".
func (s *System) Leftovers(lab string) []string {
	var left []string
	for _, h := range s.Hierarchies {
		_ = walk(filepath.Join(h.Path, Root, lab), func(dir string) error {
			left = append(left, dir)
			return nil
		})
	}
	return left
}

// removeTree removes a group bottom-up. A directory of a cgroup file system
// holds files that go with it, so only directories are visited.
func removeTree(dir string) error {
	children, err := subdirs(dir)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := removeTree(child); err != nil {
			return err
		}
	}
	if err := syscall.Rmdir(dir); err != nil && err != syscall.ENOENT {
		return fmt.Errorf("rmdir %s: %w", dir, err)
	}
	return nil
}

// walk visits dir and all directories below it, parents first. A missing
// directory is an empty tree.
func walk(dir string, visit func(dir string) error) error {
	if !exists(dir) {
		return nil
	}
	if err := visit(dir); err != nil {
		return err
	}
	children, err := subdirs(dir)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := walk(child, visit); err != nil {
			return err
		}
	}
	return nil
}

func subdirs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(dir, e.Name()))
		}
	}
	return dirs, nil
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(poll):
		return nil
	}
}

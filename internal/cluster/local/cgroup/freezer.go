package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Freezer stops the processes of one group and of those below it, in both
// generations: freezer.state on v1, cgroup.freeze on v2.
type Freezer struct {
	dir     string
	version Version
}

// Freezer is that of the machine, or of a group below it, by its path as the
// machine sees it: /kubepods/burstable/podUID.
func (g *Group) Freezer(below string) (Freezer, error) {
	dir := g.Path("freezer")
	if dir == "" {
		return Freezer{}, errors.New("this host has no freezer cgroup controller")
	}
	return Freezer{dir: filepath.Join(dir, below), version: g.System.Version}, nil
}

// Exists reports whether the group is still there.
func (f Freezer) Exists() bool { return exists(f.dir) }

// Freeze returns when every process of the group stands still.
func (f Freezer) Freeze(ctx context.Context) error {
	return f.reach(ctx, true, f.Frozen)
}

// Thaw lets them go on. Where the group lies in one that is frozen, they go on
// with that.
func (f Freezer) Thaw(ctx context.Context) error {
	return f.reach(ctx, false, func() (bool, error) {
		if asked, err := f.Asked(); asked || err != nil {
			return asked, err
		}
		above := Freezer{dir: filepath.Dir(f.dir), version: f.version}
		if frozen, err := above.Frozen(); err == nil && frozen {
			return false, nil
		}
		return f.Frozen()
	})
}

// reach writes what is wanted until the group says so.
func (f Freezer) reach(ctx context.Context, frozen bool, is func() (bool, error)) error {
	file, value := "freezer.state", "THAWED"
	if frozen {
		value = "FROZEN"
	}
	if f.version == V2 {
		file, value = "cgroup.freeze", "0"
		if frozen {
			value = "1"
		}
	}
	// Most groups stand still within a fraction of a millisecond.
	for wait := 100 * time.Microsecond; ; wait = min(2*wait, poll) {
		// On v1 the state is written again each time: a process forked while
		// freezing can leave it at FREEZING for ever otherwise.
		if err := write(f.dir, file, value); err != nil {
			return err
		}
		if now, err := is(); err != nil || now == frozen {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not reach %s=%s: %w", f.dir, file, value, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// Frozen reports whether the whole group stands still, be it for its own sake
// or with one that it lies in. A group that is gone does not.
func (f Freezer) Frozen() (bool, error) {
	file, want := "freezer.state", "FROZEN"
	if f.version == V2 {
		file, want = "cgroup.events", "frozen 1"
	}
	return f.says(file, want)
}

// Asked reports whether this very group was told to freeze, whatever is true of
// those above it.
func (f Freezer) Asked() (bool, error) {
	file := "freezer.self_freezing"
	if f.version == V2 {
		file = "cgroup.freeze"
	}
	return f.says(file, "1")
}

func (f Freezer) says(file, want string) (bool, error) {
	content, err := read(f.dir, file)
	if errors.Is(err, fs.ErrNotExist) && !f.Exists() || errors.Is(err, syscall.ENODEV) {
		return false, nil
	}
	return strings.Contains(content, want), err
}

// FrozenBelow lists the freezers of the machine and of every group below it that were
// told to freeze: processes in one do not end, on v1, before it thaws.
func (g *Group) FrozenBelow() ([]Freezer, error) {
	dir := g.Path("freezer")
	if dir == "" {
		return nil, nil
	}
	var out []Freezer
	err := walk(dir, func(group string) error {
		f := Freezer{dir: group, version: g.System.Version}
		asked, err := f.Asked()
		if asked {
			out = append(out, f)
		}
		return err
	})
	return out, err
}

// Pids lists the processes of a group of the machine, by its path as the machine
// sees it, and not of those below it.
func (g *Group) Pids(below string) ([]int, error) {
	dir := g.Path("freezer")
	if dir == "" {
		dir = g.Dirs()[0]
	}
	return pids(filepath.Join(dir, below))
}

// Own lists the processes of the machine itself, without its containers.
func (g *Group) Own() ([]int, error) {
	if g.System.Version == V2 {
		return g.Pids(Leaf)
	}
	return g.Pids("")
}

// Everyone lists the processes of the machine and its containers, by one
// hierarchy: quicker than Procs, and not complete while something is moved.
func (g *Group) Everyone() ([]int, error) {
	dir := g.Path("freezer")
	if dir == "" {
		dir = g.Dirs()[0]
	}
	var all []int
	err := walk(dir, func(group string) error {
		found, err := pids(group)
		all = append(all, found...)
		return err
	})
	return all, err
}

func pids(dir string) ([]int, error) {
	content, err := read(dir, "cgroup.procs")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []int
	for _, field := range strings.Fields(content) {
		if pid, _ := strconv.Atoi(field); pid > 0 {
			out = append(out, pid)
		}
	}
	return out, nil
}

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Create makes the group in every hierarchy; what exists is kept. The kernel
// removes an empty parent under a concurrent RemoveAll of the last sibling, so
// a vanished parent is made again.
func (g *Group) Create() error {
	for _, h := range g.System.Hierarchies {
		var err error
		for range 100 {
			if err = g.createIn(h); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENODEV) {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("create cgroup of machine %s: %w", g.Name, err)
		}
	}
	return nil
}

func (g *Group) createIn(h Hierarchy) error {
	dir := h.Path
	for _, name := range []string{Root, g.Lab, g.Name} {
		parent := dir
		if g.System.Version == V2 {
			if err := enableControllers(parent); err != nil {
				return err
			}
		}
		dir = filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if name != g.Name {
			if err := weigh(h, dir, labWeight); err != nil {
				return err
			}
		}
		if h.has("cpuset") {
			// A v1 cpuset starts empty and then refuses every process.
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				if err := inherit(parent, dir, file); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// labWeight is how much more of a busy host's CPU a whole lab gets than a single
// process does. A group counts as one competitor however many machines are in
// it, and a dozen machines starved by one compiler would fail over for no
// reason that a user could see.
const labWeight = 8

// weigh sets a group's share of the CPU in multiples of the kernel's default. A
// hierarchy without the CPU controller is left alone.
func weigh(h Hierarchy, dir string, times int64) error {
	switch {
	case h.has("cpu"):
		return write(dir, "cpu.shares", strconv.FormatInt(1024*times, 10))
	case h.Unified && exists(filepath.Join(dir, "cpu.weight")):
		return write(dir, "cpu.weight", strconv.FormatInt(min(100*times, 10000), 10))
	}
	return nil
}

// Hurry lets the group's processes run before all others and without a limit,
// so that those that were killed come to their end at once on a busy host, too.
func (g *Group) Hurry() error {
	dir := g.Path("cpu")
	if dir == "" {
		return nil
	}
	settings := [][2]string{{"cpu.cfs_quota_us", "-1"}, {"cpu.shares", "262144"}}
	if g.System.Version == V2 {
		settings = [][2]string{{"cpu.max", "max 100000"}, {"cpu.weight", "10000"}}
	}
	for _, s := range settings {
		if err := write(dir, s[0], s[1]); err != nil {
			return fmt.Errorf("hurry machine %s: %w", g.Name, err)
		}
	}
	return nil
}

func inherit(parent, child, file string) error {
	if have, err := read(child, file); err != nil || have != "" {
		return err
	}
	value, err := read(parent, file)
	if err != nil {
		return err
	}
	return write(child, file, value)
}

// enableControllers lets the children of a v2 group have every controller that
// the group itself has.
func enableControllers(dir string) error {
	have, err := read(dir, "cgroup.controllers")
	if err != nil {
		return err
	}
	on, err := read(dir, "cgroup.subtree_control")
	if err != nil {
		return err
	}
	enabled := map[string]bool{}
	for _, c := range strings.Fields(on) {
		enabled[c] = true
	}
	for _, c := range strings.Fields(have) {
		if enabled[c] {
			continue
		}
		// One at a time: a controller that refuses (cpu with real-time tasks,
		// say) must not take the others with it.
		err := write(dir, "cgroup.subtree_control", "+"+c)
		if errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("%w; processes live in %s itself, move them to a child group first", err, dir)
		}
		if err != nil && needed[c] {
			return err
		}
	}
	return nil
}

// needed are the controllers without which kubelet or our limits do not work.
var needed = map[string]bool{"cpu": true, "cpuset": true, "memory": true, "pids": true}

// Limits bound a machine as a whole. Zero means unlimited.
type Limits struct {
	Memory int64 // bytes
	CPUs   int   // CPUs of time per period as CFS quota, and the share under contention
	Weight int   // multiplies that share; 0 is 1
	PIDs   int   // tasks, threads included
}

// cpuPeriod is the CFS period in microseconds, the kernel's default.
const cpuPeriod = 100_000

// SetLimits applies l to an existing group.
func (g *Group) SetLimits(l Limits) error {
	number := func(n int64, unlimited string) string {
		if n <= 0 {
			return unlimited
		}
		return strconv.FormatInt(n, 10)
	}
	type setting struct{ controller, file, value string }
	weight := int64(max(l.CPUs, 1) * max(l.Weight, 1)) // times the kernel's default
	settings := []setting{
		{"memory", "memory.limit_in_bytes", number(l.Memory, "-1")},
		{"cpu", "cpu.shares", number(1024*weight, "")},
		{"cpu", "cpu.cfs_quota_us", number(int64(l.CPUs)*cpuPeriod, "-1")},
		{"pids", "pids.max", number(int64(l.PIDs), "max")},
	}
	if g.System.Version == V2 {
		settings = []setting{
			{"memory", "memory.max", number(l.Memory, "max")},
			{"cpu", "cpu.weight", number(min(100*weight, 10000), "")},
			{"cpu", "cpu.max", number(int64(l.CPUs)*cpuPeriod, "max") + " " + strconv.Itoa(cpuPeriod)},
			{"pids", "pids.max", number(int64(l.PIDs), "max")},
		}
	}
	for _, s := range settings {
		dir := g.Path(s.controller)
		if dir == "" {
			return fmt.Errorf("limit machine %s: this host has no %s cgroup controller", g.Name, s.controller)
		}
		if err := write(dir, s.file, s.value); err != nil {
			return fmt.Errorf("limit machine %s: %w", g.Name, err)
		}
	}
	return nil
}

// Join moves the calling process into the group, in every hierarchy. On v2 it
// goes to the group itself, or to its leaf once the machine has one.
func (g *Group) Join() error {
	for _, dir := range g.Dirs() {
		if g.System.Version == V2 {
			if leaf := filepath.Join(dir, Leaf); exists(leaf) {
				dir = leaf
			}
		}
		// "0" is the writer itself, whatever its PID namespace calls it.
		if err := write(dir, "cgroup.procs", "0"); err != nil {
			return fmt.Errorf("join cgroup of machine %s: %w", g.Name, err)
		}
	}
	return nil
}

// Settle is for the first process of a machine, on v2, when mount is the
// cgroup2 file system that shows the machine's group as its root: it moves to
// the leaf, so that the root can hand its controllers down.
func Settle(mount string) error {
	leaf := filepath.Join(mount, Leaf)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := write(leaf, "cgroup.procs", "0"); err != nil {
		return err
	}
	return enableControllers(mount)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

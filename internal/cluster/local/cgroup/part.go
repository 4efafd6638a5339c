package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Part is one control group of a machine: the machine's own, or one below it
// such as a pod's. It reads and sets the same things in both generations.
type Part struct {
	group *Group
	below string
}

// Part names a group by its path as the machine sees it: "" is the machine's own,
// /kubepods/burstable/podUID a pod's.
func (g *Group) Part(below string) Part { return Part{g, below} }

// Exists tells whether the group is there.
func (p Part) Exists() bool {
	dir, err := p.dir("pids", "cpu", "memory")
	return err == nil && exists(dir)
}

// dir is the group's directory in the hierarchy of the first of the controllers
// that this host has.
func (p Part) dir(controllers ...string) (string, error) {
	for _, c := range controllers {
		if top := p.group.Path(c); top != "" {
			return filepath.Join(top, p.below), nil
		}
	}
	return "", fmt.Errorf("this host has no %s cgroup controller", controllers[0])
}

func (p Part) v2() bool { return p.group.System.Version == V2 }

func (p Part) read(controller, v1, v2 string) (string, error) {
	dir, err := p.dir(controller)
	if err != nil {
		return "", err
	}
	if p.v2() {
		v1 = v2
	}
	return read(dir, v1)
}

func (p Part) write(controller, v1, v2, value string) error {
	dir, err := p.dir(controller)
	if err != nil {
		return err
	}
	if p.v2() {
		v1 = v2
	}
	return write(dir, v1, value)
}

// JoinDirs are the directories whose cgroup.procs a process of the group is to be
// in, one of each hierarchy. Where a hierarchy lacks the group it is the nearest
// above it, and for a machine's own group on v2 the leaf of its daemons.
func (p Part) JoinDirs() []string {
	var dirs []string
	for _, h := range p.group.System.Hierarchies {
		top := p.group.Dir(h)
		dir := filepath.Join(top, p.below)
		for dir != top && !exists(dir) {
			dir = filepath.Dir(dir)
		}
		if leaf := filepath.Join(dir, Leaf); p.v2() && dir == top && exists(leaf) {
			dir = leaf
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// JoinAt moves the calling process into groups that JoinDirs gave.
func JoinAt(dirs []string) error {
	for _, dir := range dirs {
		if err := write(dir, "cgroup.procs", "0"); err != nil {
			return err
		}
	}
	return nil
}

// Admit moves a process into the group, in the hierarchy of the controller of
// processes alone where each has its own.
func (p Part) Admit(pid int) error {
	dir, err := p.dir("pids")
	if err != nil {
		return err
	}
	if leaf := filepath.Join(dir, Leaf); p.v2() && p.below == "" && exists(leaf) {
		dir = leaf
	}
	return write(dir, "cgroup.procs", strconv.Itoa(pid))
}

// CPUTime is what the group and those below it have used so far.
func (p Part) CPUTime() (time.Duration, error) {
	if p.v2() {
		n, err := p.stat("cpu", "cpu.stat", "usage_usec")
		return time.Duration(n) * time.Microsecond, err
	}
	text, err := p.read("cpuacct", "cpuacct.usage", "")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Duration(n), err
}

// Throttled counts the periods in which the group used up its quota, and all
// periods in which it ran.
func (p Part) Throttled() (throttled, periods int64, err error) {
	throttled, err = p.stat("cpu", "cpu.stat", "nr_throttled")
	if err != nil {
		return 0, 0, err
	}
	periods, err = p.stat("cpu", "cpu.stat", "nr_periods")
	return throttled, periods, err
}

// Quota is the group's CPU quota per period in microseconds, as "max 100000" or
// "2000 100000".
func (p Part) Quota() (string, error) {
	if p.v2() {
		return p.read("cpu", "", "cpu.max")
	}
	quota, err := p.read("cpu", "cpu.cfs_quota_us", "")
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(quota, "-") {
		quota = "max"
	}
	period, err := p.read("cpu", "cpu.cfs_period_us", "")
	return quota + " " + period, err
}

// SetQuota sets what Quota reads.
func (p Part) SetQuota(value string) error {
	if p.v2() {
		return p.write("cpu", "", "cpu.max", value)
	}
	quota, period, ok := strings.Cut(value, " ")
	if !ok {
		return fmt.Errorf("%q is no quota and period", value)
	}
	if quota == "max" {
		quota = "-1"
	}
	if err := p.write("cpu", "cpu.cfs_period_us", "", period); err != nil {
		return err
	}
	return p.write("cpu", "cpu.cfs_quota_us", "", quota)
}

// MemoryLimit is the group's own limit in bytes, 0 when it has none.
func (p Part) MemoryLimit() (int64, error) {
	text, err := p.read("memory", "memory.limit_in_bytes", "memory.max")
	if err != nil || text == "max" {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	// v1 says "unlimited" as the largest number of whole pages.
	if n > math.MaxInt64-(1<<20) {
		n = 0
	}
	return n, err
}

// SharedMemory is how much memory without a file behind it, shared or in memory
// files, the group and those below it hold, in bytes.
func (p Part) SharedMemory() (int64, error) {
	if p.v2() {
		return p.stat("memory", "memory.stat", "shmem")
	}
	return p.stat("memory", "memory.stat", "total_shmem")
}

// PIDs is how many tasks the group and those below it have, and may have at most
// (a number or "max").
func (p Part) PIDs() (current int, limit string, err error) {
	text, err := p.read("pids", "pids.current", "pids.current")
	if err != nil {
		return 0, "", err
	}
	if current, err = strconv.Atoi(text); err != nil {
		return 0, "", err
	}
	limit, err = p.read("pids", "pids.max", "pids.max")
	return current, limit, err
}

// SetPIDs sets the limit that PIDs reads.
func (p Part) SetPIDs(limit string) error { return p.write("pids", "pids.max", "pids.max", limit) }

// stat is one value of a file of "name value" lines, 0 when it is not there.
func (p Part) stat(controller, file, name string) (int64, error) {
	text, err := p.read(controller, file, file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, nil
}

// Gone tells whether an error means that the group does not exist (any more).
func Gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, os.ErrClosed)
}

// Package cgroup puts each machine of a lab into control groups of its own, in
// both generations of the kernel interface:
//
//   - v1 (also hybrid): a directory zdl/LAB/MACHINE in every mounted hierarchy,
//     the named ones (systemd) and the empty cgroup2 hierarchy of a hybrid host
//     included, so that a machine sees itself at every root.
//   - v2: one directory zdl/LAB/MACHINE, with every controller enabled from the
//     root down. A group with controllers for its children may hold no
//     processes itself, so a machine's own daemons live in its leaf "system".
//
// It needs nothing but the file system, and the init of a machine uses it too.
package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Root is the directory below which all labs of a host have their groups.
const Root = "zdl"

// Leaf is the group of a machine's own daemons on cgroup v2, below the
// machine's group.
const Leaf = "system"

// ErrNone is returned by Detect when no cgroup file system is mounted.
var ErrNone = errors.New("no cgroup file system is mounted; mount cgroup2 at /sys/fs/cgroup")

// Version is the generation of the interface that owns the controllers.
type Version int

const (
	V1 Version = 1 // hierarchies per controller; a hybrid host is V1
	V2 Version = 2 // the unified hierarchy
)

// Hierarchy is one mounted cgroup file system.
type Hierarchy struct {
	Path        string   // where it is mounted, for example /sys/fs/cgroup/cpu,cpuacct
	Controllers []string // v1 controllers, empty for a named or the unified hierarchy
	Name        string   // name of a named v1 hierarchy, for example systemd
	Unified     bool     // whether it is cgroup2
}

// Options are the mount options that select this hierarchy again in another
// mount namespace.
func (h Hierarchy) Options() string {
	switch {
	case h.Unified:
		return ""
	case h.Name != "":
		return "none,name=" + h.Name
	}
	return strings.Join(h.Controllers, ",")
}

// has reports whether the hierarchy holds the v1 controller c.
func (h Hierarchy) has(c string) bool {
	for _, have := range h.Controllers {
		if have == c {
			return true
		}
	}
	return false
}

// System is what this host offers.
type System struct {
	Version     Version
	Hierarchies []Hierarchy // sorted by path; exactly one on V2
}

// Detect finds the cgroup file systems of the calling process's mount namespace.
func Detect() (*System, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parse(bytes.NewReader(info))
}

// v1Controllers are the options of a v1 mount that name controllers, as opposed
// to flags such as xattr or clone_children. From kernel/cgroup and its
// SUBSYS list in include/linux/cgroup_subsys.h.
var v1Controllers = map[string]bool{
	"cpuset": true, "cpu": true, "cpuacct": true, "blkio": true, "memory": true, "devices": true,
	"freezer": true, "net_cls": true, "perf_event": true, "net_prio": true, "hugetlb": true,
	"pids": true, "rdma": true, "misc": true, "debug": true,
}

// parse reads lines of /proc/PID/mountinfo. Only mounts that show their
// hierarchy from its root count, and of several the first.
func parse(r io.Reader) (*System, error) {
	var v1, v2 []Hierarchy
	seen := map[string]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		front, back := strings.Fields(before), strings.Fields(after)
		if !ok || len(front) < 6 || len(back) < 3 || !isTop(front[3]) {
			continue
		}
		h := Hierarchy{Path: unescape(front[4])}
		switch back[0] {
		case "cgroup":
			for _, o := range strings.Split(back[2], ",") {
				if v1Controllers[o] {
					h.Controllers = append(h.Controllers, o)
				} else if n, ok := strings.CutPrefix(o, "name="); ok {
					h.Name = n
				}
			}
			if h.Options() == "" {
				continue
			}
		case "cgroup2":
			h.Unified = true
		default:
			continue
		}
		if key := fmt.Sprint(h.Unified, h.Options()); seen[key] {
			continue
		} else {
			seen[key] = true
		}
		if h.Unified {
			v2 = append(v2, h)
		} else {
			v1 = append(v1, h)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	// Controllers bound to v1 decide: a host that mounts any of them there is
	// v1 or hybrid, and its cgroup2 tree is only one more hierarchy to join.
	controllers := false
	for _, h := range v1 {
		controllers = controllers || len(h.Controllers) > 0
	}
	s := &System{Version: V2, Hierarchies: v2}
	if controllers || len(v2) == 0 {
		s = &System{Version: V1, Hierarchies: append(v1, v2...)}
	}
	if len(s.Hierarchies) == 0 {
		return nil, ErrNone
	}
	sort.Slice(s.Hierarchies, func(i, j int) bool { return s.Hierarchies[i].Path < s.Hierarchies[j].Path })
	return s, nil
}

// isTop reports whether a mount shows its hierarchy from the top. From within a
// cgroup namespace, what was mounted outside shows as "/../../..".
func isTop(root string) bool { return strings.Trim(root, "/.") == "" }

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Group is one machine's groups in all hierarchies.
type Group struct {
	System *System
	Lab    string
	Name   string // of the machine
}

// Group names the groups of a machine; it creates nothing.
func (s *System) Group(lab, machine string) *Group {
	return &Group{System: s, Lab: lab, Name: machine}
}

// Dir is the group's directory in h.
func (g *Group) Dir(h Hierarchy) string {
	return filepath.Join(h.Path, Root, g.Lab, g.Name)
}

// Path is the directory of the v1 hierarchy that holds controller, or of the
// group on v2; "" when there is no such hierarchy.
func (g *Group) Path(controller string) string {
	for _, h := range g.System.Hierarchies {
		if g.System.Version == V2 || h.has(controller) {
			return g.Dir(h)
		}
	}
	return ""
}

// Dirs are the group's directories in all hierarchies.
func (g *Group) Dirs() []string {
	dirs := make([]string, 0, len(g.System.Hierarchies))
	for _, h := range g.System.Hierarchies {
		dirs = append(dirs, g.Dir(h))
	}
	return dirs
}

func write(dir, file, value string) error {
	path := filepath.Join(dir, file)
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // no O_CREATE: a missing file is a missing feature
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("write %q to %s: %w", value, path, errors.Unwrap(err))
	}
	return nil
}

func read(dir, file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, file))
	return strings.TrimSpace(string(b)), err
}

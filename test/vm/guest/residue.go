package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Trace is what can be seen of a lab on its host: one line per thing, so that
// two traces can be compared. It holds processes, mounts, links, routes, rules
// of the packet filter, cgroups, loop devices, files and sysctls.
type Trace map[string]bool

// volatile are sysctls that change by themselves.
var volatile = regexp.MustCompile(`^/proc/sys/(fs/(dentry-state|file-nr|inode-nr|inode-state|aio-nr|quota/)|` +
	`kernel/(random/|ns_last_pid|pty/nr|sched_domain/|tainted|hung_task_detect_count)|net/netfilter/nf_conntrack_count|` +
	`net/ipv4/(conf|neigh)/|net/ipv6/(conf|neigh)/|vm/stat_refresh)`)

// Take records what is there now. stateDir is where a lab may leave files.
func Take(stateDir string) (Trace, error) {
	t := Trace{}
	for _, take := range []func() error{
		t.processes, t.mounts, t.sysctls,
		func() error { return t.files(stateDir) },
		func() error { return t.lines("link", "ip", "-o", "-br", "link") },
		func() error { return t.lines("route", "ip", "route", "show", "table", "all") },
		func() error { return t.lines("ip rule", "ip", "rule") },
		func() error { return t.lines("nft", "nft", "list", "ruleset") },
		func() error {
			return t.lines("loop device", "losetup", "--noheadings", "--list", "--output", "NAME,BACK-FILE")
		},
	} {
		if err := take(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Since lists what is new and what has gone since before, sorted.
func (t Trace) Since(before Trace) []string {
	var changes []string
	for line := range t {
		if !before[line] {
			changes = append(changes, "+ "+line)
		}
	}
	for line := range before {
		if !t[line] {
			changes = append(changes, "- "+line)
		}
	}
	// A sysctl that is new came with a kernel module and was not changed.
	gone := map[string]bool{}
	for _, c := range changes {
		if name, ok := strings.CutPrefix(c, "- sysctl "); ok {
			gone[strings.Fields(name)[0]] = true
		}
	}
	changes = slices.DeleteFunc(changes, func(c string) bool {
		name, ok := strings.CutPrefix(c, "+ sysctl ")
		return ok && !gone[strings.Fields(name)[0]]
	})
	sort.Strings(changes)
	return changes
}

func (t Trace) add(format string, args ...any) { t[fmt.Sprintf(format, args...)] = true }

func (t Trace) lines(what, program string, args ...string) error {
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %v: %w\n%s", program, args, err, out)
	}
	for line := range strings.Lines(string(out)) {
		t.add("%s %s", what, strings.TrimSpace(line))
	}
	return nil
}

// processes leaves out the kernel's threads, which have no command line, and
// zombies, which have none either.
func (t Trace) processes() error {
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, path := range found {
		line, err := os.ReadFile(path)
		if err != nil || len(line) == 0 {
			continue // has ended meanwhile
		}
		t.add("process %s %s", strings.Split(path, "/")[2], strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " "))
	}
	return nil
}

func (t Trace) mounts() error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		t.add("mount %s", strings.Join(fields[3:], " "))
	}
	return nil
}

// files are those of the disk, of the tmpfs mounts and the cgroups' directories.
func (t Trace) files(stateDir string) error {
	for _, root := range []string{"/", "/run", "/tmp", "/dev", "/dev/shm", "/sys/fs/cgroup"} {
		out, err := exec.Command("find", root, "-xdev", "-path", stateDir, "-prune", "-o",
			"-path", root, "-o", "(", "-type", "d", "-o", "-not", "-path", "/sys/fs/cgroup/*", ")", "-print").CombinedOutput()
		if err != nil {
			return fmt.Errorf("list the files of %s: %w\n%s", root, err, out)
		}
		for line := range strings.Lines(string(out)) {
			// The kernel makes loop devices as they are asked for and keeps them.
			if path := strings.TrimSpace(line); !regexp.MustCompile(`^/dev/(loop|block/)`).MatchString(path) {
				t.add("file %s", path)
			}
		}
	}
	return nil
}

func (t Trace) sysctls() error {
	return filepath.WalkDir("/proc/sys", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || volatile.MatchString(path) {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if value, err := os.ReadFile(path); err == nil { // some can only be written
			t.add("sysctl %s = %s", path, strings.TrimSpace(string(value)))
		}
		return nil
	})
}

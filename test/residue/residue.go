// Package residue takes down what is on a machine, as lines that can be compared
// with those of another moment: what a lab left behind, and what it took away.
package residue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// Trace is what is there at one moment, a line per thing.
type Trace map[string]bool

// Add adds a line.
func (t Trace) Add(format string, args ...any) { t[fmt.Sprintf(format, args...)] = true }

// Since lists what is new ("+ …") and what has gone ("- …") since before, sorted.
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
	sort.Strings(changes)
	return changes
}

// Lines adds what a program prints.
func (t Trace) Lines(what, program string, args ...string) error {
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %v: %w\n%s", program, args, err, out)
	}
	for line := range strings.Lines(string(out)) {
		t.Add("%s %s", what, strings.TrimSpace(line))
	}
	return nil
}

// Network adds links, routes, rules and packet filters.
func (t Trace) Network() error {
	return errors.Join(
		t.Lines("link", "ip", "-o", "-br", "link"),
		t.Lines("route", "ip", "route", "show", "table", "all"),
		t.Lines("rule", "ip", "rule"),
		t.Lines("packet filter", "nft", "list", "ruleset"))
}

// Mounts adds what is mounted, and where.
func (t Trace) Mounts() error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		t.Add("mount %s", strings.Join(strings.Fields(line)[3:], " "))
	}
	return nil
}

// volatile are sysctls that change by themselves, or with the namespaces that
// others make.
var volatile = regexp.MustCompile(`^/proc/sys/(fs/(dentry-state|file-nr|inode-nr|inode-state|aio-nr|quota/)|` +
	`kernel/(random/|ns_last_pid|pty/nr|sched_domain/|tainted|hung_task_detect_count)|net/netfilter/nf_conntrack_count|` +
	`net/ipv[46]/(conf|neigh)/|vm/stat_refresh)`)

// Sysctls adds the kernel's settings, without those that change by themselves.
func (t Trace) Sysctls() error {
	return filepath.WalkDir("/proc/sys", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || volatile.MatchString(path) {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if value, err := os.ReadFile(path); err == nil { // some can only be written
			t.Add("sysctl %s = %s", path, strings.TrimSpace(string(value)))
		}
		return nil
	})
}

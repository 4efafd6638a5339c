package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"zdl/test/residue"
)

// Trace is what labs leave on their host as long as they are up: one line per
// thing, so that two traces can be compared. Of things that others change as
// well, such as processes, it holds only those that must be a lab's.
type Trace struct{ residue.Trace }

// foreign matches what belongs to a lab that is not one of the tests': somebody
// may have one on this machine, and it changes as it likes.
var foreign = regexp.MustCompile(`/zdl/([a-z0-9-]+)`)

// aboutTestLab matches the command line of a process that works for a lab of
// the tests.
var aboutTestLab = regexp.MustCompile(`--name[=\x00](t-|bench)|/zdl/(t-|bench)`)

func isForeign(line string) bool {
	m := foreign.FindStringSubmatch(line)
	return m != nil && !strings.HasPrefix(m[1], "t-") && !strings.HasPrefix(m[1], "bench")
}

// Take records what is there now. Files below the roots of the lab's state and
// run directories belong to the trace.
func (l *Lab) Take() (Trace, error) {
	t := Trace{residue.Trace{}}
	for _, take := range []func() error{
		t.processes, t.Mounts, t.namespaces, t.cgroups, t.Sysctls, t.Network,
		func() error { return t.files(l.dirs.State) },
		func() error { return t.files(l.dirs.Run) },
		func() error { return t.files("/dev/shm") },
		func() error { return t.loopDevices(l.dirs.State) },
	} {
		if err := take(); err != nil {
			return t, err
		}
	}
	for line := range t.Trace {
		if isForeign(line) {
			delete(t.Trace, line)
			t.Trace[foreignLab] = true
		}
	}
	return t, nil
}

// foreignLab in a trace means that somebody else's lab was there. Then what all
// labs share may come and go with it.
const foreignLab = "a lab of somebody else"

var shared = regexp.MustCompile(`^cgroup .*/zdl$|^file (/run/zdl|/var/lib/zdl)($|/\.)|^sysctl .*inotify`)

// Since lists what is new and what has gone since before, sorted.
func (t Trace) Since(before Trace) []string {
	others := t.Trace[foreignLab] || before.Trace[foreignLab]
	return slices.DeleteFunc(t.Trace.Since(before.Trace), func(change string) bool {
		line := change[len("+ "):]
		return line == foreignLab || others && shared.MatchString(line)
	})
}

// processes are those in a control group of a lab, and those whose command line
// names one.
func (t Trace) processes() error {
	pids, err := allPIDs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		p, ok := ProcessOf(pid)
		if !ok {
			continue
		}
		groups, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if within(string(groups), "zdl") && !isForeign(string(groups)) || aboutTestLab.Match(line) {
			t.Add("process %s started %s", p, p.Start)
		}
	}
	return nil
}

// loopDevices are those that hold a disk below dir.
func (t Trace) loopDevices(dir string) error {
	out, err := exec.Command("losetup", "--noheadings", "--raw", "--list", "--output", "NAME,BACK-FILE").CombinedOutput()
	if err != nil {
		return fmt.Errorf("losetup: %w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, " "+dir+"/") {
			t.Add("loop device %s", strings.TrimSpace(line))
		}
	}
	return nil
}

// namespaces are the network namespaces that a lab's process is in; those that
// a mount keeps alive show among the mounts.
func (t Trace) namespaces() error {
	pids, err := allPIDs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		groups, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if within(string(groups), "zdl") && !isForeign(string(groups)) {
			if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil {
				t.Add("namespace %s", ns)
			}
		}
	}
	return nil
}

func (t Trace) cgroups() error {
	return filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && e.IsDir() && strings.Contains(path+"/", "/zdl/") {
			t.Add("cgroup %s", path)
		}
		return err
	})
}

func (t Trace) files(root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			t.Add("file %s", path)
		}
		return err
	})
}

package guest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"zdl/test/residue"
)

// Trace is what can be seen of a lab on its host: one line per thing, so that
// two traces can be compared. It holds processes, mounts, links, routes, rules
// of the packet filter, cgroups, loop devices, files and sysctls.
type Trace struct{ residue.Trace }

// Take records what is there now. stateDir is where a lab may leave files.
func Take(stateDir string) (Trace, error) {
	t := Trace{residue.Trace{}}
	for _, take := range []func() error{
		t.processes, t.Mounts, t.Sysctls, t.Network,
		func() error { return t.files(stateDir) },
		func() error {
			return t.Lines("loop device", "losetup", "--noheadings", "--list", "--output", "NAME,BACK-FILE")
		},
	} {
		if err := take(); err != nil {
			return t, err
		}
	}
	return t, nil
}

// Since lists what is new and what has gone since before, sorted.
func (t Trace) Since(before Trace) []string {
	changes := t.Trace.Since(before.Trace)
	// A sysctl that is new came with a kernel module and was not changed.
	gone := map[string]bool{}
	for _, c := range changes {
		if name, ok := strings.CutPrefix(c, "- sysctl "); ok {
			gone[strings.Fields(name)[0]] = true
		}
	}
	return slices.DeleteFunc(changes, func(c string) bool {
		name, ok := strings.CutPrefix(c, "+ sysctl ")
		return ok && !gone[strings.Fields(name)[0]]
	})
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
		t.Add("process %s %s", strings.Split(path, "/")[2], strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " "))
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
				t.Add("file %s", path)
			}
		}
	}
	return nil
}

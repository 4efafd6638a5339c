package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Process is a process that cannot be mistaken for a later one of the same
// number.
type Process struct {
	PID   int
	Start string // field 22 of /proc/PID/stat
	Name  string
}

// ProcessOf looks a process up; false if there is none, or only a zombie: that
// has let go of everything and waits for its parent to ask after it.
func ProcessOf(pid int) (Process, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, false
	}
	// The name is in parentheses and may hold anything.
	open, shut := strings.IndexByte(string(data), '('), strings.LastIndexByte(string(data), ')')
	if open < 0 || shut < open {
		return Process{}, false
	}
	fields := strings.Fields(string(data[shut+1:]))
	if len(fields) < 20 {
		return Process{}, false
	}
	// The first thread of a process that is being killed may be a zombie while
	// the others still hold its files.
	if threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); len(threads) < 2 && (fields[0] == "Z" || fields[0] == "X") {
		return Process{}, false
	}
	return Process{PID: pid, Start: fields[19], Name: string(data[open+1 : shut])}, true
}

// Alive tells whether this very process still runs.
func (p Process) Alive() bool {
	now, ok := ProcessOf(p.PID)
	return ok && now.Start == p.Start
}

func (p Process) String() string { return fmt.Sprintf("%s(%d)", p.Name, p.PID) }

// Processes lists what runs in a machine, by the control groups of the kernel;
// of all machines with machine "".
func (l *Lab) Processes(machine string) ([]Process, error) {
	return groupProcesses(filepath.Join("zdl", l.Name, machine))
}

// groupProcesses lists the processes whose control group, in any hierarchy, is
// at or below group.
func groupProcesses(group string) ([]Process, error) {
	pids, err := allPIDs()
	if err != nil {
		return nil, err
	}
	var out []Process
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil {
			continue
		}
		if !within(string(data), group) {
			continue
		}
		if p, ok := ProcessOf(pid); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// within tells whether a line of /proc/PID/cgroup names the group or one below
// it. The group may itself be below another, that of a container for example.
func within(cgroups, group string) bool {
	for line := range strings.Lines(cgroups) {
		if strings.Contains(strings.TrimSpace(line)+"/", "/"+strings.Trim(group, "/")+"/") {
			return true
		}
	}
	return false
}

func allPIDs() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Daemon is the process that supervises the lab.
func (l *Lab) Daemon() (Process, error) {
	data, err := os.ReadFile(filepath.Join(l.RunDir(), "daemon.json"))
	if err != nil {
		return Process{}, err
	}
	var record struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(data, &record); err != nil {
		return Process{}, err
	}
	p, ok := ProcessOf(record.PID)
	if !ok {
		return Process{}, fmt.Errorf("the daemon, process %d, does not run", record.PID)
	}
	return p, nil
}

// Inits lists the first process of each machine, by the machine's name.
func (l *Lab) Inits() (map[string]Process, error) {
	dir := filepath.Join(l.RunDir(), "machines")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := map[string]Process{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name(), "pid.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // off
		}
		var mark struct{ PID int }
		if err == nil {
			err = json.Unmarshal(data, &mark)
		}
		if err != nil {
			return nil, err
		}
		if p, ok := ProcessOf(mark.PID); ok {
			out[e.Name()] = p
		}
	}
	return out, nil
}

// MustInits is Inits for tests.
func (l *Lab) MustInits(t testing.TB) map[string]Process {
	t.Helper()
	inits, err := l.Inits()
	if err != nil {
		t.Fatal(err)
	}
	return inits
}

// HolderOf names the machine among those given that has an address on one of
// its interfaces, or "".
func (l *Lab) HolderOf(address string, machines ...string) (string, error) {
	inits, err := l.Inits()
	if err != nil {
		return "", err
	}
	for _, name := range machines {
		p, ok := inits[name]
		if !ok {
			continue
		}
		// The table of local addresses of that process's network namespace.
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/fib_trie", p.PID))
		if err != nil {
			return "", err
		}
		lines := strings.Split(string(data), "\n")
		i := slices.IndexFunc(lines, func(s string) bool { return strings.HasSuffix(s, "-- "+address) })
		for i >= 0 && i+1 < len(lines) {
			if strings.Contains(lines[i+1], "host LOCAL") {
				return name, nil
			}
			next := slices.IndexFunc(lines[i+1:], func(s string) bool { return strings.HasSuffix(s, "-- "+address) })
			if next < 0 {
				break
			}
			i += 1 + next
		}
	}
	return "", nil
}

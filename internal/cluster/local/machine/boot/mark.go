package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Mark identifies a machine's first process beyond doubt: a process id alone
// is used again by others.
type Mark struct {
	PID      int    // as the host counts
	Start    uint64 // when it started, in clock ticks since the host's boot
	HostBoot string // which boot of the host that was
	BootID   string // which boot of the machine it is
}

// MarkSelf writes the mark of the calling process. /proc must be the host's,
// since a process in a PID namespace learns its outer number only there.
func MarkSelf(runDir, bootID string) error {
	link, err := os.Readlink("/proc/self")
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(link)
	if err != nil {
		return fmt.Errorf("/proc/self leads to %q", link)
	}
	start, _, err := stat(pid)
	if err != nil {
		return err
	}
	host, err := HostBoot()
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(runDir, MarkFile), Mark{PID: pid, Start: start, HostBoot: host, BootID: bootID})
}

// ReadMark reads the mark in a run directory, which may be of a machine that
// is long gone.
func ReadMark(runDir string) (*Mark, error) {
	m := new(Mark)
	return m, readJSON(filepath.Join(runDir, MarkFile), m)
}

// Alive reports whether the marked process still runs. A zombie does not.
func (m *Mark) Alive() bool {
	state, ok := m.state()
	return ok && !dead(state)
}

// Exists reports whether the marked process is still listed, be it as a zombie.
func (m *Mark) Exists() bool {
	_, ok := m.state()
	return ok
}

func (m *Mark) state() (string, bool) {
	if host, err := HostBoot(); err != nil || host != m.HostBoot {
		return "", false
	}
	start, state, err := stat(m.PID)
	return state, err == nil && start == m.Start
}

// Dead reports whether a process has ended, reaped or not.
func Dead(pid int) bool {
	_, state, err := stat(pid)
	return err != nil || dead(state)
}

func dead(state string) bool { return state == "Z" || state == "X" }

// HostBoot is the id of the host's current boot.
func HostBoot() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// stat reads the start time and the state of a process.
func stat(pid int) (start uint64, state string, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", err
	}
	return parseStat(string(b))
}

// parseStat takes /proc/PID/stat apart (proc(5)). The name in parentheses may
// hold anything, parentheses included, so fields count from the last one.
func parseStat(line string) (start uint64, state string, err error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	const stateField, startField = 3 - 3, 22 - 3
	if len(fields) <= startField {
		return 0, "", fmt.Errorf("short stat line %q", line)
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	return start, fields[stateField], err
}

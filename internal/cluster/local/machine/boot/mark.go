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
	self, err := stat(pid)
	if err != nil {
		return err
	}
	host, err := HostBoot()
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(runDir, MarkFile), Mark{PID: pid, Start: self.start, HostBoot: host, BootID: bootID})
}

// ReadMark reads the mark in a run directory, which may be of a machine that
// is long gone.
func ReadMark(runDir string) (*Mark, error) {
	m := new(Mark)
	return m, readJSON(filepath.Join(runDir, MarkFile), m)
}

// Alive reports whether the marked process still runs. One that is exiting does
// not: the first process of a PID namespace stays in that state until others
// have reaped what they had in there.
func (m *Mark) Alive() bool {
	st, ok := m.stat()
	return ok && !st.ended
}

// Exists reports whether the marked process is still listed, be it as a zombie.
func (m *Mark) Exists() bool {
	_, ok := m.stat()
	return ok
}

func (m *Mark) stat() (process, bool) {
	if host, err := HostBoot(); err != nil || host != m.HostBoot {
		return process{}, false
	}
	p, err := stat(m.PID)
	return p, err == nil && p.start == m.Start
}

// HostBoot is the id of the host's current boot.
func HostBoot() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// process is what /proc/PID/stat tells that matters here.
type process struct {
	start uint64 // clock ticks since the host's boot
	ended bool   // whether it is exiting, or a zombie
}

func stat(pid int) (process, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	return parseStat(string(b))
}

// parseStat takes /proc/PID/stat apart (proc(5)). The name in parentheses may
// hold anything, parentheses included, so fields count from the last one.
func parseStat(line string) (process, error) {
	const stateField, flagsField, startField = 3 - 3, 9 - 3, 22 - 3
	const exiting = 0x4 // PF_EXITING in include/linux/sched.h
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) <= startField {
		return process{}, fmt.Errorf("short stat line %q", line)
	}
	flags, err := strconv.ParseUint(fields[flagsField], 10, 64)
	if err != nil {
		return process{}, err
	}
	start, err := strconv.ParseUint(fields[startField], 10, 64)
	state := fields[stateField]
	return process{start: start, ended: state == "Z" || state == "X" || flags&exiting != 0}, err
}

// Started tells when a process started, in clock ticks since the host's boot,
// which beside its number identifies it. It is an error if there is none; one
// that has ended and only waits to be reaped still counts.
func Started(pid int) (ticks uint64, err error) {
	p, err := stat(pid)
	return p.start, err
}

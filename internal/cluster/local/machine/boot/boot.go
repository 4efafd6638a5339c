// Package boot is what the program that starts a machine and the machine's
// first process tell each other: the plan to boot by, the mark by which a
// running machine is found again, and the words of its control socket. It
// needs only the standard library, for zdl-init is to stay small.
package boot

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// Files in a machine's run directory.
const (
	PlanFile = "init.json"    // Plan, written before each start
	MarkFile = "pid.json"     // Mark, written by the first process itself
	Socket   = "control.sock" // the supervisor's control socket
	LockFile = "lock"         // held by whoever starts or stops the machine
	LogFile  = "init.log"     // what the first process says, panics included
	RootDir  = "root"         // an empty directory, mount point of the machine's root in its own namespace
)

// File descriptors that the first process is born with.
const (
	ReadyFD = 3 // it writes one Ready here, then closes it
	LockFD  = 4 // the starter's lock, held until then: so no second starter can meet a half-booted machine
)

// Path is where programs are looked for in a machine.
const Path = "/opt/zdl/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Plan says what machine to become.
type Plan struct {
	Lab, Name  string
	MachineID  string // 32 hexadecimal digits, the same for the machine's whole life
	BootID     string // a UUID, new at each boot
	InitBinary string // path of zdl-init on the host, for commands that enter later
	Memory     int64  // bytes, 0 = unlimited
	CPUs       int    // 0 = unlimited
	Disk       string // image of the disk at /var, "" = memory
	Binds      []Bind
	Files      map[string]File
	Services   []Service
	Hosts      map[string]string
}

// Bind shows a file or directory of the host in the machine.
type Bind struct {
	Source   string // on the host
	Target   string // absolute, in the machine; made if missing
	ReadOnly bool
}

// File is a file that is written at each boot.
type File struct {
	Data []byte
	Mode os.FileMode // 0 means 0644
}

// Service is a program the machine keeps running. It is restarted whenever it
// exits, after 200 ms doubling to 5 s; ten seconds of life start the row anew.
type Service struct {
	Name    string   // its output goes to /var/log/NAME.log in the machine, 8 MiB and one older file at most
	Argv    []string // an absolute path first
	Env     []string // beside PATH, HOME and LANG
	WaitFor []string // absolute paths in the machine that must exist before it starts; a socket must also accept
	// DropEmpty are patterns (path/filepath.Match) of files that are removed
	// before it starts if they are empty: a power cut leaves such files behind when
	// their content was not synced, and not every program bears that.
	DropEmpty []string
}

// Ready is the first process's answer to its starter.
type Ready struct {
	Error string `json:",omitempty"` // why it could not boot; it exits then
}

// ReadPlan reads the plan in a run directory.
func ReadPlan(runDir string) (*Plan, error) {
	p := new(Plan)
	return p, readJSON(filepath.Join(runDir, PlanFile), p)
}

// WritePlan replaces the plan in a run directory.
func WritePlan(runDir string, p *Plan) error {
	return writeJSON(filepath.Join(runDir, PlanFile), p)
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// writeJSON replaces a file as a whole, so that no reader sees half of it.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

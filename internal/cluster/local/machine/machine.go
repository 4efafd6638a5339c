// Package machine boots and cuts the power of the lab's machines. A machine is
// a set of namespaces with a first process of its own (cmd/zdl-init), its own
// root, disk, names and control groups; it looks like a computer to what runs
// in it, and to Kubernetes.
//
// A machine belongs to nobody: it survives whoever started it, and everything
// needed to find it again is in its run directory.
package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/machine/boot"
)

// ErrOff is returned for a machine that is not running.
var ErrOff = errors.New("the machine is off")

// Bind, File and Service are parts of a Spec; see their fields.
type (
	Bind          = boot.Bind
	File          = boot.File
	Service       = boot.Service
	ServiceStatus = boot.ServiceStatus
)

// Spec says what a machine is.
type Spec struct {
	Lab, Name  string            // Name is the host name too
	StateDir   string            // survives power off; holds the machine-id
	RunDir     string            // on the host, of this machine alone; what it holds is lost with Destroy
	InitBinary string            // path of the zdl-init program
	NetNS      string            // path of an existing network namespace; "" makes an empty one
	Memory     int64             // bytes, 0 = unlimited: limit of its control group and its MemTotal
	CPUs       int               // CPUs of time per period, 0 = unlimited
	Weight     int               // share of a busy host's CPU beside other machines of as many CPUs; 0 = 1
	Disk       *Disk             // at /var; nil means memory
	Binds      []Bind            // what it sees of the host beyond /usr
	Files      map[string]File   // absolute path in the machine → content, written at each boot
	Services   []Service         // started in order, each when what it waits for is there
	Hosts      map[string]string // name → IP address in its /etc/hosts
}

// Disk is a machine's ext4 disk, an image on the host.
type Disk struct {
	Image    string // made on first use; then it is the machine's data
	Template string // ext4 image it starts as; "" starts empty
	Size     int64  // bytes; 0 keeps the template's size
}

// maxTasks bounds the processes and threads of a machine, so that a fork bomb
// stays in it. A node with a hundred pods has about two thousand.
const maxTasks = 16384

// Machine is a running machine, at the time it was started or found.
type Machine struct {
	runDir string
	mark   *boot.Mark
	plan   *boot.Plan
	group  *cgroup.Group
}

// Find returns the machine whose run directory this is, or ErrOff.
func Find(runDir string) (*Machine, error) {
	mark, err := boot.ReadMark(runDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrOff
	}
	if err != nil {
		return nil, fmt.Errorf("read the mark of the machine in %s: %w", runDir, err)
	}
	if !mark.Alive() {
		return nil, ErrOff
	}
	plan, err := boot.ReadPlan(runDir)
	if err != nil {
		return nil, fmt.Errorf("read the plan of the machine in %s: %w", runDir, err)
	}
	group, err := groupOf(plan)
	if err != nil {
		return nil, err
	}
	return &Machine{runDir: runDir, mark: mark, plan: plan, group: group}, nil
}

func groupOf(plan *boot.Plan) (*cgroup.Group, error) {
	system, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	return system.Group(plan.Lab, plan.Name), nil
}

// Name is the machine's host name.
func (m *Machine) Name() string { return m.plan.Name }

// PID is the machine's first process, as the host counts.
func (m *Machine) PID() int { return m.mark.PID }

// BootID is new at each boot, a UUID; the machine's kernel tells it too.
func (m *Machine) BootID() string { return m.mark.BootID }

// MachineID stays the same for the machine's whole life, 32 hexadecimal digits.
func (m *Machine) MachineID() string { return m.plan.MachineID }

// Cgroup is the machine's control groups, for faults and measurements.
func (m *Machine) Cgroup() *cgroup.Group { return m.group }

// Running reports whether it still runs.
func (m *Machine) Running() bool { return m.mark.Alive() }

// Path is where the host finds a file of the running machine.
func (m *Machine) Path(inside string) string {
	return fmt.Sprintf("/proc/%d/root%s", m.mark.PID, inside)
}

// Log is what its first process said, a panic included.
func (m *Machine) Log() ([]byte, error) { return os.ReadFile(logPath(m.runDir)) }

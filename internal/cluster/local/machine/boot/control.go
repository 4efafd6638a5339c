package boot

import "syscall"

// Operations of the control socket. Each connection carries one Request and
// one Response, JSON in a line each.
const (
	OpList    = "list"
	OpStart   = "start"
	OpStop    = "stop"    // Signal or SIGTERM, SIGKILL after 10 s; stays stopped until start
	OpRestart = "restart" // stop and start; children that left its session live on
	OpSignal  = "signal"  // sends Signal to the main process
)

// KillSignal tells `zdl-init enter` to kill its command, and to end after it. When
// enter itself is killed, the command's remains pass to the host's init, and
// the machine cannot be gone before that has reaped them: some take seconds.
const KillSignal = syscall.Signal(40) // a real-time signal that nothing else uses

// Request asks the supervisor for something.
type Request struct {
	Op      string
	Service string `json:",omitempty"`
	Signal  int    `json:",omitempty"` // of stop and signal
}

// Response is its answer. Error is empty when it did as it was told.
type Response struct {
	Error    string          `json:",omitempty"`
	Services []ServiceStatus `json:",omitempty"`
}

// State is where a service stands.
type State string

const (
	Waiting  State = "waiting"  // for the paths in WaitFor
	Running  State = "running"  //
	BackOff  State = "back-off" // it exited and is started again soon
	Stopped  State = "stopped"  // by request
	Stopping State = "stopping"
)

// ServiceStatus is what the supervisor knows of a service.
type ServiceStatus struct {
	Name     string
	State    State
	PID      int    `json:",omitempty"` // in the machine
	Starts   int    // how often it was started since the machine's boot
	LastExit string `json:",omitempty"` // how its last run ended
}

package cluster

// Roles of a database's members.
const (
	RolePrimary = "primary" // takes writes
	RoleReplica = "replica" // follows and takes reads
)

// DatabaseRole puts a role as Patroni names it into one vocabulary: until its
// version 4 a primary is a "master". Other words stay as they are.
func DatabaseRole(name string) string {
	switch name {
	case "master", RolePrimary:
		return RolePrimary
	case RoleReplica, "sync_standby", "quorum_standby":
		return RoleReplica
	}
	return name
}

// Database is how the lab's PostgreSQL is, by what its members say themselves.
type Database struct {
	Available bool   `json:"available"`     // the lab can have one
	Why       string `json:"why,omitempty"` // it cannot
	Installed bool   `json:"installed"`
	// Ready: one member leads, all others stream from it.
	Ready       bool   `json:"ready"`
	Trouble     string `json:"trouble,omitempty"`  // why it is not ready
	Primary     string `json:"primary,omitempty"`  // the pod that takes writes
	Timeline    uint32 `json:"timeline,omitempty"` // of the primary; a promotion begins a new one
	Synchronous bool   `json:"synchronous"`        // a commit waits for a second member
	Address     string `json:"address"`            // host:port for users
	User        string `json:"user"`
	Name        string `json:"name"` // of the database
	// Seconds: a primary that has not renewed its lease for TTL is replaced; it renews
	// it every LoopWait, and tries for RetryTimeout.
	TTL          int              `json:"ttl"`
	LoopWait     int              `json:"loopWait"`
	RetryTimeout int              `json:"retryTimeout"`
	Members      []DatabaseMember `json:"members"`
}

// DatabaseMember is one of them.
type DatabaseMember struct {
	Pod      string `json:"pod"`
	Node     string `json:"node"`
	Zone     string `json:"zone"`
	Address  string `json:"address"`
	Role     string `json:"role"`  // RolePrimary, RoleReplica, or "" while it does not answer
	State    string `json:"state"` // running, streaming, starting, silent, …
	Sync     bool   `json:"sync"`  // commits wait for it
	Timeline uint32 `json:"timeline,omitempty"`
	// LagBytes is how much of what the primary has written it has not received.
	LagBytes uint64 `json:"lagBytes"`
}

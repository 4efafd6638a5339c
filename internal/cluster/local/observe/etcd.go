package observe

import (
	"regexp"
	"strings"
	"time"
)

// Raft is a step of an election among etcd's members, as one of them tells it.
type Raft struct {
	Step string // lost (this member misses its leader), election (it stands), leader (it was elected)
	Term string
	At   time.Time
}

var raftStep = regexp.MustCompile(`"msg":"(?:raft\.node: )?([0-9a-f]+) (lost leader [0-9a-f]+|is starting a new election|became leader) at term (\d+)`)

// EtcdLine reads a line of the log of an etcd container; ok tells that it is a
// step of an election. The words are of etcd v3.7 and raft v3.7.
func EtcdLine(line string) (r Raft, ok bool) {
	if !strings.Contains(line, `"logger":"raft"`) {
		return r, false
	}
	m := raftStep.FindStringSubmatch(line)
	if m == nil {
		return r, false
	}
	r.Step, r.Term = "lost", m[3]
	switch m[2] {
	case "is starting a new election":
		r.Step = "election"
	case "became leader":
		r.Step = "leader"
	}
	r.At, _, ok = containerLine(line)
	return r, ok
}

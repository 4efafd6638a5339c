// Package incident is the third director: something is really broken, and a
// trainee finds out what, why, and mends it. This package holds scenarios; the
// packages below it hold the words of a causal graph (causal), what can be
// observed (evidence), what a trainee hands in (diagnosis), its grade (grade),
// whether a fix is one (repair), and times and history (progress).
//
// All of it is pure: it takes observations and gives verdicts, and needs no lab.
package incident

import (
	"time"

	"zdl/internal/fault"
	"zdl/internal/incident/causal"
	"zdl/internal/incident/evidence"
	"zdl/internal/load"
)

// Scenario is an incident with its variant chosen.
type Scenario struct {
	Name    string // of its file, without .yaml
	Title   string
	Summary string // for the list; does not give the cause away
	Covers  []string
	Seed    uint64
	Variant map[string]string // what the seed chose

	Stage  Stage
	Inject []Injection
	Page   Page
	// Healthy tells that nothing is wrong, so that to report anything is.
	Healthy bool

	Graph causal.Graph
	Nodes map[string]Symptom // by id of the graph's nodes
	// Aliases are other words for the same node.
	Aliases []Alias
	Decoys  []Decoy
	Fixes   []Fix
	// Cheats are ways to be wrong, and what must be said to each.
	Cheats    []Cheat
	Forbidden []Rule
	Allowed   []Rule
	// MayGo are objects that a fix may delete or make anew.
	MayGo    []causal.Entity
	Hints    []Hint
	Recovery Recovery

	// Prevention names experiments that prove what would have prevented it.
	Prevention []string
}

// Stage is what runs before anything breaks.
type Stage struct {
	Profile  string // of the lab
	Workload string // web or shop
	Setup    []Change
	Load     *load.Plan    // nil: only the prober's requests
	History  time.Duration // how long the stage runs before the injection, for dashboards to have a past
	// Probes are the subjects that are probed, users always.
	Probes []string
}

// Injection is one step of breaking it: an attack of the catalogue of faults, or a
// change of an object, as somebody in a hurry would have made it.
type Injection struct {
	After  time.Duration // a pause before it
	Attack *fault.Request
	Change *Change
}

// Page is what calls the trainee.
type Page struct {
	Alert      string // the name of the alert
	Text       string
	Complaint  string // what a user wrote
	Dashboards []string
}

// Symptom is what proves that a node of the graph came true.
type Symptom struct {
	Predicate evidence.Predicate
	// Window is how long after the injection it may come true.
	Window time.Duration
	// Evidence lists what else proves it.
	Evidence []evidence.Predicate
	// Says tells a trainee afterwards what this is and how it comes about.
	Says string
}

// Witnesses lists all that proves it, the predicate first.
func (s *Symptom) Witnesses() []evidence.Predicate {
	return append([]evidence.Predicate{s.Predicate}, s.Evidence...)
}

// Alias is another way to name a node; what is "" is as in the node.
type Alias struct {
	Node   string
	Entity causal.Entity // may be a pattern
	State  causal.State
}

// Decoy is something that looks like the cause and is not.
type Decoy struct {
	ID     string
	Entity causal.Entity // may be a pattern
	State  causal.State
	// Why it cannot explain the symptom.
	Why string
	// Shown is what makes it look so, nil where nothing has to.
	Shown *evidence.Predicate
}

// Fix is an accepted way to mend it. Other ways are accepted too, if the root is
// gone and nothing was broken for it.
type Fix struct {
	ID    string
	Title string
	// Settled tells that the root does no harm any more, where it is not gone: a
	// slow disk of a node from which everything has moved.
	Settled *evidence.Predicate
	// Play is what the fix does, for tests and for the lab's own proof. A fix that is
	// made neither by objects nor by an order, within a store for one, has none.
	Play []Change
	// Heals are numbers of attacks, from 1 in the order of the file, that the fix
	// ends. What no kubectl mends, a cable or a disk, the trainee orders: by naming
	// Order to those who run the machines.
	Heals []int
	Order causal.Entity
}

// Cheat is a way to be wrong: a fix that is none, or a diagnosis that is nearly
// right. Tests and the lab's own proof play it.
type Cheat struct {
	Name string
	// A fix: what is done, which attacks end, and whether users are served all the
	// same.
	Do     []Change
	Heals  []int
	Served bool
	// A diagnosis: the true one, with other nodes in place of some, without some,
	// or with its links turned round.
	Claim   map[string]Claim
	Without []string
	Turned  bool
	// Because is the reason for which it is refused: of repair, a short cut's
	// action, or of grade.
	Because string
}

// Claim is what a cheat says in place of a node.
type Claim struct {
	Entity causal.Entity
	State  causal.State
}

// Diagnoses tells whether a cheat is a diagnosis; else it is a fix.
func (c *Cheat) Diagnoses() bool { return len(c.Claim)+len(c.Without) > 0 || c.Turned }

// Rule is a short cut of the closed list, and on what it is one.
type Rule struct {
	Action Action
	On     causal.Entity // may be a pattern
	Why    string
}

// Hint helps, at a cost.
type Hint struct {
	Text string
	Cost float64 // share of the points, 0 to 1
}

// Recovery is what users must get again.
type Recovery struct {
	Goals []Goal
	For   time.Duration // how long without a break
	// Within bounds how long a verification may take.
	Within time.Duration
}

// Goal is what the users of one probed subject must get.
type Goal struct {
	Subject string
	Served  float64       // share of the requests that must be answered, 0 to 1
	P99     time.Duration // 0: no bound
}

// Witnesses lists what proves that a node came true.
func (s *Scenario) Witnesses(id string) []evidence.Predicate {
	n := s.Nodes[id]
	return n.Witnesses()
}

// Match finds the node that an entity in a state stands for, nil for none. Of
// several the first of the file is it.
func (s *Scenario) Match(e causal.Entity, state causal.State) *causal.Node {
	for i := range s.Graph.Nodes {
		n := &s.Graph.Nodes[i]
		if n.State == state && n.Entity.Matches(e) {
			return n
		}
		for _, a := range s.Aliases {
			if a.Node != n.ID {
				continue
			}
			entity, as := a.Entity, a.State
			if entity == "" {
				entity = n.Entity
			}
			if as == "" {
				as = n.State
			}
			if as == state && entity.Matches(e) {
				return n
			}
		}
	}
	return nil
}

// Decoy finds the decoy that an entity in a state is, nil for none.
func (s *Scenario) Decoy(e causal.Entity, state causal.State) *Decoy {
	for i := range s.Decoys {
		if d := &s.Decoys[i]; d.State == state && d.Entity.Matches(e) {
			return d
		}
	}
	return nil
}

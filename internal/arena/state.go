package arena

import "time"

// Phases of a round. "Down" and "recovering" are about what a prober measured,
// never about health points.
const (
	PhaseReady      = "ready"      // healthy, nobody has hit anything yet
	PhasePlaying    = "playing"    // hits have come; the clock of the round runs
	PhaseDown       = "down"       // the level's subject is in a measured outage
	PhaseRecovering = "recovering" // everything struck is being put right; hits do not count
	PhaseEnded      = "ended"      // the end screen is shown; then ready
	PhasePaused     = "paused"     // by the owner
)

// LevelInfo is a level as lists show it.
type LevelInfo struct {
	Number   int    `json:"number"`
	Name     string `json:"name"` // pods, ingress, dns, …
	Title    string `json:"title"`
	Question string `json:"question"`
	Playable bool   `json:"playable"`
	Why      string `json:"why,omitempty"` // it is not playable on this lab
	// Installs: choosing it installs this first.
	Installs string `json:"installs,omitempty"`
	Subject  string `json:"subject"` // whose outage wins: service, api, dns, database
	Best     *Fame  `json:"best,omitempty"`
}

// State is the game as everybody may see it.
type State struct {
	Version int64 `json:"version"`
	// Moving: some health changes with time, so that the state does, too,
	// without a new version.
	Moving bool        `json:"moving"`
	Level  LevelInfo   `json:"level"`
	Levels []LevelInfo `json:"levels"`
	// Text of the level: Markdown of paragraphs, lists, **bold**, `code` and
	// [links](docs/…).
	Text     string        `json:"text"`
	Phase    string        `json:"phase"`
	Since    time.Time     `json:"since"`          // of the phase
	Until    time.Time     `json:"until,omitzero"` // when the phase ends by itself
	Round    int           `json:"round"`          // counts from 1
	Rules    Rules         `json:"rules"`
	Weapons  []Weapon      `json:"weapons"`
	Targets  []Target      `json:"targets"`
	Players  []Player      `json:"players"` // of this round, most hits first, at most 20
	Strikes  []Strike      `json:"strikes"` // of this round, oldest first
	Outages  []RoundOutage `json:"outages"` // of this round, oldest first
	End      *End          `json:"end,omitempty"`
	Defences []Defence     `json:"defences"`
	Replay   *Replay       `json:"replay,omitempty"`
	Fame     []Fame        `json:"fame"` // of this level, best first, at most 10
	// Autopilot: an attacker plays by itself while nobody else does.
	Autopilot bool `json:"autopilot"`

	// Preparing is the level that was chosen and is not ready yet.
	Preparing *Preparing `json:"preparing,omitempty"`

	// Troubles say what keeps the round from being measured.
	Troubles []string `json:"troubles"`

	Hits     int `json:"hits"`     // of this round
	Visitors int `json:"visitors"` // who hit within the last 30 s
}

// Weapon is a way to strike: a fault of the catalogue with its parameters.
type Weapon struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Key     string   `json:"key"` // one character on the keyboard
	Fault   string   `json:"fault"`
	Summary string   `json:"summary"` // what it does, from the catalogue
	Targets []string `json:"targets"` // kinds of targets it strikes
}

// Target is something that may be hit.
//
// IDs: pod/NAMESPACE/UID, node/NAME, zone/NAME, machine/NAME (lb-1, router-1),
// component/NAME@NODE (etcd@cp-1, kube-apiserver@cp-2).
type Target struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"` // pod, node, zone, machine, component
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Node    string   `json:"node,omitempty"`
	Zone    string   `json:"zone,omitempty"`
	Health  float64  `json:"health"` // 0 to Max, whole points
	Max     float64  `json:"max"`
	Healing bool     `json:"healing"`
	Dying   bool     `json:"dying"`            // its fault is on its way
	Down    bool     `json:"down"`             // struck, and not yet back
	Attack  string   `json:"attack,omitempty"` // ID of the fault that holds it
	Hits    int      `json:"hits"`             // of this round
	Weapons []string `json:"weapons"`          // that may be used on it, the first by default
	Refused string   `json:"refused,omitempty"`
}

// Player is a visitor's part in a round.
type Player struct {
	Name    string `json:"name"`
	Hits    int    `json:"hits"`
	Strikes int    `json:"strikes"` // whose last hit was theirs
	You     bool   `json:"you,omitempty"`
}

// Strike is a fault that hits brought about, and what became of it.
type Strike struct {
	ID       int       `json:"id"`
	Target   string    `json:"target"` // its ID
	Kind     string    `json:"kind"`   // of the target, as Title and Node
	Title    string    `json:"title"`
	Node     string    `json:"node,omitempty"`
	Weapon   string    `json:"weapon"`
	Fault    string    `json:"fault"`
	By       string    `json:"by"` // whose hit was the last
	At       time.Time `json:"at"`
	Hits     int       `json:"hits"`     // it took, of all visitors
	Visitors int       `json:"visitors"` // who took part
	AttackID string    `json:"attackId,omitempty"`
	VerifyMS float64   `json:"verifyMs"` // from the last hit until the fault was proven
	Evidence []string  `json:"evidence,omitempty"`
	State    string    `json:"state"` // striking, proven, failed, healed
	Trouble  string    `json:"trouble,omitempty"`
	// Replacement is the pod that Kubernetes made next; ReadyMS is from the
	// strike until it was ready, 0 while it is not.
	Replacement string  `json:"replacement,omitempty"`
	ReadyMS     float64 `json:"readyMs,omitempty"`
}

// Visitor is somebody who plays: the session that the server knows him by, which
// is shown to nobody, and the name that is shown.
type Visitor struct {
	ID, Name string
	Owner    bool
}

// States of a strike.
const (
	StrikeUnderWay = "striking"
	StrikeProven   = "proven"
	StrikeFailed   = "failed"
	StrikeHealed   = "healed"
)

// RoundOutage is an outage that a prober measured while a round was played.
type RoundOutage struct {
	ID      int            `json:"id"` // of the subject's prober
	Subject string         `json:"subject"`
	LowerMS float64        `json:"lowerMs"`
	UpperMS float64        `json:"upperMs"`
	Began   time.Time      `json:"began"`
	Open    bool           `json:"open"`
	Failed  int            `json:"failed"` // requests
	ByClass map[string]int `json:"byClass"`
}

// Score of a round; docs/arena.md says how the points are made.
type Score struct {
	Points   float64 `json:"points"`
	DownMS   float64 `json:"downMs"` // sure downtime: the outages' lower bounds
	Hits     int     `json:"hits"`
	Strikes  int     `json:"strikes"`  // proven
	Resisted int     `json:"resisted"` // strikes that users did not feel
}

// End is the end screen of a round.
type End struct {
	Round     int          `json:"round"`
	Level     string       `json:"level"`
	Won       bool         `json:"won"`
	Headline  string       `json:"headline"`
	Outage    *RoundOutage `json:"outage,omitempty"` // the longest of the level's subject
	Score     Score        `json:"score"`
	Players   []Player     `json:"players"`
	Story     []string     `json:"story"`     // what happened, in order, with numbers
	Why       []string     `json:"why"`       // what the outage's length was made of
	Lesson    string       `json:"lesson"`    // Markdown
	Protected []string     `json:"protected"` // what held
}

// Fame is a place in the hall of fame.
type Fame struct {
	Level   string    `json:"level"`
	At      time.Time `json:"at"`
	Names   []string  `json:"names"` // most hits first, at most 5
	Others  int       `json:"others,omitempty"`
	Points  float64   `json:"points"`
	DownMS  float64   `json:"downMs"`
	Hits    int       `json:"hits"`
	Strikes int       `json:"strikes"`
}

// Defence is a change to the cluster that would have protected the service.
type Defence struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Why   string `json:"why"`
	Docs  string `json:"docs"`
	// Applied: the change is there and its condition was observed.
	Applied  bool `json:"applied"`
	Applying bool `json:"applying"` // or being taken back
	// Trouble says why it could not be applied or taken back.
	Trouble string `json:"trouble,omitempty"`
	// Unavailable says why it cannot be applied to this lab.
	Unavailable string    `json:"unavailable,omitempty"`
	Evidence    []string  `json:"evidence,omitempty"` // what was observed, a line per change
	Since       time.Time `json:"since,omitzero"`     // it is applied
}

// Measured is what one play of a round's attack came to.
type Measured struct {
	DownMS  float64 `json:"downMs"` // sure downtime of the level's subject, of all outages together
	UpperMS float64 `json:"upperMs"`
	// LongestMS and LongestUpperMS bound the longest outage.
	LongestMS      float64       `json:"longestMs"`
	LongestUpperMS float64       `json:"longestUpperMs"`
	FailedRequests int           `json:"failedRequests"` // of the prober
	SteadyMS       float64       `json:"steadyMs"`       // from the first strike until the last moment in which something was not as it should be; 0: there was none
	Outages        []RoundOutage `json:"outages"`
	Strikes        int           `json:"strikes"` // proven
	Failed         int           `json:"failed"`  // strikes that could not be carried out
	Defences       []string      `json:"defences"`
	Notes          []string      `json:"notes"` // where targets stood in for others, and what could not be struck
}

// Replay plays a round's strikes once more against the cluster as it is now.
type Replay struct {
	Running  bool      `json:"running"`
	Round    int       `json:"round"`
	Progress float64   `json:"progress"` // 0 to 1
	Before   *Measured `json:"before,omitempty"`
	After    *Measured `json:"after,omitempty"`
	Trouble  string    `json:"trouble,omitempty"`
}

// HitResult is the answer to a hit.
type HitResult struct {
	Target string  `json:"target"` // its ID
	Health float64 `json:"health"` // after the hit
	// Struck: this hit took the last health, and the fault was made for real.
	Struck bool    `json:"struck"`
	Strike *Strike `json:"strike,omitempty"`
	First  bool    `json:"first"` // the target was unhurt before
}

package arena

import (
	"time"

	"zdl/internal/probe"
)

// State is the game as everybody may see it.
type State struct {
	Version  int64      `json:"version"`
	Rules    Rules      `json:"rules"`
	Pods     []PodState `json:"pods"`
	Hits     int        `json:"hits"`     // ever
	Visitors int        `json:"visitors"` // who hit within the last 30 s
	Kills    []Kill     `json:"kills"`    // latest 50, oldest first
	Wins     []Win      `json:"wins"`     // latest 20, oldest first
	Best     *Win       `json:"best,omitempty"`
	// Moving: some health changes with time, so that the state does, too,
	// without a new version.
	Moving bool `json:"moving"`
}

// PodState is one pod's part in the game.
type PodState struct {
	UID     string  `json:"uid"`
	Name    string  `json:"name"`
	Health  float64 `json:"health"` // 0 to Max, whole points
	Max     float64 `json:"max"`
	Healing bool    `json:"healing"`
	Dying   bool    `json:"dying"` // being deleted
	Hits    int     `json:"hits"`
}

// Kill is a pod that was really deleted, and what became of it.
type Kill struct {
	Pod      string    `json:"pod"`
	UID      string    `json:"uid"`
	Node     string    `json:"node"`
	By       string    `json:"by"` // whose hit was the last
	At       time.Time `json:"at"`
	Hits     int       `json:"hits"`     // it took, of all visitors
	Visitors int       `json:"visitors"` // who took part
	Done     bool      `json:"done"`     // the API server confirmed the deletion
	DeleteMS float64   `json:"deleteMs"` // from the last hit to that confirmation
	// Replacement is the pod that Kubernetes made next; ReadyMS is from the
	// kill until it was ready, 0 while it is not.
	Replacement    string  `json:"replacement,omitempty"`
	ReadyMS        float64 `json:"readyMs,omitempty"`
	replacementUID string
}

// HitResult is the answer to a hit.
type HitResult struct {
	Pod    string  `json:"pod"`
	UID    string  `json:"uid"`
	Health float64 `json:"health"` // after the hit
	Killed bool    `json:"killed"` // this hit took the last health, and the pod was really deleted
	First  bool    `json:"first"`  // the pod was unhurt before
}

// Win is an outage that visitors brought about.
type Win struct {
	Outage   probe.Outage `json:"outage"`
	Kills    []Kill       `json:"kills"`    // that led to it
	Hits     int          `json:"hits"`     // from Lookback before the outage to its end
	Visitors []Share      `json:"visitors"` // by hits, most first
	// Score is milliseconds of sure downtime (its lower bound) per hit.
	Score float64  `json:"score"`
	Story []string `json:"story"` // what happened, in order, in plain words
}

// Share is what one visitor did for a win.
type Share struct {
	Name  string `json:"name"`
	Hits  int    `json:"hits"`
	Kills int    `json:"kills"`
}

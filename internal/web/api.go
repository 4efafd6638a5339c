package web

import (
	"encoding/json"
	"net/http"

	"zdl/internal/cluster"
	"zdl/internal/probe"
)

// Error is the body of every answer that is not a success.
type Error struct {
	Message string `json:"error"` // one sentence
	Hint    string `json:"hint"`  // what to try
}

// Status is the answer to GET /status.
type Status struct {
	Name      string               `json:"name"`
	Service   probe.Summary        `json:"service"`
	Target    cluster.Target       `json:"target"`
	Nodes     NodeCount            `json:"nodes"`
	Leaders   []cluster.Leader     `json:"leaders"`
	View      View                 `json:"view"`
	Outages   int                  `json:"outages"` // of two or more failed requests, of those kept
	Abilities []cluster.Capability `json:"abilities"`
	Watching  int                  `json:"watching"`      // event streams that are open
	Lab       any                  `json:"lab,omitempty"` // what the lab says about itself
}

// NodeCount counts nodes.
type NodeCount struct {
	Total int `json:"total"`
	Ready int `json:"ready"`
}

// View says how much the view of the cluster can be trusted.
type View struct {
	Synced  bool   `json:"synced"`
	Stale   bool   `json:"stale"`
	AgeMS   int64  `json:"ageMs"`
	Trouble string `json:"trouble,omitempty"`
}

// ProbeReply is the answer to GET /probe.
type ProbeReply struct {
	probe.Summary
	Lanes []probe.Summary `json:"lanes"` // further lanes
}

// HitRequest is the body of POST /hit.
type HitRequest struct {
	Target string `json:"target"` // ID of one of the arena's targets
	Weapon string `json:"weapon"` // name of one that fits; "": the target's first
	// Visitor names the session, as POST /arena/name does; "": the name it has.
	Visitor string `json:"visitor"`
}

// NameRequest is the body of POST /arena/name.
type NameRequest struct {
	Name string `json:"name"` // at most visitor.MaxName characters are kept
}

// PowerRequest is the body of POST /nodes/{name}/power.
type PowerRequest struct {
	On *bool `json:"on"` // required
}

// PowerReply says what was done.
type PowerReply struct {
	Node   string  `json:"node"`
	On     bool    `json:"on"`
	TookMS float64 `json:"tookMs"` // off: until every process was gone; on: until it is booting
	// Attack is the fault that keeps it off.
	Attack string `json:"attack,omitempty"`
}

func reply(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		fail(w, http.StatusInternalServerError, "The answer could not be written: "+err.Error()+".", "Please report this.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(append(body, '\n'))
}

func fail(w http.ResponseWriter, status int, message, hint string) {
	body, _ := json.Marshal(Error{message, hint}) // two strings always marshal
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"zdl/internal/probe"
)

// Probes makes measurements beside the lab's own, one per call.
type Probes interface {
	// Probe calls each with what is known so far, at least once and about once a
	// second, until the time that r says is over or ctx ends. An error before the
	// first call means that r asks for what cannot be.
	Probe(ctx context.Context, r probe.Request, each func(probe.Report) error) error
}

// postProbes measures for as long as the caller listens: one Report per line, the
// last one done.
func (s *server) postProbes(w http.ResponseWriter, r *http.Request) {
	if s.Probes == nil {
		fail(w, http.StatusNotImplemented, "Nothing can be measured here.", "This server was started without a prober for further lanes.")
		return
	}
	var in probe.Request
	if !read(w, r, &in) {
		return
	}
	ctx := r.Context() // it ends when the caller hangs up, and with the daemon
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // not every ResponseWriter has deadlines, a test's recorder has none
	begun := false
	err := s.Probes.Probe(ctx, in, func(report probe.Report) error {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/jsonl")
			w.Header().Set("Cache-Control", "no-store")
		}
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := json.NewEncoder(w).Encode(report); err != nil {
			return err
		}
		return rc.Flush()
	})
	switch {
	case err == nil || ctx.Err() != nil:
	case !begun:
		fail(w, http.StatusUnprocessableEntity, "This cannot be measured: "+err.Error()+".", "zdl probe --help says what can be.")
	default:
		_ = json.NewEncoder(w).Encode(probe.Report{Done: true, Error: err.Error()})
	}
}

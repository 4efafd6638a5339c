package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// maxNote is the largest note that is taken, in bytes.
const maxNote = 4 << 10

// Receipt is the answer to a note: proof that its body arrived.
type Receipt struct {
	Identity
	SHA256 string `json:"sha256"` // of the body, in hex
	Bytes  int    `json:"bytes"`
}

// note takes POST /notes. It reads the whole body, at most 4 KiB, and answers 201
// with the body's digest, so that a client knows that it has arrived and been
// read. It is a write for the network, the load balancers and the ingress, which
// may not repeat it. It is not durable: this service has no storage, and nobody
// can read a note again.
func (s *Service) note(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNote))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "the note did not arrive: "+err.Error(), status)
		return
	}
	s.requests.Add(1)
	digest := sha256.Sum256(body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(Receipt{s.identity, hex.EncodeToString(digest[:]), len(body)}) // fails only when the client has gone
}

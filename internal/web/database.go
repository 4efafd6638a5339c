package web

import (
	"context"
	"net/http"

	"zdl/internal/cluster"
)

// Database is the PostgreSQL that can be installed in a lab.
type Database interface {
	Status(ctx context.Context) cluster.Database
	// Up returns when it is ready; synchronous nil leaves that as it is.
	Up(ctx context.Context, synchronous *bool) (cluster.Database, error)
	Down(ctx context.Context) error
}

// DatabaseRequest asks for a database, or for none.
type DatabaseRequest struct {
	On          *bool `json:"on"`
	Synchronous *bool `json:"synchronous,omitempty"` // commits wait for a second member; left out: as it is
}

func (s *server) getDatabase(w http.ResponseWriter, r *http.Request) {
	if s.Database == nil {
		fail(w, http.StatusNotImplemented, "There is no database here.", "This server was started without one.")
		return
	}
	reply(w, s.Database.Status(r.Context()))
}

// postDatabase answers when the database is ready, or gone.
func (s *server) postDatabase(w http.ResponseWriter, r *http.Request) {
	if s.Database == nil {
		fail(w, http.StatusNotImplemented, "There is no database here.", "This server was started without one.")
		return
	}
	var in DatabaseRequest
	if !read(w, r, &in) {
		return
	}
	var err error
	var status cluster.Database
	switch {
	case in.On == nil:
		fail(w, http.StatusBadRequest, "It is not said whether there shall be a database.", `{"on": true} installs one, {"on": false} removes it.`)
		return
	case *in.On:
		status, err = s.Database.Up(r.Context(), in.Synchronous)
	default:
		err = s.Database.Down(r.Context())
		status = s.Database.Status(r.Context())
	}
	if err != nil {
		fail(w, http.StatusUnprocessableEntity, "The database is not as it was asked for: "+err.Error()+".", "zdl database status shows how it is; zdl database down removes it.")
		return
	}
	reply(w, status)
}

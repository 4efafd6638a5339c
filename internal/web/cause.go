package web

import (
	"fmt"
	"net/http"
	"strconv"
)

func (s *server) getCause(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || id < 1 {
		fail(w, http.StatusBadRequest, "An outage is named by its number.", "GET /api/v1/outages lists them.")
		return
	}
	if s.Cause == nil {
		fail(w, http.StatusNotImplemented, "Outages are not explained here.", "This server keeps no timeline of a cluster.")
		return
	}
	subject := r.URL.Query().Get("subject")
	if subject == "" {
		subject = "service"
	}
	b, ok := s.Cause(r.Context(), subject, id)
	if !ok {
		fail(w, http.StatusNotFound, fmt.Sprintf("No outage %d of %s that is over is on record.", id, subject),
			"zdl timeline --kind outage-ended lists those that can be explained; single failed requests are not among them.")
		return
	}
	reply(w, b)
}

package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"zdl/internal/arena"
	"zdl/internal/cluster"
)

func (s *server) postHit(w http.ResponseWriter, r *http.Request) {
	var in HitRequest
	if !read(w, r, &in) {
		return
	}
	if in.Pod == "" {
		fail(w, http.StatusBadRequest, "The hit names no pod.", `For example {"pod":"web-7c9d…","visitor":"Ada"}.`)
		return
	}
	out, err := s.Arena.Hit(r.Context(), in.Visitor, in.Pod)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, out)
}

// read decodes the body strictly; false means that the answer was given.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is something after the object")
		}
	}
	var big *http.MaxBytesError
	switch {
	case err == nil:
		return true
	case errors.As(err, &big):
		fail(w, http.StatusRequestEntityTooLarge, "The request is too large.", fmt.Sprintf("At most %d bytes.", big.Limit))
	default:
		fail(w, http.StatusBadRequest, "The body is not the JSON object that was expected: "+err.Error()+".", "See the request types of the API.")
	}
	return false
}

// refuse answers with an error of the arena or the cluster.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, arena.ErrTooFast):
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", "1")
	case errors.Is(err, arena.ErrNoTarget), errors.Is(err, cluster.ErrGone):
		status = http.StatusNotFound
	case errors.Is(err, arena.ErrDying), errors.Is(err, cluster.ErrDisruptionBudget):
		status = http.StatusConflict
	}
	var rule *arena.Error
	if errors.As(err, &rule) {
		fail(w, status, rule.Message, rule.Hint)
		return
	}
	fail(w, status, err.Error()+".", "zdl status shows whether the API server answers.")
}

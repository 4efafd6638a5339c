package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// read decodes the body strictly; false means that the answer was given.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := decode(r.Body, into)
	var big *http.MaxBytesError
	switch {
	case err == nil:
		// From here on the caller waits for us: the time to send is over, and must not
		// end the wait. Not every ResponseWriter has deadlines, a test's has none.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		return true
	case errors.As(err, &big):
		fail(w, http.StatusRequestEntityTooLarge, "The request is too large.", fmt.Sprintf("At most %d bytes.", big.Limit))
	default:
		fail(w, http.StatusBadRequest, "The body is not the JSON object that was expected: "+err.Error()+".", "See the request types of the API.")
	}
	return false
}

// decode reads exactly one JSON object with fields of the type only.
func decode(body io.Reader, into any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		if err != nil {
			return err
		}
		return errors.New("there is something after the object")
	}
	return nil
}

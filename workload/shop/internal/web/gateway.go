package web

import (
	"errors"
	"io"
	"net/http"

	"zdl/workload/shop/internal/call"
	"zdl/workload/shop/internal/serve"
)

// What the gateway lets through, in either direction.
var (
	requestHeaders = []string{"Accept", "Content-Type", "Authorization", call.IdempotencyKey, "If-None-Match"}
	answerHeaders  = []string{"Content-Type", "Age", "Etag", "Cache-Control", "Location", "Retry-After", "Idempotent-Replay", "Content-Security-Policy"}
)

// gateway passes requests on to a service, with all the care of a call between
// services: limited in time and size, repeated only where that is safe, and not at
// all while the breaker is open.
func (s *Service) gateway(name string, peer *call.Client) {
	s.router.Handle("/api/"+name+"/", func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, serve.MaxBody))
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return serve.Refuse(http.StatusRequestEntityTooLarge, "The request is larger than %d bytes.", serve.MaxBody)
		} else if err != nil {
			return serve.Refuse(http.StatusBadRequest, "The request did not arrive as a whole.")
		}
		q := call.Request{Method: r.Method, Path: r.URL.EscapedPath(), Header: http.Header{}, Body: body}
		if r.URL.RawQuery != "" {
			q.Path += "?" + r.URL.RawQuery
		}
		for _, h := range requestHeaders {
			if v := r.Header.Get(h); v != "" {
				q.Header.Set(h, v)
			}
		}
		answer, err := peer.Do(r.Context(), q)
		if err != nil {
			return serve.Unavailable(err, "The service %s does not answer now.", name)
		}
		for _, h := range answerHeaders {
			if v := answer.Header.Get(h); v != "" {
				w.Header().Set(h, v)
			}
		}
		w.WriteHeader(answer.Code)
		if r.Method != http.MethodHead && answer.Code != http.StatusNoContent && answer.Code != http.StatusNotModified {
			_, _ = w.Write(answer.Body) // fails only when the client has gone
		}
		return nil
	})
}

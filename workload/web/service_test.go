package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

var alice = Identity{Pod: "web-1", Node: "worker-1", Zone: "zone-a", Address: "198.19.4.7", Version: "v1"}

func get(t *testing.T, s *Service, path, accept string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func TestAnswersWhoServedTheRequest(t *testing.T) {
	s := NewService(alice)
	for n := uint64(1); n <= 3; n++ {
		res := get(t, s, "/", "")
		var a Answer
		if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		if a.Identity != alice || a.Requests != n {
			t.Errorf("request %d: got %+v", n, a)
		}
		if got := res.Header.Get("X-Served-By"); got != "web-1" {
			t.Errorf("X-Served-By is %q", got)
		}
	}
}

func TestAnswersBrowsersWithAPage(t *testing.T) {
	res := get(t, NewService(Identity{Pod: "<b>"}), "/", "text/html,application/xhtml+xml")
	if ct := res.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/html") {
		t.Errorf("Content-Type is %q", ct)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "&lt;b&gt;") || strings.Contains(string(body), "<b>") {
		t.Error("the pod's name is not on the page, or not escaped")
	}
}

func TestDrainingFailsReadinessButNotLivenessNorRequests(t *testing.T) {
	s := NewService(alice)
	for _, path := range []string{"/healthz", "/readyz", "/"} {
		if res := get(t, s, path, ""); res.StatusCode != 200 || res.Header.Get("Connection") != "" {
			t.Errorf("before draining, %s: %d, Connection %q", path, res.StatusCode, res.Header.Get("Connection"))
		}
	}
	s.Drain()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/": 200} {
		if res := get(t, s, path, ""); res.StatusCode != want || res.Header.Get("Connection") != "close" {
			t.Errorf("while draining, %s: %d (want %d), Connection %q", path, res.StatusCode, want, res.Header.Get("Connection"))
		}
	}
}

func TestChecksAreNotCountedAsRequests(t *testing.T) {
	s := NewService(alice)
	get(t, s, "/readyz", "")
	get(t, s, "/healthz", "")
	get(t, s, "/", "")
	if n := s.requests.Load(); n != 1 {
		t.Errorf("counted %d requests, want 1", n)
	}
}

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func post(s *Service, body string) *http.Response {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/notes", strings.NewReader(body)))
	return w.Result()
}

func TestANoteIsAnsweredWithItsDigest(t *testing.T) {
	s := NewService(alice)
	res := post(s, "hello")
	var got Receipt
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	// printf hello | sha256sum
	want := Receipt{alice, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", 5}
	if res.StatusCode != http.StatusCreated || got != want {
		t.Errorf("%d %+v, want 201 %+v", res.StatusCode, got, want)
	}
	if n := s.requests.Load(); n != 1 {
		t.Errorf("counted %d requests, want 1", n)
	}
}

func TestANoteHasALimitedSize(t *testing.T) {
	s := NewService(alice)
	if res := post(s, strings.Repeat("x", maxNote)); res.StatusCode != http.StatusCreated {
		t.Errorf("%d bytes: %d, want 201", maxNote, res.StatusCode)
	}
	if res := post(s, strings.Repeat("x", maxNote+1)); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d bytes: %d, want 413", maxNote+1, res.StatusCode)
	}
}

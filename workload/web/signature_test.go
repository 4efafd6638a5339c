package main

import (
	"io"
	"testing"
)

func TestAnswersAreSignedWithTheKey(t *testing.T) {
	s := NewService(alice)
	if got := get(t, s, "/", "").Header.Get("X-Signature"); got != "" {
		t.Errorf("without a key: X-Signature is %q", got)
	}
	s.SignWith("k1")
	res := get(t, s, "/", "")
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := res.Header.Get("X-Signature")
	if got != signature([]byte("k1"), body) || got == signature([]byte("k2"), body) {
		t.Errorf("X-Signature is %q, want the HMAC of the body with the key", got)
	}
}

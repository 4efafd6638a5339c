package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// SignWith makes every JSON answer carry X-Signature, the HMAC-SHA256 of its body
// with a key that all replicas share: whoever has the key can tell an answer
// of the service from one that something on the way made up. An empty key
// signs nothing. Call it before the service answers.
func (s *Service) SignWith(key string) { s.key = []byte(key) }

func signature(key, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

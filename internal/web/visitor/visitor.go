// Package visitor knows who comes to a lab without log-in: sessions that a
// signature makes unforgeable, the names that belong to them, and how much each
// session and each address may ask for. It does no I/O and is told the time, and
// what it keeps is bounded, whoever comes.
package visitor

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// ID is a session: a random number that a visitor's browser keeps.
type ID [16]byte

// NewID makes one.
func NewID() (id ID) {
	rand.Read(id[:]) // never fails
	return id
}

// Guest is the name of a visitor who has given none.
func (id ID) Guest() string {
	const signs = "23456789BCDFGHJKLMNPQRSTVWXZ" // no words, and none that look alike
	sum := sha256.Sum256(id[:])                  // so that the name tells nothing of the session
	name := []byte("Guest ")
	for _, b := range sum[:4] {
		name = append(name, signs[int(b)%len(signs)])
	}
	return string(name)
}

// Key is what sessions are signed with, secret. Who keeps the key keeps the
// sessions.
type Key [32]byte

// NewKey makes one.
func NewKey() (k Key) {
	rand.Read(k[:]) // never fails
	return k
}

// Signer writes and reads what visitors keep as cookies.
type Signer struct{ key Key }

// NewSigner signs with a key.
func NewSigner(key Key) *Signer { return &Signer{key} }

// macSize is half of what SHA-256 gives: 128 bits cannot be guessed.
const macSize = 16

// strict refuses every spelling but the one that is written.
var strict = base64.RawURLEncoding.Strict()

// Session writes a session down.
func (s *Signer) Session(id ID) string { return s.seal("session", id[:]) }

// ReadSession reads what Session wrote, and nothing else.
func (s *Signer) ReadSession(value string) (id ID, ok bool) {
	body, ok := s.open("session", value, len(id))
	copy(id[:], body)
	return id, ok
}

// Owner writes down that somebody has shown the owner's token, until a time. It
// ends earlier when the token is another.
func (s *Signer) Owner(token string, until time.Time) string {
	return s.seal("owner "+token, binary.BigEndian.AppendUint64(nil, uint64(until.Unix())))
}

// IsOwner tells whether Owner wrote this for that token, and it still counts.
func (s *Signer) IsOwner(value, token string, now time.Time) bool {
	body, ok := s.open("owner "+token, value, 8)
	return ok && token != "" && now.Unix() < int64(binary.BigEndian.Uint64(body))
}

func (s *Signer) seal(purpose string, body []byte) string {
	return strict.EncodeToString(append(append([]byte{}, body...), s.mac(purpose, body)...))
}

// open returns the sealed bytes, of exactly that size.
func (s *Signer) open(purpose, value string, size int) ([]byte, bool) {
	if len(value) != strict.EncodedLen(size+macSize) {
		return make([]byte, size), false
	}
	data, err := strict.DecodeString(value)
	if err != nil || len(data) != size+macSize || !hmac.Equal(data[size:], s.mac(purpose, data[:size])) {
		return make([]byte, size), false
	}
	return data[:size], true
}

func (s *Signer) mac(purpose string, body []byte) []byte {
	h := hmac.New(sha256.New, s.key[:])
	h.Write([]byte(purpose))
	h.Write([]byte{0}) // purposes have none of these
	h.Write(body)
	return h.Sum(nil)[:macSize]
}

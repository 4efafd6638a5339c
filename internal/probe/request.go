package probe

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// request is what a lane asks over and over, and what the right answer is.
type request struct {
	address   string // host:port
	authority string // Host header
	path      string
	method    string
	fields    [][2]string // further header fields, names in lower case
	begin     func() ticket
	judge     func(status int, header http.Header, body []byte, t ticket) (Class, error)
}

// ticket is what belongs to one of many requests.
type ticket struct {
	note  []byte // its body; nil for a read
	floor uint64 // of a Sequence
}

// journey is what begins and judges requests to a web service.
type journey struct {
	expect func(status int, header http.Header, body []byte) bool
	stale  time.Duration
	secret string // makes this lane's notes unlike any other's
	notes  atomic.Uint64
}

// noteLength is the size of every note that a write journey sends, so that the
// header is the same for all.
const noteLength = 64

func newRequest(c *Config) (*request, error) {
	u, err := url.Parse(c.URL)
	standard := map[string]string{"http": "80", "https": "443"}
	if err != nil || standard[u.Scheme] == "" || u.Hostname() == "" {
		return nil, fmt.Errorf("probe %q: want an address like http://198.18.0.100/", c.URL)
	}
	if secure := u.Scheme == "https"; secure != (c.TLS != nil) {
		return nil, fmt.Errorf("probe %q: https needs a TLS configuration, and http has none", c.URL)
	} else if secure && c.HTTP2 {
		return nil, fmt.Errorf("probe %q: over TLS the lanes speak HTTP/1.1 only", c.URL)
	}
	port := u.Port()
	if port == "" {
		port = standard[u.Scheme]
	}
	j := &journey{expect: c.Expect, stale: c.StaleAfter, secret: rand.Text() + rand.Text()}
	q := &request{address: net.JoinHostPort(u.Hostname(), port), authority: c.Host, path: u.RequestURI(), method: http.MethodGet,
		begin: func() ticket { return ticket{} }, judge: j.judge}
	if q.authority == "" {
		q.authority = u.Host
	}
	if c.Write {
		q.method, q.begin = http.MethodPost, j.note
		q.path = strings.TrimSuffix(u.EscapedPath(), "/") + "/notes"
		q.fields = [][2]string{{"content-type", "text/plain"}, {"content-length", strconv.Itoa(noteLength)}}
	}
	return q, nil
}

// note is the body of the next write: no two are the same, and nobody can know
// one who did not get it.
func (j *journey) note() ticket {
	b := make([]byte, 0, noteLength)
	b = fmt.Appendf(b, "%012x ", j.notes.Add(1))
	b = append(b, j.secret...)
	return ticket{note: b[:noteLength]}
}

// judge says of a complete answer whether it is the right one.
func (j *journey) judge(status int, header http.Header, body []byte, t ticket) (Class, error) {
	var right bool
	if t.note == nil {
		right = j.expect(status, header, body)
	} else {
		right = status == http.StatusCreated && arrived(body, t.note)
	}
	if !right {
		return notRight(status)
	}
	if age := header.Get("Age"); age != "" && j.stale > 0 {
		// RFC 9111, section 5.1: seconds since the origin made or confirmed it.
		if n, err := strconv.ParseInt(age, 10, 64); err == nil && n > 0 && time.Duration(n)*time.Second >= j.stale {
			return Stale, fmt.Errorf("an answer of %d s ago", n)
		}
	}
	return OK, nil
}

// notRight is the class of a complete answer that is not the expected one.
func notRight(status int) (Class, error) {
	switch {
	case status >= 500:
		return ServerError, fmt.Errorf("%d %s", status, http.StatusText(status))
	case status >= 400:
		return ClientError, fmt.Errorf("%d %s", status, http.StatusText(status))
	}
	return Wrong, fmt.Errorf("not the expected answer: %d %s", status, http.StatusText(status))
}

// arrived tells whether the answer to a write proves that the note was read: it
// holds the note's SHA-256 in hex.
func arrived(body, note []byte) bool {
	digest := sha256.Sum256(note)
	return strings.Contains(string(body), hex.EncodeToString(digest[:]))
}

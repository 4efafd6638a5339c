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
	write     bool
	method    string
	fields    [][2]string // further header fields, names in lower case
	expect    func(status int, header http.Header, body []byte) bool
	stale     time.Duration

	secret string // makes this lane's notes unlike any other's
	notes  atomic.Uint64
}

// noteLength is the size of every note that a write journey sends, so that the
// header is the same for all.
const noteLength = 64

func newRequest(c *Config) (*request, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		return nil, fmt.Errorf("probe %q: want an address like http://198.18.0.100/", c.URL)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	q := &request{address: net.JoinHostPort(u.Hostname(), port), authority: c.Host, path: u.RequestURI(), method: http.MethodGet,
		expect: c.Expect, stale: c.StaleAfter, write: c.Write, secret: rand.Text() + rand.Text()}
	if q.authority == "" {
		q.authority = u.Host
	}
	if c.Write {
		q.method = http.MethodPost
		q.path = strings.TrimSuffix(u.EscapedPath(), "/") + "/notes"
		q.fields = [][2]string{{"content-type", "text/plain"}, {"content-length", strconv.Itoa(noteLength)}}
	}
	return q, nil
}

// note is the body of the next write: no two are the same, and nobody can know
// one who did not get it.
func (q *request) note() []byte {
	if !q.write {
		return nil
	}
	b := make([]byte, 0, noteLength)
	b = fmt.Appendf(b, "%012x ", q.notes.Add(1))
	b = append(b, q.secret...)
	return b[:noteLength]
}

// judge says of a complete answer whether it is the right one. note is what was
// written, nil for a read.
func (q *request) judge(status int, header http.Header, body, note []byte) (Class, error) {
	right := false
	if note == nil {
		right = q.expect(status, header, body)
	} else {
		right = status == http.StatusCreated && arrived(body, note)
	}
	switch {
	case !right && status >= 500:
		return ServerError, fmt.Errorf("%d %s", status, http.StatusText(status))
	case !right && status >= 400:
		return ClientError, fmt.Errorf("%d %s", status, http.StatusText(status))
	case !right && status >= 200 && status < 300:
		return Wrong, fmt.Errorf("%d, but not the expected answer", status)
	case !right:
		return Wrong, fmt.Errorf("not the expected answer: %d %s", status, http.StatusText(status))
	}
	if age := header.Get("Age"); age != "" && q.stale > 0 {
		// RFC 9111, section 5.1: seconds since the origin made or confirmed it.
		if n, err := strconv.ParseInt(age, 10, 64); err == nil && n > 0 && time.Duration(n)*time.Second >= q.stale {
			return Stale, fmt.Errorf("an answer of %d s ago", n)
		}
	}
	return OK, nil
}

// arrived tells whether the answer to a write proves that the note was read: it
// holds the note's SHA-256 in hex.
func arrived(body, note []byte) bool {
	digest := sha256.Sum256(note)
	return strings.Contains(string(body), hex.EncodeToString(digest[:]))
}

package web

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"zdl/internal/web/visitor"
)

// maxBody bounds the body of a visitor's request, maxOwnerBody that of an
// owner's, who may send an attack of many parts. Valid ones are far smaller.
const (
	maxBody      = 4 << 10
	maxOwnerBody = 256 << 10
)

// answerWithin is how long an answer to a visitor may take that is not a stream,
// until it is read.
const answerWithin = time.Minute

// guard keeps foreign web sites, floods and oversized requests out, and sets the
// headers that keep the page to itself.
func (d *door) guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		c := d.identify(r)
		if !c.local {
			if !c.owner { // whose attacks may take longer to be proven
				// Not every ResponseWriter has deadlines, a test's recorder has none.
				_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerWithin))
			}
			if !hostAllowed(r.Host, d.Hosts) {
				fail(w, http.StatusMisdirectedRequest, "This server does not answer to the name "+printable(r.Host)+".",
					"Use localhost, an IP address, or the address that zdl printed; zdl up --public-host NAME allows another.")
				return
			}
			if err := crossOrigin.Check(r); err != nil || !sameOrigin(r) {
				fail(w, http.StatusForbidden, "This request comes from another web site.", "Open the lab's own page, or use the zdl command.")
				return
			}
			if !c.owner {
				if wait, ok := d.gate.Admit(time.Now(), c.session, c.address, kindOf(r, c)); !ok {
					tooFast(w, wait)
					return
				}
			}
			if c.liar {
				noOwner(w)
				return
			}
			d.welcome(w, c)
		}
		if r.Method == http.MethodPost {
			if ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(ct) != "application/json" {
				fail(w, http.StatusUnsupportedMediaType, "The body must be JSON.", "Set Content-Type: application/json.")
				return
			}
			limit := int64(maxBody)
			if c.owner {
				limit = maxOwnerBody
			}
			r.Body = http.MaxBytesReader(w, r.Body, limit)
		}
		next.ServeHTTP(w, d.with(r, c))
	})
}

// changing are the paths of what makes the lab work for seconds, whoever asks.
var changing = []string{defendPath, replayPath}

// kindOf is what a request is counted as.
func kindOf(r *http.Request, c *caller) visitor.Kind {
	switch {
	case c.liar, r.URL.Path == ownerPath && r.Method == http.MethodPost:
		return visitor.Guess
	case slices.Contains(changing, r.URL.Path):
		return visitor.Change
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return visitor.Act
	case strings.HasPrefix(r.URL.Path, "/api/"):
		return visitor.Read
	}
	return visitor.File
}

func tooFast(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", fmt.Sprint(max(1, math.Ceil(wait.Seconds()))))
	fail(w, http.StatusTooManyRequests, "Too many requests.", "Slow down a little: what is beyond the limit does not count.")
}

// printable is the beginning of what a visitor sent, fit to be sent back.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s[:min(len(s), 80)])
	if s == "" {
		return "that was asked for"
	}
	return s
}

// hostAllowed tells whether the Host header names this server. A name that only
// DNS knows may be a foreign site's, rebound to this address.
func hostAllowed(hostport string, more []string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return strings.EqualFold(host, "localhost") || slices.ContainsFunc(more, func(m string) bool { return strings.EqualFold(m, host) })
}

// sameOrigin refuses reads from foreign pages, too, which the standard library's
// check leaves to CORS: event streams cost memory.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return !strings.HasPrefix(r.URL.Path, "/api/") // a link from elsewhere to the page is fine
}

package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxBody bounds the body of a visitor's request, maxOwnerBody that of an
// owner's, who may send an attack of many parts. Valid ones are far smaller.
const (
	maxBody      = 4 << 10
	maxOwnerBody = 256 << 10
)

// guard keeps foreign web sites and oversized requests out, and sets the headers
// that keep the page to itself.
func guard(hosts []string, next http.Handler) http.Handler {
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
		if !local(r) {
			if !hostAllowed(r.Host, hosts) {
				fail(w, http.StatusMisdirectedRequest, "This server does not answer to the name "+r.Host+".",
					"Use localhost, an IP address, or the address that zdl printed.")
				return
			}
			if err := crossOrigin.Check(r); err != nil || !sameOrigin(r) {
				fail(w, http.StatusForbidden, "This request comes from another web site.", "Open the lab's own page, or use the zdl command.")
				return
			}
		}
		if r.Method == http.MethodPost {
			if ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(ct) != "application/json" {
				fail(w, http.StatusUnsupportedMediaType, "The body must be JSON.", "Set Content-Type: application/json.")
				return
			}
			limit := int64(maxBody)
			if local(r) {
				limit = maxOwnerBody
			}
			r.Body = http.MaxBytesReader(w, r.Body, limit)
		}
		next.ServeHTTP(w, r)
	})
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

// local tells whether the request came through a unix socket.
func local(r *http.Request) bool {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && a.Network() == "unix"
}

// owner lets only those through who came by the unix socket.
func owner(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !local(r) {
			fail(w, http.StatusForbidden, "Only the owner of the lab may do this.", "Use the zdl command on the lab's machine.")
			return
		}
		next(w, r)
	}
}

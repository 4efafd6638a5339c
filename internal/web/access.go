package web

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"zdl/internal/web/visitor"
)

// Access says who may do what.
type Access struct {
	// Lab is whose cookies these are: their names end with it. "" is the one that
	// needs no telling from others on this host.
	Lab string
	// Public: others than users of this machine can reach the server. Then to
	// direct the game takes the owner's token; else whoever reaches it may.
	Public bool
	// Hosts are further names by which this server may be addressed. localhost
	// and literal IP addresses always may; other names are refused, since a
	// foreign web site can make any name of its own point here (DNS rebinding).
	Hosts []string
	// Proxies are whose X-Forwarded-For and X-Forwarded-Proto are believed;
	// nobody's without.
	Proxies []netip.Prefix
	// SessionKey signs sessions; zero: a new one, with which sessions end with
	// this process.
	SessionKey visitor.Key
	// Token makes whoever shows it an owner; nil: only the unix socket does.
	Token Token
	// Limits of visitors; zero: visitor.DefaultLimits.
	Limits visitor.Limits
}

// Token is the owner's token, kept by somebody else.
type Token interface {
	Value() string
	Rotate() (string, error) // makes a new one; the old one counts no longer
}

// caller is who makes a request.
type caller struct {
	local    bool       // through the unix socket
	owner    bool       // may do everything
	director bool       // may direct the game
	address  netip.Addr // of the visitor, as far as it can be known
	secure   bool       // the visitor's connection is encrypted, a trusted proxy says
	session  *visitor.ID
	liar     bool // brings a token that is not the owner's
}

type callerKey struct{}

// callerOf is who makes a request that passed the door.
func callerOf(r *http.Request) *caller {
	if c, ok := r.Context().Value(callerKey{}).(*caller); ok {
		return c
	}
	return &caller{local: local(r), owner: local(r), director: local(r)}
}

// door lets requests in, and knows who makes them.
type door struct {
	Access
	// sessions and owners are the names of the cookies. Browsers give cookies to every
	// port of a host, and so to every lab on it.
	sessions, owners string
	gate             *visitor.Gate
	names            *visitor.Names
	signer           *visitor.Signer
}

func newDoor(a Access) *door {
	if a.Limits == (visitor.Limits{}) {
		a.Limits = visitor.DefaultLimits()
	}
	if a.SessionKey == (visitor.Key{}) {
		a.SessionKey = visitor.NewKey()
	}
	of := ""
	if a.Lab != "" {
		of = "_" + a.Lab
	}
	return &door{Access: a, sessions: sessionCookie + of, owners: ownerCookie + of, gate: visitor.NewGate(a.Limits), names: visitor.NewNames(a.Limits.MaxSessions), signer: visitor.NewSigner(a.SessionKey)}
}

// identify finds out who makes a request, from its connection and its cookies.
func (d *door) identify(r *http.Request) *caller {
	c := &caller{local: local(r)}
	if c.local {
		c.owner, c.director = true, true
		return c
	}
	c.address, c.secure = d.origin(r)
	if cookie, err := r.Cookie(d.sessions); err == nil {
		if id, ok := d.signer.ReadSession(cookie.Value); ok {
			c.session = &id
		}
	}
	c.owner, c.liar = d.provenOwner(r)
	c.director = c.owner || !d.Public
	return c
}

// origin is the visitor's address, and whether the connection is encrypted. What
// proxies say is believed only of those that are trusted: the list of addresses
// grows to the right, so the first from there that is no trusted proxy's is the
// visitor's, or at least who wrote down what stands before it.
func (d *door) origin(r *http.Request) (netip.Addr, bool) {
	peer := peerOf(r.RemoteAddr)
	if !d.trusted(peer) {
		return peer, false
	}
	secure := strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		if peer = hop.Unmap(); !d.trusted(peer) {
			break
		}
	}
	return peer, secure
}

func (d *door) trusted(a netip.Addr) bool {
	for _, p := range d.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func peerOf(remote string) netip.Addr {
	if a, err := netip.ParseAddrPort(remote); err == nil {
		return a.Addr().Unmap()
	}
	return netip.Addr{}
}

// local tells whether the request came through a unix socket.
func local(r *http.Request) bool {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && a.Network() == "unix"
}

const (
	sessionCookie = "zdl_session"
	sessionLasts  = 30 * 24 * time.Hour
)

// welcome gives a visitor without a session a new one. It counts from the next
// request on, which brings it along: who keeps no cookies has none.
func (d *door) welcome(w http.ResponseWriter, c *caller) {
	if c.local || c.session != nil || !d.gate.Welcome(time.Now(), c.address) {
		return
	}
	http.SetCookie(w, &http.Cookie{Name: d.sessions, Value: d.signer.Session(visitor.NewID()), Path: "/",
		MaxAge: int(sessionLasts.Seconds()), HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteStrictMode})
}

func (d *door) with(r *http.Request, c *caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

// only lets those through of whom a condition holds; others get a 403.
func only(may func(*caller) bool, message, hint string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !may(callerOf(r)) {
			fail(w, http.StatusForbidden, message, hint)
			return
		}
		next(w, r)
	}
}

// owner lets only those through who came by the unix socket or have shown the
// owner's token.
func owner(next http.HandlerFunc) http.HandlerFunc {
	return only(func(c *caller) bool { return c.owner }, "Only the owner of the lab may do this.",
		"Use the zdl command on the lab's machine, or show the owner's token: zdl owner-token.", next)
}

// director lets only those through who may direct the game.
func director(next http.HandlerFunc) http.HandlerFunc {
	return only(func(c *caller) bool { return c.director }, "Only the owner of the lab may direct the game.",
		"The owner shows the token that zdl up --public printed, or zdl owner-token prints.", next)
}

// socket lets only those through who came by the unix socket: what they get is
// of use on this machine only, or worth more than the token.
func socket(next http.HandlerFunc) http.HandlerFunc {
	return only(func(c *caller) bool { return c.local }, "This is answered only on the lab's machine.", "Use the zdl command there.", next)
}

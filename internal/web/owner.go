package web

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"zdl/internal/web/visitor"
)

const (
	ownerPath   = "/api/v1/owner"
	ownerCookie = "zdl_owner"
	// ownerLasts is how long a browser remembers that its user is the owner.
	ownerLasts = 12 * time.Hour
)

// OwnerRequest is the body of POST /owner.
type OwnerRequest struct {
	Token string `json:"token"` // "" gives the right back
}

// SessionReply says who the caller is.
type SessionReply struct {
	Name     string `json:"name"`     // under which hits are shown
	Owner    bool   `json:"owner"`    // may do everything
	Director bool   `json:"director"` // may choose the level, pause, reset
	Public   bool   `json:"public"`   // the lab can be reached from other machines
}

// TokenReply is the owner's token.
type TokenReply struct {
	Token string `json:"token"`
}

// provenOwner tells whether a request brings the owner's token, or the cookie
// that it was exchanged for; and whether it brings another token.
func (d *door) provenOwner(r *http.Request) (proven, liar bool) {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		proven = d.right(bearer)
		return proven, !proven
	}
	if d.Token == nil {
		return false, false
	}
	cookie, err := r.Cookie(d.owners)
	return err == nil && d.signer.IsOwner(cookie.Value, d.Token.Value(), time.Now()), false
}

func (d *door) right(token string) bool {
	if d.Token == nil {
		return false
	}
	want := d.Token.Value()
	return want != "" && subtle.ConstantTimeCompare([]byte(token), []byte(want)) == 1
}

func noOwner(w http.ResponseWriter) {
	fail(w, http.StatusUnauthorized, "That is not the owner's token.", "zdl owner-token prints it on the lab's machine.")
}

// postOwner exchanges the owner's token for a cookie, so that a page need not
// keep it.
func (s *server) postOwner(w http.ResponseWriter, r *http.Request) {
	var in OwnerRequest
	if !read(w, r, &in) {
		return
	}
	c := *callerOf(r)
	cookie := &http.Cookie{Name: s.door.owners, Path: "/api/", MaxAge: -1, HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteStrictMode}
	switch {
	case in.Token == "":
		c.owner = c.local
	case s.tokenless(w):
		return
	case !s.door.right(in.Token):
		noOwner(w)
		return
	default:
		cookie.Value = s.door.signer.Owner(s.door.Token.Value(), time.Now().Add(ownerLasts))
		cookie.MaxAge = int(ownerLasts.Seconds())
		c.owner = true
	}
	c.director = c.owner || !s.door.Public
	http.SetCookie(w, cookie)
	reply(w, s.sessionReply(&c))
}

func (s *server) getSession(w http.ResponseWriter, r *http.Request) {
	reply(w, s.sessionReply(callerOf(r)))
}

func (s *server) sessionReply(c *caller) SessionReply {
	return SessionReply{Name: s.door.name(c), Owner: c.owner, Director: c.director, Public: s.door.Public}
}

// ownersName is under which hits of the command line are shown.
const ownersName = "the owner"

// name is under which a caller's hits are shown.
func (d *door) name(c *caller) string {
	switch {
	case c.session != nil:
		return d.names.Of(*c.session)
	case c.local:
		return ownersName
	}
	return "somebody"
}

// key is what a caller's hits are counted by.
func (c *caller) key() string {
	switch {
	case c.session != nil:
		return string(c.session[:])
	case c.local:
		return "owner"
	}
	a := visitor.Network(c.address).As16()
	return "address " + string(a[:])
}

func (s *server) getToken(w http.ResponseWriter, _ *http.Request) {
	if s.tokenless(w) {
		return
	}
	reply(w, TokenReply{s.door.Token.Value()})
}

// postToken makes a new token; the old one and its cookies count no longer.
func (s *server) postToken(w http.ResponseWriter, _ *http.Request) {
	if s.tokenless(w) {
		return
	}
	token, err := s.door.Token.Rotate()
	if err != nil {
		fail(w, http.StatusInternalServerError, "The new token could not be kept: "+err.Error()+".", "The old one still counts.")
		return
	}
	reply(w, TokenReply{token})
}

func (s *server) tokenless(w http.ResponseWriter) bool {
	if s.door.Token == nil {
		fail(w, http.StatusNotImplemented, "This lab has no owner's token.", "Use the zdl command on the lab's machine.")
	}
	return s.door.Token == nil
}

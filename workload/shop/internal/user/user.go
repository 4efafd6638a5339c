// Package user is the service that knows customers: who they are, and whether
// they are who they say.
package user

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/mail"
	"runtime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"zdl/workload/shop/internal/serve"
)

var (
	// ErrTaken is returned for an e-mail address that has an account.
	ErrTaken = errors.New("there is an account with this address")
	// ErrUnknown is returned for an account or a session that does not exist.
	ErrUnknown = errors.New("no such account or session")
)

// Account is what is stored of a customer. The password is not.
type Account struct {
	Email   string    `bson:"_id"` // in small letters
	Name    string    `bson:"name"`
	Hash    []byte    `bson:"hash"` // bcrypt
	Created time.Time `bson:"created"`
}

// Accounts is where accounts are.
type Accounts interface {
	Create(ctx context.Context, a Account) error             // ErrTaken
	Find(ctx context.Context, email string) (Account, error) // ErrUnknown
}

// Session is who is logged in.
type Session struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

// Sessions is where sessions are. They are kept under the hash of their token, so
// that who can read the store cannot log in.
type Sessions interface {
	Put(ctx context.Context, hash string, s Session, life time.Duration) error
	Get(ctx context.Context, hash string) (Session, error) // ErrUnknown
	Delete(ctx context.Context, hash string) error
}

// Life is how long a session lasts.
const Life = 7 * 24 * time.Hour

// Service answers under /api/user/.
type Service struct {
	accounts Accounts
	sessions Sessions
	cost     int           // of bcrypt
	hashing  chan struct{} // as many hashes at once as there are processors
	nobody   []byte        // hash that nobody's password has
}

// New makes the service and adds its routes. cost is bcrypt's; 0 is its default.
func New(router *serve.Router, accounts Accounts, sessions Sessions, cost int) *Service {
	if cost == 0 {
		cost = bcrypt.DefaultCost
	}
	s := &Service{accounts: accounts, sessions: sessions, cost: cost, hashing: make(chan struct{}, runtime.GOMAXPROCS(0))}
	s.nobody, _ = bcrypt.GenerateFromPassword([]byte(rand.Text()), cost) // a known cost and a short password: no error
	router.Handle("POST /api/user/accounts", s.register)
	router.Handle("POST /api/user/sessions", s.login)
	router.Handle("GET /api/user/me", s.me)
	router.Handle("DELETE /api/user/sessions", s.logout)
	return s
}

// Registration is what a new customer sends.
type Registration struct {
	Email    string `json:"email"`
	Name     string `json:"name"`
	Password string `json:"password"`
}

// Login is what a customer sends to log in.
type Login struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

// Token is the answer to both.
type Token struct {
	Session
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

func (s *Service) register(w http.ResponseWriter, r *http.Request) error {
	var body Registration
	if err := serve.Decode(w, r, &body); err != nil {
		return err
	}
	email, err := Email(body.Email)
	if err != nil {
		return err
	}
	name := strings.TrimSpace(body.Name)
	if n := utf8.RuneCountInString(name); n < 1 || n > 100 || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return serve.Refuse(http.StatusUnprocessableEntity, "The name must be 1 to 100 printable characters.")
	}
	if err := password(body.Password); err != nil {
		return err
	}
	var hash []byte
	if err := s.withHashing(r.Context(), func() (err error) {
		hash, err = bcrypt.GenerateFromPassword([]byte(body.Password), s.cost)
		return err
	}); err != nil {
		return err
	}
	switch err := s.accounts.Create(r.Context(), Account{Email: email, Name: name, Hash: hash, Created: time.Now().UTC()}); {
	case errors.Is(err, ErrTaken):
		return serve.Refuse(http.StatusConflict, "There is an account with this e-mail address already.")
	case err != nil:
		return serve.Unavailable(err, "Accounts cannot be made now.")
	}
	return s.admit(w, r, Session{Email: email, Name: name})
}

func (s *Service) login(w http.ResponseWriter, r *http.Request) error {
	var body Login
	if err := serve.Decode(w, r, &body); err != nil {
		return err
	}
	// One answer for every reason, after the same time: nobody learns who has an account.
	refused := serve.Refuse(http.StatusUnauthorized, "The e-mail address or the password is wrong.")
	email, err := Email(body.Email)
	if err != nil || len(body.Password) > maxPassword {
		return refused
	}
	account, err := s.accounts.Find(r.Context(), email)
	if err != nil && !errors.Is(err, ErrUnknown) {
		return serve.Unavailable(err, "Nobody can log in now.")
	}
	hash := account.Hash
	if err != nil {
		hash = s.nobody
	}
	var wrong error
	if err := s.withHashing(r.Context(), func() error {
		wrong = bcrypt.CompareHashAndPassword(hash, []byte(body.Password))
		return nil
	}); err != nil {
		return err
	}
	if err != nil || wrong != nil {
		return refused
	}
	return s.admit(w, r, Session{Email: account.Email, Name: account.Name})
}

// withHashing keeps slow hashes from taking more than the processors there are. Who
// has waited too long is turned away.
func (s *Service) withHashing(ctx context.Context, do func() error) error {
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
		return do()
	case <-timer.C:
		return serve.Unavailable(errors.New("hashing is busy"), "Too many people log in now; please try again.")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service) admit(w http.ResponseWriter, r *http.Request, who Session) error {
	token := rand.Text()
	if err := s.sessions.Put(r.Context(), digest(token), who, Life); err != nil {
		return serve.Unavailable(err, "Nobody can log in now.")
	}
	return serve.JSON(w, http.StatusCreated, Token{Session: who, Token: token, Expires: time.Now().Add(Life).UTC()})
}

func (s *Service) me(w http.ResponseWriter, r *http.Request) error {
	who, err := s.sessions.Get(r.Context(), digest(bearer(r)))
	switch {
	case errors.Is(err, ErrUnknown):
		return serve.Refuse(http.StatusUnauthorized, "You are not logged in.")
	case err != nil:
		return serve.Unavailable(err, "Who is logged in cannot be read now.")
	}
	return serve.JSON(w, http.StatusOK, who)
}

func (s *Service) logout(w http.ResponseWriter, r *http.Request) error {
	if err := s.sessions.Delete(r.Context(), digest(bearer(r))); err != nil {
		return serve.Unavailable(err, "Nobody can log out now.")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Email makes an address comparable, or refuses it.
func Email(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	parsed, err := mail.ParseAddress(s)
	_, domain, _ := strings.Cut(s, "@")
	if err != nil || len(s) > 254 || parsed.Address != s || parsed.Name != "" || !strings.Contains(domain, ".") ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", serve.Refuse(http.StatusUnprocessableEntity, "That is not an e-mail address.")
	}
	return s, nil
}

// maxPassword is what bcrypt takes notice of; what is longer would be cut.
const maxPassword = 72

func password(s string) error {
	if utf8.RuneCountInString(s) < 10 || len(s) > maxPassword || !utf8.ValidString(s) {
		return serve.Refuse(http.StatusUnprocessableEntity, "The password must have at least 10 characters and at most %d bytes.", maxPassword)
	}
	return nil
}

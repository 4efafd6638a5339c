package web

import (
	"context"
	"errors"
	"net/http"

	"zdl/internal/arena"
	"zdl/internal/fault"
	"zdl/internal/web/visitor"
)

// Game is what is shown and driven of an arena.Arena.
type Game interface {
	State() arena.State
	Hit(ctx context.Context, who arena.Visitor, target, weapon string) (arena.HitResult, error)
	HealHit(ctx context.Context, who arena.Visitor, target string) error
	Rename(who arena.Visitor)
	SetLevel(name string) error
	Reset()
	Pause(on bool)
}

const (
	defendPath = "/api/v1/arena/defend"
	replayPath = "/api/v1/arena/replay"
)

// LevelRequest is the body of POST /arena/level.
type LevelRequest struct {
	Name string `json:"name"`
}

// PauseRequest is the body of POST /arena/pause.
type PauseRequest struct {
	Paused *bool `json:"paused"` // required
}

// TargetRequest is the body of POST /arena/heal.
type TargetRequest struct {
	Target string `json:"target"`
}

func (s *server) getArena(w http.ResponseWriter, _ *http.Request) { reply(w, s.Arena.State()) }

// player is who a caller is in the game.
func (s *server) player(c *caller) arena.Visitor {
	return arena.Visitor{ID: c.key(), Name: s.door.name(c), Owner: c.director}
}

func (s *server) postHit(w http.ResponseWriter, r *http.Request) {
	var in HitRequest
	if !read(w, r, &in) {
		return
	}
	if in.Target == "" {
		fail(w, http.StatusBadRequest, "The hit names no target.", `For example {"target":"node/worker-1"}; GET /api/v1/arena lists the targets.`)
		return
	}
	c := callerOf(r)
	if in.Visitor != "" && c.session != nil && !s.rename(w, c, in.Visitor) {
		return
	}
	who := s.player(c)
	if c.local && in.Visitor != "" { // the owner plays under any name
		who.ID, who.Name = "owner as "+in.Visitor, in.Visitor
	}
	out, err := s.Arena.Hit(r.Context(), who, in.Target, in.Weapon)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, out)
}

// postName names the caller's session.
func (s *server) postName(w http.ResponseWriter, r *http.Request) {
	var in NameRequest
	if !read(w, r, &in) {
		return
	}
	c := callerOf(r)
	if c.session == nil {
		fail(w, http.StatusBadRequest, "There is no session to be named.", "Keep the cookie "+s.door.sessions+" of an earlier answer, and send it along.")
		return
	}
	if s.rename(w, c, in.Name) {
		reply(w, s.sessionReply(c))
	}
}

// rename names a visitor's session; false means that the answer was given.
func (s *server) rename(w http.ResponseWriter, c *caller, name string) bool {
	was := s.door.name(c)
	now, err := s.door.names.Give(*c.session, name)
	switch {
	case errors.Is(err, visitor.ErrTaken):
		fail(w, http.StatusConflict, "Somebody else has the name "+printable(name)+".", "Choose another one.")
		return false
	case err != nil:
		fail(w, http.StatusBadRequest, "That is no name that can be shown.", "Use some letters, digits or signs.")
		return false
	}
	if now != was {
		s.Arena.Rename(s.player(c))
	}
	return true
}

func (s *server) postLevel(w http.ResponseWriter, r *http.Request) {
	var in LevelRequest
	if read(w, r, &in) {
		s.directed(w, s.Arena.SetLevel(in.Name))
	}
}

func (s *server) postPause(w http.ResponseWriter, r *http.Request) {
	var in PauseRequest
	if !read(w, r, &in) {
		return
	}
	if in.Paused == nil {
		fail(w, http.StatusBadRequest, "The request does not say whether to pause.", `{"paused":true} or {"paused":false}.`)
		return
	}
	s.Arena.Pause(*in.Paused)
	s.directed(w, nil)
}

func (s *server) postReset(w http.ResponseWriter, r *http.Request) {
	if read(w, r, &struct{}{}) {
		s.Arena.Reset()
		s.directed(w, nil)
	}
}

// postHealTarget puts a target right: the director may do so always, others where
// the level lets them.
func (s *server) postHealTarget(w http.ResponseWriter, r *http.Request) {
	var in TargetRequest
	if read(w, r, &in) {
		s.directed(w, s.Arena.HealHit(r.Context(), s.player(callerOf(r)), in.Target))
	}
}

// directed answers with the game as it is now.
func (s *server) directed(w http.ResponseWriter, err error) {
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, s.Arena.State())
}

// refuse answers with a refusal of the arena.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, arena.ErrTooFast):
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", "1")
	case errors.Is(err, arena.ErrNoTarget), errors.Is(err, arena.ErrNoLevel):
		status = http.StatusNotFound
	case errors.Is(err, arena.ErrDying), errors.Is(err, arena.ErrClosed), errors.Is(err, arena.ErrRefused), errors.Is(err, arena.ErrUnplayable):
		status = http.StatusConflict
	case errors.Is(err, arena.ErrNoWeapon):
		status = http.StatusBadRequest
	}
	var rule *arena.Error
	if errors.As(err, &rule) {
		fail(w, status, rule.Message, rule.Hint)
		return
	}
	var refused *fault.Error
	if errors.As(err, &refused) {
		fail(w, http.StatusUnprocessableEntity, refused.Message, refused.Hint)
		return
	}
	fail(w, status, err.Error()+".", "zdl status shows whether the API server answers.")
}

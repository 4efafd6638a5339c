package web

import (
	"context"
	"net/http"

	"zdl/internal/arena"
)

// Defender is what a game may have beside Game.
type Defender interface {
	Defend(ctx context.Context, who arena.Visitor, defence string, on bool) error
	Replay(who arena.Visitor) error
	Autopilot(on bool) error
}

// DefendRequest is the body of POST /arena/defend.
type DefendRequest struct {
	Defence string `json:"defence"` // of the level that is played
	On      *bool  `json:"on"`      // required: apply it, or take it back
}

// AutopilotRequest is the body of POST /arena/autopilot.
type AutopilotRequest struct {
	On *bool `json:"on"` // required
}

// defender is the game, if it can be defended; else the answer is given.
func (s *server) defender(w http.ResponseWriter) Defender {
	d, ok := s.Arena.(Defender)
	if !ok {
		fail(w, http.StatusNotImplemented, "This game has no defences.", "zdl help up")
		return nil
	}
	return d
}

// postDefend answers when the change was begun; the game tells what becomes of it.
func (s *server) postDefend(w http.ResponseWriter, r *http.Request) {
	var in DefendRequest
	if !read(w, r, &in) {
		return
	}
	if in.Defence == "" || in.On == nil {
		fail(w, http.StatusBadRequest, "The request does not say which defence, or whether to apply it.", `For example {"defence":"six-replicas","on":true}; GET /api/v1/arena lists them.`)
		return
	}
	if d := s.defender(w); d != nil {
		s.directed(w, d.Defend(r.Context(), s.player(callerOf(r)), in.Defence, *in.On))
	}
}

// postReplay answers when the replay was begun.
func (s *server) postReplay(w http.ResponseWriter, r *http.Request) {
	if !read(w, r, &struct{}{}) {
		return
	}
	if d := s.defender(w); d != nil {
		s.directed(w, d.Replay(s.player(callerOf(r))))
	}
}

func (s *server) postAutopilot(w http.ResponseWriter, r *http.Request) {
	var in AutopilotRequest
	if !read(w, r, &in) {
		return
	}
	if in.On == nil {
		fail(w, http.StatusBadRequest, "The request does not say whether to switch it on.", `{"on":true} or {"on":false}.`)
		return
	}
	if d := s.defender(w); d != nil {
		s.directed(w, d.Autopilot(*in.On))
	}
}

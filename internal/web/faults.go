package web

import (
	"context"
	"errors"
	"net/http"

	"zdl/internal/fault"
)

// Faults is what is shown and driven of a fault.Engine.
type Faults interface {
	Catalogue() []fault.Kind
	Find(name string) (*fault.Kind, error)
	Attacks() []fault.Attack
	Get(id string) (fault.Attack, bool)
	Attack(ctx context.Context, r fault.Request) (fault.Attack, error)
	Heal(ctx context.Context, id string) (fault.Attack, error)
	HealAll(ctx context.Context) ([]fault.Attack, error)
	Changed() <-chan struct{} // closed at the next change of any attack
}

func (s *server) getFaults(w http.ResponseWriter, _ *http.Request) {
	if s.faultless(w) {
		return
	}
	reply(w, s.Faults.Catalogue())
}

func (s *server) getFault(w http.ResponseWriter, r *http.Request) {
	if s.faultless(w) {
		return
	}
	kind, err := s.Faults.Find(r.PathValue("name"))
	if err != nil {
		refuseFault(w, err)
		return
	}
	reply(w, kind)
}

func (s *server) getAttack(w http.ResponseWriter, r *http.Request) {
	if s.faultless(w) {
		return
	}
	id := r.PathValue("id")
	out, ok := s.Faults.Get(id)
	if !ok {
		fail(w, http.StatusNotFound, "There is no attack "+id+".", "zdl attacks --all lists them.")
		return
	}
	reply(w, out)
}

func (s *server) getAttacks(w http.ResponseWriter, _ *http.Request) {
	if s.faultless(w) {
		return
	}
	reply(w, s.Faults.Attacks())
}

func (s *server) postAttacks(w http.ResponseWriter, r *http.Request) {
	var in fault.Request
	if s.faultless(w) || !read(w, r, &in) {
		return
	}
	out, err := s.Faults.Attack(r.Context(), in)
	if err != nil {
		refuseFault(w, err)
		return
	}
	reply(w, out)
}

func (s *server) postHeal(w http.ResponseWriter, r *http.Request) {
	if s.faultless(w) {
		return
	}
	out, err := s.Faults.Heal(r.Context(), r.PathValue("id"))
	if err != nil {
		refuseFault(w, err)
		return
	}
	reply(w, out)
}

func (s *server) postHealAll(w http.ResponseWriter, r *http.Request) {
	if s.faultless(w) {
		return
	}
	out, err := s.Faults.HealAll(r.Context())
	if err != nil {
		refuseFault(w, err)
		return
	}
	reply(w, out)
}

func (s *server) faultless(w http.ResponseWriter) bool {
	if s.Faults == nil {
		fail(w, http.StatusNotImplemented, "Nothing can be broken here.", "This server was started without a fault engine.")
	}
	return s.Faults == nil
}

// refuseFault answers with an error of the engine: one of its own kind means that
// nothing was touched.
func refuseFault(w http.ResponseWriter, err error) {
	var refused *fault.Error
	if errors.As(err, &refused) {
		fail(w, http.StatusUnprocessableEntity, refused.Message, refused.Hint)
		return
	}
	fail(w, http.StatusInternalServerError, err.Error()+".", "zdl attacks shows what is still active; zdl heal --all takes everything back.")
}

// recentOver is how many attacks that are over are streamed beside the active.
const recentOver = 20

// recent lists the active attacks and the latest that are over, oldest first.
func recent(all []fault.Attack) []fault.Attack {
	over := 0
	for i := range all {
		if all[i].State.Over() {
			over++
		}
	}
	out := []fault.Attack{}
	for i := range all {
		if all[i].State.Over() {
			if over--; over >= recentOver {
				continue
			}
		}
		out = append(out, all[i])
	}
	return out
}

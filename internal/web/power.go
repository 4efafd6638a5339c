package web

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/timeline"
)

// powerOff is the kind of fault that a power switch is.
const powerOff = "node-power-off"

// postPower switches a machine. Off is a fault that lasts until on heals it, so
// that there is one record of who is off and why.
func (s *server) postPower(w http.ResponseWriter, r *http.Request) {
	var in PowerRequest
	if s.faultless(w) || !read(w, r, &in) {
		return
	}
	name := r.PathValue("name")
	switch snap := s.Cluster.Snapshot(); {
	case in.On == nil:
		fail(w, http.StatusBadRequest, "The request does not say on or off.", `{"on":true} or {"on":false}.`)
		return
	case s.Power == nil:
		fail(w, http.StatusNotImplemented, "The machines of this cluster have no power switch.", "Only a lab that zdl built itself has one.")
		return
	case snap.Synced && snap.Node(name) == nil && !slices.ContainsFunc(snap.Machines, func(m cluster.Machine) bool { return m.Name == name }):
		fail(w, http.StatusNotFound, "There is no machine "+name+".", "zdl node list and zdl status show them.")
		return
	}
	held := s.holders("power/" + name)
	if *in.On {
		s.switchOn(w, r, name, held)
		return
	}
	if len(held) > 0 { // off already
		reply(w, PowerReply{Node: name, Attack: held[0].ID})
		return
	}
	a, err := s.Faults.Attack(r.Context(), fault.Request{Kind: powerOff, Target: name, By: "power switch"})
	if err != nil {
		refuseFault(w, err)
		return
	}
	reply(w, PowerReply{Node: name, TookMS: a.VerifyMS, Attack: a.ID})
}

func (s *server) switchOn(w http.ResponseWriter, r *http.Request, name string, held []fault.Attack) {
	begin := time.Now()
	for _, a := range held {
		if len(a.Targets) > 1 || a.Kind != powerOff {
			fail(w, http.StatusConflict, fmt.Sprintf("%s is off because of the attack %s (%s), which does more than that.", name, a.ID, a.Kind), "zdl heal "+a.ID)
			return
		}
		if _, err := s.Faults.Heal(r.Context(), a.ID); err != nil {
			refuseFault(w, err)
			return
		}
	}
	if err := s.Power.PowerOn(r.Context(), name); err != nil {
		fail(w, http.StatusInternalServerError, fmt.Sprintf("Powering %s on failed: %v.", name, err), "zdl status shows what is running.")
		return
	}
	took := float64(time.Since(begin).Microseconds()) / 1000
	if len(held) == 0 {
		s.Timeline.Add(timeline.KindPower, name, fmt.Sprintf("Power of %s was switched on (%.0f ms)", name, took), map[string]string{"node": name, "power": "on"})
	}
	reply(w, PowerReply{Node: name, On: true, TookMS: took})
}

// holders lists the attacks that hold something and are not over.
func (s *server) holders(touched string) []fault.Attack {
	var out []fault.Attack
	for _, a := range s.Faults.Attacks() {
		if !a.State.Over() && slices.Contains(a.Touches, touched) {
			out = append(out, a)
		}
	}
	return out
}

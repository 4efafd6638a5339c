package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"zdl/internal/arena"
	"zdl/internal/cluster"
	"zdl/internal/timeline"
)

func (s *server) postHit(w http.ResponseWriter, r *http.Request) {
	var in HitRequest
	if !read(w, r, &in) {
		return
	}
	if in.Pod == "" {
		fail(w, http.StatusBadRequest, "The hit names no pod.", `For example {"pod":"web-7c9d…","visitor":"Ada"}.`)
		return
	}
	out, err := s.Arena.Hit(r.Context(), in.Visitor, in.Pod)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, out)
}

func (s *server) postAttack(w http.ResponseWriter, r *http.Request) {
	var in AttackRequest
	if !read(w, r, &in) {
		return
	}
	if in.Kind != "pod-kill" {
		fail(w, http.StatusBadRequest, fmt.Sprintf("There is no attack of kind %q.", in.Kind), "The kinds are: pod-kill.")
		return
	}
	if in.GraceSeconds < -1 || in.GraceSeconds > 3600 {
		fail(w, http.StatusBadRequest, "graceSeconds is out of range.", "0 to 3600, or -1 for the pod's own.")
		return
	}
	grace := time.Duration(in.GraceSeconds) * time.Second
	snap := s.Cluster.Snapshot()
	namespace, name, ok := strings.Cut(in.Target, "/")
	if !ok {
		namespace, name = snap.Target.Namespace, in.Target
	}
	if namespace == snap.Target.Namespace && (name == "any" || isTarget(&snap, name)) {
		k, err := s.Arena.Kill(r.Context(), "zdl attack", name, grace)
		if err != nil {
			refuse(w, err)
			return
		}
		reply(w, AttackReply{Kind: in.Kind, Target: namespace + "/" + k.Pod, UID: k.UID, Node: k.Node, TookMS: k.DeleteMS})
		return
	}
	for _, p := range snap.System {
		if p.Namespace != namespace || p.Name != name {
			continue
		}
		start := time.Now()
		if err := s.Cluster.DeletePod(r.Context(), p.Namespace, p.Name, p.UID, grace); err != nil {
			refuse(w, err)
			return
		}
		s.Timeline.Add(timeline.KindKill, in.Target, fmt.Sprintf("zdl attack killed %s on %s", in.Target, p.Node), map[string]string{"node": p.Node})
		reply(w, AttackReply{Kind: in.Kind, Target: in.Target, UID: p.UID, Node: p.Node, TookMS: float64(time.Since(start).Microseconds()) / 1000})
		return
	}
	fail(w, http.StatusNotFound, fmt.Sprintf("There is no pod %s/%s.", namespace, name), "The target is namespace/name or any; zdl status lists the pods.")
}

func isTarget(s *cluster.Snapshot, name string) bool {
	for _, p := range s.TargetPods() {
		if p.Name == name {
			return true
		}
	}
	return false
}

func (s *server) postPower(w http.ResponseWriter, r *http.Request) {
	var in PowerRequest
	if !read(w, r, &in) {
		return
	}
	node := r.PathValue("name")
	switch snap := s.Cluster.Snapshot(); {
	case in.On == nil:
		fail(w, http.StatusBadRequest, "The request does not say on or off.", `{"on":true} or {"on":false}.`)
		return
	case s.Power == nil:
		fail(w, http.StatusNotImplemented, "The machines of this cluster have no power switch.", "Only a lab that zdl built itself has one.")
		return
	case snap.Synced && snap.Node(node) == nil && !slices.ContainsFunc(snap.Machines, func(m cluster.Machine) bool { return m.Name == node }):
		fail(w, http.StatusNotFound, "There is no machine "+node+".", "zdl node list and zdl status show them.")
		return
	}
	word, begin := "off", time.Now()
	var gone time.Duration
	var err error
	if *in.On {
		word = "on"
		err = s.Power.PowerOn(r.Context(), node)
		gone = time.Since(begin)
	} else {
		gone, err = s.Power.PowerOff(r.Context(), node)
	}
	if err != nil {
		fail(w, http.StatusInternalServerError, fmt.Sprintf("Powering %s %s failed: %v.", node, word, err), "zdl status shows what is running.")
		return
	}
	took := float64(gone.Microseconds()) / 1000
	s.Timeline.Add(timeline.KindPower, node, fmt.Sprintf("Power of %s was switched %s (%.0f ms)", node, word, took), map[string]string{"node": node, "power": word})
	reply(w, PowerReply{Node: node, On: *in.On, TookMS: took})
}

// read decodes the body strictly; false means that the answer was given.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is something after the object")
		}
	}
	var big *http.MaxBytesError
	switch {
	case err == nil:
		return true
	case errors.As(err, &big):
		fail(w, http.StatusRequestEntityTooLarge, "The request is too large.", fmt.Sprintf("At most %d bytes.", big.Limit))
	default:
		fail(w, http.StatusBadRequest, "The body is not the JSON object that was expected: "+err.Error()+".", "See the request types of the API.")
	}
	return false
}

// refuse answers with an error of the arena or the cluster.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, arena.ErrTooFast):
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", "1")
	case errors.Is(err, arena.ErrNoTarget), errors.Is(err, cluster.ErrGone):
		status = http.StatusNotFound
	case errors.Is(err, arena.ErrDying), errors.Is(err, cluster.ErrDisruptionBudget):
		status = http.StatusConflict
	}
	var rule *arena.Error
	if errors.As(err, &rule) {
		fail(w, status, rule.Message, rule.Hint)
		return
	}
	fail(w, status, err.Error()+".", "zdl status shows whether the API server answers.")
}

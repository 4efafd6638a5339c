package web

import (
	"net/http"
	"strconv"

	"zdl/internal/probe"
)

func (s *server) getStatus(w http.ResponseWriter, r *http.Request) {
	st := s.Deps.status(callerOf(r).local)
	st.Watching = s.hub.watching()
	reply(w, st)
}

func (d *Deps) status(owner bool) Status {
	snap := d.Cluster.Snapshot()
	st := Status{Name: d.Name, Service: d.Probe.Summary(), Target: snap.Target, Leaders: snap.Leaders,
		View:      View{Synced: snap.Synced, Stale: snap.Stale, AgeMS: snap.AgeMS, Trouble: snap.Trouble},
		Abilities: d.Cluster.Capabilities()}
	for _, n := range snap.Nodes() {
		st.Nodes.Total++
		if n.Ready {
			st.Nodes.Ready++
		}
	}
	for _, o := range d.Probe.Outages(0) {
		if o.Failed > 1 {
			st.Outages++
		}
	}
	if d.Status != nil {
		st.Lab = d.Status(owner)
	}
	return st
}

func (s *server) getSnapshot(w http.ResponseWriter, _ *http.Request) { reply(w, s.Cluster.Snapshot()) }

func (s *server) getProbe(w http.ResponseWriter, _ *http.Request) {
	out := ProbeReply{Summary: s.Probe.Summary(), Lanes: []probe.Summary{}}
	for _, p := range s.Lanes {
		out.Lanes = append(out.Lanes, p.Summary())
	}
	reply(w, out)
}

func (s *server) getOutages(w http.ResponseWriter, r *http.Request) {
	after, ok := number(w, r, "after")
	if ok {
		reply(w, s.Probe.Outages(int(after)))
	}
}

func (s *server) getTimeline(w http.ResponseWriter, r *http.Request) {
	since, ok := number(w, r, "since")
	if !ok {
		return
	}
	limit, ok := number(w, r, "limit")
	if ok {
		reply(w, s.Timeline.Since(since, int(limit)))
	}
}

func (s *server) getKubeconfig(w http.ResponseWriter, _ *http.Request) {
	if s.Kubeconfig == nil {
		fail(w, http.StatusNotFound, "This lab has no kubeconfig to give.", "Use the one it was started with.")
		return
	}
	body, err := s.Kubeconfig()
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "The kubeconfig could not be read: "+err.Error()+".", "The lab may still be starting: try again.")
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(body)
}

// number reads an optional whole number from the query; absent is 0.
func number(w http.ResponseWriter, r *http.Request, key string) (int64, bool) {
	v := r.URL.Query().Get(key)
	if v == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 || n > 1<<31 {
		fail(w, http.StatusBadRequest, "The parameter "+key+" must be a whole number.", "For example ?"+key+"=10.")
		return 0, false
	}
	return n, true
}

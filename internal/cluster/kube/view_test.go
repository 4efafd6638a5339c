package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"zdl/internal/cluster"
)

// apiServer is as much of an API server as a view needs: lists, watches,
// /readyz, deletion and eviction of pods. Watches can be cut and the whole
// server can stop answering.
type apiServer struct {
	mu      sync.Mutex
	version int
	objects map[string]map[string]map[string]any // resource → name → object
	history []change
	wake    chan struct{}
	mute    chan struct{} // not nil: requests hang until it is closed
	budget  bool          // evictions are refused
	deletes []string      // bodies of deletions
}

type change struct {
	resource, kind string
	object         map[string]any
}

func newAPIServer() *apiServer {
	return &apiServer{objects: map[string]map[string]map[string]any{}, wake: make(chan struct{})}
}

func (s *apiServer) put(resource string, object map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := object["metadata"].(map[string]any)["name"].(string)
	kind := "MODIFIED"
	if s.objects[resource] == nil {
		s.objects[resource] = map[string]map[string]any{}
	}
	if s.objects[resource][name] == nil {
		kind = "ADDED"
	}
	s.objects[resource][name] = object
	s.note(resource, kind, object)
}

func (s *apiServer) note(resource, kind string, object map[string]any) {
	s.version++
	object["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(s.version)
	s.history = append(s.history, change{resource, kind, object})
	close(s.wake)
	s.wake = make(chan struct{})
}

func (s *apiServer) remove(resource, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	object := s.objects[resource][name]
	if object == nil {
		return false
	}
	delete(s.objects[resource], name)
	s.note(resource, "DELETED", object)
	return true
}

func (s *apiServer) silence() (speak func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	s.mute = c
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mute = nil
		close(c)
	}
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	mute := s.mute
	s.mu.Unlock()
	if mute != nil {
		select {
		case <-mute:
		case <-r.Context().Done():
		}
		return
	}
	w.Header().Set("Content-Type", "application/json")
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/readyz":
		io.WriteString(w, "ok")
	case r.Method == "DELETE":
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.deletes = append(s.deletes, string(body))
		s.mu.Unlock()
		s.deletion(w, parts[len(parts)-1])
	case r.Method == "POST" && parts[len(parts)-1] == "eviction":
		if s.budget {
			refuse(w, 429, "TooManyRequests")
			return
		}
		s.deletion(w, parts[len(parts)-2])
	case r.URL.Query().Get("sendInitialEvents") == "true":
		refuse(w, 422, "Invalid") // older servers cannot stream lists
	case r.URL.Query().Get("watch") != "":
		s.watch(w, r, parts[len(parts)-1])
	default:
		s.list(w, r, parts[len(parts)-1])
	}
}

func (s *apiServer) deletion(w http.ResponseWriter, name string) {
	switch {
	case name == "other":
		refuse(w, 409, "Conflict")
	case s.remove("pods", name):
		json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	default:
		refuse(w, 404, "NotFound")
	}
}

func refuse(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason})
}

// selected stands in for the two field and label selectors that the view uses.
func selected(r *http.Request, object map[string]any) bool {
	name, ok := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
	return !ok || object["metadata"].(map[string]any)["name"] == name
}

var kinds = map[string][2]string{
	"pods": {"PodList", "v1"}, "nodes": {"NodeList", "v1"}, "leases": {"LeaseList", "coordination.k8s.io/v1"},
	"endpointslices": {"EndpointSliceList", "discovery.k8s.io/v1"}, "deployments": {"DeploymentList", "apps/v1"},
}

func (s *apiServer) list(w http.ResponseWriter, r *http.Request, resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []any{}
	for _, o := range s.objects[resource] {
		if selected(r, o) {
			items = append(items, o)
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"kind": kinds[resource][0], "apiVersion": kinds[resource][1],
		"metadata": map[string]any{"resourceVersion": fmt.Sprint(s.version)}, "items": items})
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request, resource string) {
	var from int
	fmt.Sscan(r.URL.Query().Get("resourceVersion"), &from)
	w.WriteHeader(200)
	http.NewResponseController(w).Flush()
	for {
		s.mu.Lock()
		news, wake := append([]change{}, s.history[from:]...), s.wake
		from = len(s.history)
		s.mu.Unlock()
		for _, c := range news {
			if c.resource == resource && selected(r, c.object) {
				s.mu.Lock()
				json.NewEncoder(w).Encode(map[string]any{"type": c.kind, "object": c.object})
				s.mu.Unlock()
			}
		}
		http.NewResponseController(w).Flush()
		select {
		case <-wake:
		case <-r.Context().Done():
			return
		}
	}
}

type object = map[string]any

func node(name, zone string, ready bool) object {
	status := "True"
	if !ready {
		status = "Unknown"
	}
	labels := object{"topology.kubernetes.io/zone": zone}
	if strings.HasPrefix(name, "cp") {
		labels["node-role.kubernetes.io/control-plane"] = ""
	}
	return object{"kind": "Node", "apiVersion": "v1", "metadata": object{"name": name, "uid": "uid-" + name, "labels": labels},
		"status": object{"addresses": []any{object{"type": "InternalIP", "address": "198.18.1.11"}},
			"conditions": []any{object{"type": "Ready", "status": status, "reason": "Because"}}}}
}

func pod(namespace, name, on string, ready bool) object {
	status := "False"
	if ready {
		status = "True"
	}
	return object{"kind": "Pod", "apiVersion": "v1",
		"metadata": object{"namespace": namespace, "name": name, "uid": "uid-" + name, "labels": object{"app.kubernetes.io/name": namespace}, "creationTimestamp": "2026-01-01T00:00:00Z"},
		"spec":     object{"nodeName": on},
		"status":   object{"phase": "Running", "conditions": []any{object{"type": "Ready", "status": status}}}}
}

func lease(name, holder string) object {
	return object{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": object{"name": name, "uid": name},
		"spec": object{"holderIdentity": holder, "leaseTransitions": 3}}
}

// observed starts a server with a small cluster and a view of it.
func observed(t *testing.T) (*apiServer, *View, *httptest.Server) {
	t.Helper()
	api := newAPIServer()
	api.put("nodes", node("cp-1", "zone-a", true))
	api.put("nodes", node("w-1", "zone-a", true))
	api.put("nodes", node("w-2", "zone-b", true))
	api.put("pods", pod("web", "web-1", "w-1", true))
	api.put("pods", pod("web", "web-2", "", false))
	api.put("pods", pod("kube-system", "dns", "w-2", true))
	api.put("leases", lease("kube-scheduler", "cp-1_123-abc"))
	api.put("endpointslices", object{"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
		"metadata": object{"name": "web-x", "uid": "slice"}, "endpoints": []any{object{"addresses": []any{"198.19.1.2"}, "conditions": object{"ready": true}, "targetRef": object{"kind": "Pod", "name": "web-1"}}}})
	api.put("deployments", object{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": object{"name": "web", "uid": "d"}, "spec": object{"replicas": 2}})
	srv := httptest.NewUnstartedServer(api)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	v, err := New(&rest.Config{Host: srv.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}, Options{
		Power: func(n string) cluster.Power { return cluster.PowerOn }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { v.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait(); srv.CloseClientConnections(); srv.Close() })
	until(t, v, "everything is seen", func(s *cluster.Snapshot) bool {
		return s.Synced && len(s.Leaders) == 1 && len(s.Endpoints) == 1 && s.Target.Desired == 2 && !s.Stale
	})
	return api, v, srv
}

// until waits for a condition of the snapshot by its change channel alone, so
// that a change that is not announced fails the test. Staleness passes with
// time, so it is looked at again now and then.
func until(t *testing.T, v *View, what string, ok func(*cluster.Snapshot) bool) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		changed := v.Changed()
		s := v.Snapshot()
		if ok(&s) {
			return time.Since(start)
		}
		select {
		case <-changed:
		case <-time.After(15 * time.Second):
			t.Fatalf("waited 15 s until %s; have %+v", what, s)
		}
	}
}

func TestSnapshotShowsTheCluster(t *testing.T) {
	_, v, _ := observed(t)
	s := v.Snapshot()
	if len(s.Zones) != 2 || s.Zones[0].Name != "zone-a" || len(s.Zones[0].Nodes) != 2 {
		t.Fatalf("zones %+v", s.Zones)
	}
	cp, w := s.Zones[0].Nodes[0], s.Zones[0].Nodes[1]
	if !cp.ControlPlane || cp.Name != "cp-1" || cp.Address != "198.18.1.11" || cp.Power != cluster.PowerOn || !cp.Ready {
		t.Errorf("control plane %+v", cp)
	}
	if len(w.Pods) != 1 || w.Pods[0].Name != "web-1" || !w.Pods[0].Ready || w.ControlPlane {
		t.Errorf("worker %+v", w)
	}
	if len(s.Pending) != 1 || s.Pending[0].Name != "web-2" || len(s.System) != 1 || s.Target.Ready != 1 {
		t.Errorf("pending %+v, system %+v, target %+v", s.Pending, s.System, s.Target)
	}
	if l := s.Leaders[0]; l.Holder != "cp-1" || l.Changes != 3 {
		t.Errorf("leader %+v", l)
	}
	if e := s.Endpoints[0]; e.Pod != "web-1" || !e.Ready || !e.Serving {
		t.Errorf("endpoint %+v", e)
	}
	if data, err := json.Marshal(s); err != nil || strings.Contains(string(data), "null") {
		t.Errorf("JSON has null where a list belongs: %s, %v", data, err)
	}
}

func TestChangesArrive(t *testing.T) {
	api, v, _ := observed(t)
	api.put("pods", pod("web", "web-2", "w-2", true))
	until(t, v, "the pod has a node and is ready", func(s *cluster.Snapshot) bool { return s.Target.Ready == 2 && len(s.Pending) == 0 })
	api.remove("pods", "web-1")
	until(t, v, "the pod is gone", func(s *cluster.Snapshot) bool { return s.TargetPod("uid-web-1") == nil })
	api.put("nodes", node("w-2", "zone-b", false))
	until(t, v, "the node is not ready", func(s *cluster.Snapshot) bool { n := s.Node("w-2"); return !n.Ready && n.Reason == "Because" })
	api.put("leases", lease("kube-scheduler", "cp-2_9"))
	until(t, v, "the leader moved", func(s *cluster.Snapshot) bool { return s.Leaders[0].Holder == "cp-2" })
}

func TestTheViewSurvivesASilentAPIServer(t *testing.T) {
	api, v, srv := observed(t)
	speak := api.silence()
	srv.CloseClientConnections() // and nothing new is answered
	until(t, v, "the view is stale", func(s *cluster.Snapshot) bool { return s.Stale })
	s := v.Snapshot()
	if s.AgeMS < cluster.StaleAfter.Milliseconds() || s.Trouble == "" || len(s.TargetPods()) != 2 {
		t.Errorf("stale view: age %d ms, trouble %q, %d pods; want an age, a reason and what was last seen", s.AgeMS, s.Trouble, len(s.TargetPods()))
	}
	api.remove("pods", "web-1")
	speak()
	took := until(t, v, "the view is current again", func(s *cluster.Snapshot) bool { return !s.Stale && s.TargetPod("uid-web-1") == nil })
	if took > 8*time.Second {
		t.Errorf("it took %v to be current again", took)
	}
}

func TestDeletionIsOfThatPodOnly(t *testing.T) {
	api, v, _ := observed(t)
	ctx := context.Background()
	if err := v.DeletePod(ctx, "web", "web-1", "uid-web-1", 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web-1", "other"} { // gone, and replaced under the same name
		if err := v.DeletePod(ctx, "web", name, "uid-web-1", -1); !errors.Is(err, cluster.ErrGone) {
			t.Errorf("delete %s: %v, want %v", name, err, cluster.ErrGone)
		}
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	if len(api.deletes) != 3 {
		t.Fatalf("%d deletions were asked for", len(api.deletes))
	}
	for i, body := range api.deletes {
		if !strings.Contains(body, "uid-web-1") {
			t.Errorf("deletion %d has no precondition: %q", i, body)
		}
	}
}

func TestEvictionMayBeRefused(t *testing.T) {
	api, v, _ := observed(t)
	api.budget = true
	if err := v.EvictPod(context.Background(), "web", "web-1", "uid-web-1"); !errors.Is(err, cluster.ErrDisruptionBudget) {
		t.Errorf("got %v, want %v", err, cluster.ErrDisruptionBudget)
	}
	api.budget = false
	if err := v.EvictPod(context.Background(), "web", "web-1", "uid-web-1"); err != nil {
		t.Error(err)
	}
}

func TestGraceIsInSeconds(t *testing.T) {
	for _, c := range []struct {
		grace time.Duration
		want  string
	}{{0, "0"}, {-1, "own"}, {time.Millisecond, "1"}, {30 * time.Second, "30"}} {
		o := deleteOptions("u", c.grace)
		got := "own"
		if o.GracePeriodSeconds != nil {
			got = fmt.Sprint(*o.GracePeriodSeconds)
		}
		if got != c.want || string(*o.Preconditions.UID) != "u" {
			t.Errorf("grace %v is %s, want %s", c.grace, got, c.want)
		}
	}
}

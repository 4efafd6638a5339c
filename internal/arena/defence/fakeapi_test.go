package defence

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// fakeAPI is as much of an API server as a Keeper asks: objects by path, with
// resource versions, dry runs and merge patches, and controllers that follow at
// once unless stuck.
type fakeAPI struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	objects  map[string]map[string]any // by path
	version  int64
	stuck    bool // controllers do nothing
	conflict int  // so many writes are answered 409
	reject   bool // dry runs are answered 422
	requests int
	// before is called, without the lock, before each request is answered.
	before func(n int, r *http.Request)
	// mirror gives the command line of a static pod's mirror by its name.
	mirror func(name string) []string
}

func newFakeAPI(t *testing.T, objects ...string) *fakeAPI {
	f := &fakeAPI{t: t, objects: map[string]map[string]any{}, version: 100}
	for _, text := range objects {
		o := object(t, text)
		f.objects[pathOf(o)] = o
		metadata := o["metadata"].(map[string]any)
		metadata["uid"], metadata["resourceVersion"], metadata["generation"] = "uid-of-"+pathOf(o), "100", int64(1)
		f.follow(o)
	}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func pathOf(o map[string]any) string {
	metadata := o["metadata"].(map[string]any)
	gv, _ := schema.ParseGroupVersion(o["apiVersion"].(string))
	root := "/apis/" + gv.String()
	if gv.Group == "" {
		root = "/api/" + gv.Version
	}
	if ns, ok := metadata["namespace"].(string); ok {
		root += "/namespaces/" + ns
	}
	return root + "/" + strings.TrimSuffix(strings.ToLower(o["kind"].(string)), "s") + "s/" + metadata["name"].(string)
}

func (f *fakeAPI) client() (dynamic.Interface, error) {
	return dynamic.NewForConfig(&rest.Config{Host: f.server.URL, QPS: -1})
}

// spec is an object as it is kept, without what changes with each write.
func (f *fakeAPI) spec(path string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.objects[path]
	if o == nil {
		return "gone"
	}
	return string(encode(map[string]any{"spec": o["spec"], "data": o["data"], "annotations": o["metadata"].(map[string]any)["annotations"]}))
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests++
	n, before := f.requests, f.before
	f.mu.Unlock()
	if before != nil {
		before(n, r)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	fail := func(code int, reason string) {
		answer(code, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason + " by the test"})
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/kube-system/pods/"); ok && f.mirror != nil {
		answer(200, f.mirrorPod(name))
		return
	}
	if r.Method == http.MethodGet && f.objects[r.URL.Path] == nil {
		if list := f.list(r.URL.Path); list != nil {
			answer(200, list)
			return
		}
	}
	o := f.objects[r.URL.Path]
	if o == nil {
		fail(404, "NotFound")
		return
	}
	if r.Method == http.MethodGet {
		answer(200, o)
		return
	}
	body, _ := io.ReadAll(r.Body)
	var sent map[string]any
	if err := utiljson.Unmarshal(body, &sent); err != nil {
		fail(400, "BadRequest")
		return
	}
	dry := r.URL.Query().Get("dryRun") == "All"
	if r.URL.Query().Get("fieldValidation") != "Strict" || r.URL.Query().Get("fieldManager") != fieldManager {
		fail(400, "BadRequest")
		return
	}
	now := o["metadata"].(map[string]any)["resourceVersion"]
	next := copyOf(o)
	switch {
	case r.Method == http.MethodPatch && dry && r.Header.Get("Content-Type") == "application/merge-patch+json":
		mergePatch(next, sent)
	case r.Method == http.MethodPut:
		next = sent
	default:
		fail(405, "MethodNotAllowed")
		return
	}
	switch {
	case dry && f.reject:
		fail(422, "Invalid")
		return
	case next["metadata"].(map[string]any)["resourceVersion"] != now, !dry && f.conflict > 0:
		f.conflict--
		fail(409, "Conflict")
		return
	}
	if dry {
		answer(200, next)
		return
	}
	f.version++
	metadata := next["metadata"].(map[string]any)
	metadata["resourceVersion"] = fmt.Sprint(f.version)
	metadata["generation"] = o["metadata"].(map[string]any)["generation"].(int64) + 1
	next["status"] = o["status"]
	f.objects[r.URL.Path] = next
	if !f.stuck {
		f.follow(next)
	}
	answer(200, next)
}

// follow is what controllers do.
func (f *fakeAPI) follow(o map[string]any) {
	status := map[string]any{"observedGeneration": o["metadata"].(map[string]any)["generation"]}
	if spec, ok := o["spec"].(map[string]any); ok && spec["replicas"] != nil {
		for _, field := range []string{"replicas", "updatedReplicas", "availableReplicas"} {
			status[field] = spec["replicas"]
		}
	}
	o["status"] = status
}

// list answers for nodes and for pods: three nodes in three zones, a pod on each.
func (f *fakeAPI) list(path string) map[string]any {
	items := []any{}
	for i, zone := range []string{"zone-a", "zone-b", "zone-c"} {
		name := fmt.Sprintf("worker-%d", i+1)
		switch {
		case path == "/api/v1/nodes":
			items = append(items, object(f.t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Node","metadata":{"name":%q,"labels":{"topology.kubernetes.io/zone":%q}}}`, name, zone)))
		case strings.HasSuffix(path, "/pods"):
			items = append(items, object(f.t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%d"},"spec":{"nodeName":%q},"status":{"conditions":[{"type":"Ready","status":"True"}]}}`, i, name)))
		default:
			return nil
		}
	}
	return map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{}, "items": items}
}

func (f *fakeAPI) mirrorPod(name string) map[string]any {
	words := []any{}
	for _, word := range f.mirror(name) {
		words = append(words, word)
	}
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "namespace": "kube-system"},
		"spec":   map[string]any{"containers": []any{map[string]any{"name": "c", "command": words}}},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}}
}

func copyOf(o map[string]any) map[string]any {
	var out map[string]any
	_ = utiljson.Unmarshal(encode(o), &out)
	return out
}

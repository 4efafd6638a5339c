package web

import (
	_ "embed"
	"maps"
	"net/http"
)

// openapi describes the API; a test compares it with routes and types.
//
//go:embed openapi.yaml
var openapi []byte

// routes is the API.
func (s *server) routes() map[string]http.HandlerFunc {
	routes := map[string]http.HandlerFunc{
		"GET /api/v1/openapi.yaml":        s.getOpenAPI,
		"GET /api/v1/status":              s.getStatus,
		"GET /api/v1/snapshot":            s.getSnapshot,
		"GET /api/v1/probe":               s.getProbe,
		"POST /api/v1/probes":             owner(s.postProbes),
		"GET /api/v1/outages":             s.getOutages,
		"GET /api/v1/outages/{id}/cause":  s.getCause,
		"GET /api/v1/arena":               s.getArena,
		"GET /api/v1/timeline":            s.getTimeline,
		"GET /api/v1/events":              s.getEvents,
		"GET /api/v1/session":             s.getSession,
		"POST /api/v1/hit":                s.seen(s.postHit),
		"POST /api/v1/arena/name":         s.seen(s.postName),
		"POST /api/v1/arena/heal":         s.seen(s.postHealTarget),
		"POST " + defendPath:              s.seen(s.postDefend),
		"POST " + replayPath:              s.seen(s.postReplay),
		"POST /api/v1/arena/autopilot":    director(s.seen(s.postAutopilot)),
		"POST /api/v1/arena/level":        director(s.seen(s.postLevel)),
		"POST /api/v1/arena/pause":        director(s.seen(s.postPause)),
		"POST /api/v1/arena/reset":        director(s.seen(s.postReset)),
		"POST /api/v1/owner":              s.postOwner,
		"GET /api/v1/owner/token":         socket(s.getToken),
		"POST /api/v1/owner/token":        socket(s.postToken),
		"POST /api/v1/nodes/{name}/power": owner(s.postPower),
		"GET /api/v1/database":            s.getDatabase,
		"POST /api/v1/database":           owner(s.postDatabase),
		"GET /api/v1/shop":                s.getShop,
		"POST /api/v1/shop":               owner(s.postShop),
		"GET /api/v1/kubeconfig":          socket(s.getKubeconfig),
	}
	maps.Copy(routes, s.faultRoutes())
	return routes
}

// faultRoutes is the part of the API that needs nothing but a fault engine.
func (s *server) faultRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /api/v1/faults":             s.getFaults,
		"GET /api/v1/faults/{name}":      s.getFault,
		"GET /api/v1/attacks":            s.getAttacks,
		"GET /api/v1/attacks/{id}":       s.getAttack,
		"POST /api/v1/attacks":           owner(s.postAttacks),
		"POST /api/v1/attacks/{id}/heal": owner(s.postHeal),
		"POST /api/v1/heal":              owner(s.postHealAll),
	}
}

// FaultsHandler serves only what concerns faults. It is for the time before the
// cluster answers, which it may not do until somebody heals. Other paths are
// left to next.
func FaultsHandler(f Faults, next http.Handler) http.Handler {
	s := &server{Deps: Deps{Faults: f}}
	mux := http.NewServeMux()
	for pattern, handle := range s.faultRoutes() {
		mux.HandleFunc(pattern, handle)
	}
	mux.Handle("/", next)
	return newDoor(Access{}).guard(mux)
}

// seen lets the event stream tell what a request did as soon as it may.
func (s *server) seen(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		next(w, r)
		s.hub.poke()
	}
}

func (s *server) getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(openapi)
}

// Package web is the lab's HTTP API, its event stream and its page. It reads the
// engine through the small interfaces of Deps and decides nothing itself.
//
//	GET  /                           the page
//	GET  /docs/NAME                  the documentation, docs/NAME.md
//	GET  /api/v1/openapi.yaml        what follows, in OpenAPI's terms
//	GET  /api/v1/status              Status
//	GET  /api/v1/snapshot            cluster.Snapshot
//	GET  /api/v1/probe               ProbeReply
//	GET  /api/v1/outages?after=ID    []probe.Outage
//	POST /api/v1/probes              probe.Request → probe.Report, one per line and second (owner)
//	GET  /api/v1/outages/{id}/cause  cause.Breakdown; ?subject=, default service
//	GET  /api/v1/arena               arena.State
//	GET  /api/v1/timeline?since=SEQ&limit=N   []timeline.Entry
//	GET  /api/v1/events              server-sent events: status, snapshot, probe, arena, timeline, attacks
//	POST /api/v1/hit                 HitRequest → arena.HitResult
//	GET  /api/v1/session             SessionReply: who the caller is
//	POST /api/v1/arena/name          NameRequest → SessionReply
//	POST /api/v1/arena/heal          TargetRequest → arena.State
//	POST /api/v1/arena/defend        DefendRequest → arena.State
//	POST /api/v1/arena/replay        {} → arena.State
//	POST /api/v1/arena/autopilot     AutopilotRequest → arena.State        (director)
//	POST /api/v1/arena/level         LevelRequest → arena.State            (director)
//	POST /api/v1/arena/pause         PauseRequest → arena.State            (director)
//	POST /api/v1/arena/reset         {} → arena.State                      (director)
//	POST /api/v1/owner               OwnerRequest → SessionReply, and a cookie
//	GET  /api/v1/owner/token         TokenReply                            (unix socket)
//	POST /api/v1/owner/token         {} → TokenReply, a new one            (unix socket)
//	POST /api/v1/nodes/{name}/power  PowerRequest → PowerReply             (owner)
//	GET  /api/v1/faults              []fault.Kind: the catalogue
//	GET  /api/v1/faults/{name}       fault.Kind
//	GET  /api/v1/attacks             []fault.Attack
//	GET  /api/v1/attacks/{id}        fault.Attack
//	POST /api/v1/attacks             fault.Request → fault.Attack          (owner)
//	POST /api/v1/attacks/{id}/heal   → fault.Attack                        (owner)
//	POST /api/v1/heal                → []fault.Attack, all of them         (owner)
//	GET  /api/v1/kubeconfig          YAML                                  (unix socket)
//
// Owner is who comes through the daemon's unix socket, whose file mode says who
// may, or has shown the owner's token. Everybody else is a visitor, with a signed
// session instead of a log-in. The game is directed by the owner; where only users
// of this machine can reach the page, by any of them. Errors are an Error with a fitting status.
package web

import (
	"context"
	"log/slog"
	"net/http"

	"zdl/internal/cause"
	"zdl/internal/cluster"
	"zdl/internal/probe"
	"zdl/internal/timeline"
	"zdl/internal/web/ui"
)

// Deps is what the handler shows and drives. Cluster, Probe, Arena and Timeline
// must be set.
type Deps struct {
	Name     string // of the lab
	Cluster  cluster.Cluster
	Probe    Prober   // the lane that says whether the service is up
	Lanes    []Prober // further lanes, for the API only
	Probes   Probes   // measurements on request; nil: none
	Arena    Game
	Timeline *timeline.Log

	// Database can be installed; nil where there is none to be had.
	Database Database
	// Shop can be installed; nil where there is none to be had.
	Shop Shop
	// Faults breaks things and puts them right; nil where there is none.
	Faults Faults
	// Power switches nodes; nil where machines cannot be switched.
	Power Power
	// Status adds what the lab knows about itself to GET /status, for its owner or
	// for visitors; nil: nothing. It is called every second and must not block.
	Status func(owner bool) any
	// Cause explains an outage of a subject by its ID; false if it is not on
	// record. Nil where nothing can be explained.
	Cause func(ctx context.Context, subject string, id int) (cause.Breakdown, bool)
	// Kubeconfig is the administrator's; nil: none to give.
	Kubeconfig func() ([]byte, error)

	// Access says who may do what.
	Access Access
	// Done ends all event streams, so that the server can shut down.
	Done <-chan struct{}
	Log  *slog.Logger // default: discarded
}

// Prober is what is shown of a probe.Prober.
type Prober interface {
	Summary() probe.Summary
	Recent(n int64, limit int) ([]probe.Slot, int64)
	Outages(after int) []probe.Outage
}

// Power switches machines on that are off for other reasons than a fault; to
// switch one off is a fault.
type Power interface {
	PowerOn(ctx context.Context, machine string) error
}

// Handler serves page and API.
func Handler(d Deps) http.Handler { return newServer(d).handler() }

func newServer(d Deps) *server {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &server{Deps: d, hub: newHub(d), door: newDoor(d.Access)}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range s.routes() {
		mux.HandleFunc(pattern, handle)
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "There is no "+printable(r.Method+" "+r.URL.Path)+".", "GET /api/v1/openapi.yaml describes what there is.")
	})
	mux.Handle("/docs/", pageOnly(http.StripPrefix("/docs", http.HandlerFunc(getDocument))))
	mux.Handle("/", pageOnly(http.FileServerFS(ui.Files())))
	return s.door.guard(mux)
}

type server struct {
	Deps
	hub  *hub
	door *door
}

// pageOnly lets the page be read, and makes browsers ask each time: files are
// small, and a new zdl must not meet an old page.
func pageOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			fail(w, http.StatusMethodNotAllowed, "The page can only be read.", "What changes something is below /api/v1/.")
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

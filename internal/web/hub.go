package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"zdl/internal/fault"
	"zdl/internal/probe"
)

const (
	// tickEvery is the pace of the event stream: 6.7 updates a second.
	tickEvery = 150 * time.Millisecond
	// statusEvery is how often the slow parts are repeated.
	statusEvery = time.Second
	// backlog is how many frames a client may lag behind before it is cut off;
	// its browser then reconnects and starts from the present.
	backlog      = 128
	maxClients   = 1000
	writeTimeout = 10 * time.Second
	firstSlots   = 500
	firstEntries = 200
)

// hub turns the engine's state into frames, once for all clients. It works only
// while somebody listens.
type hub struct {
	d Deps

	mu      sync.Mutex
	clients map[*client]struct{}
	stop    chan struct{} // ends the ticker; nil without clients

	slots    int64 // cursor of the prober's slots
	outages  int   // highest closed outage that was sent
	snapshot int64 // version sent
	arena    int64
	stale    bool
	moving   bool
	seq      int64           // cursor of the timeline
	struck   <-chan struct{} // closed when an attack changed
	slow     time.Time
}

// client is one open stream.
type client struct {
	frames chan []byte
	gone   chan struct{} // closed when it lagged too far behind
}

func newHub(d Deps) *hub { return &hub{d: d, clients: map[*client]struct{}{}} }

// ProbeEvent is the data of a probe event.
type ProbeEvent struct {
	Summary probe.Summary `json:"summary"`
	// Slots completed since the event before, every one of them, in the order
	// of completion.
	Slots []probe.Slot `json:"slots"`
	// Outages that ended since; the open one is in the summary.
	Outages []probe.Outage `json:"outages"`
}

func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	c := h.join()
	if c == nil {
		w.Header().Set("Retry-After", "10")
		fail(w, http.StatusServiceUnavailable, "Too many people are watching.", "Try again in a while.")
		return
	}
	defer h.leave(c)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	rc := http.NewResponseController(w)
	// Not every ResponseWriter has deadlines, a test's recorder has none.
	_ = rc.SetReadDeadline(time.Time{})
	for {
		select {
		case f := <-c.frames:
			_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := w.Write(f); err != nil {
				return
			}
			if err := rc.Flush(); err != nil {
				return
			}
		case <-c.gone:
			return
		case <-r.Context().Done():
			return
		case <-h.d.Done:
			return
		}
	}
}

func (h *hub) join() *client {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.clients) >= maxClients {
		return nil
	}
	if h.stop == nil {
		h.stop = make(chan struct{})
		go h.run(h.stop)
	}
	h.tick(time.Now()) // so that what the others have is what this one starts from
	c := &client{frames: make(chan []byte, backlog), gone: make(chan struct{})}
	slots, _ := h.d.Probe.Recent(0, firstSlots)
	ended, _ := h.ended(0)
	for _, f := range [][]byte{
		[]byte("retry: 1000\n\n"),
		frame("status", h.d.status()),
		frame("snapshot", h.d.Cluster.Snapshot()),
		frame("arena", h.d.Arena.State()),
		frame("timeline", h.d.Timeline.Since(0, firstEntries)),
		frame("attacks", h.attacks()),
		frame("probe", ProbeEvent{Summary: h.d.Probe.Summary(), Slots: slots, Outages: ended}),
	} {
		c.frames <- f
	}
	h.clients[c] = struct{}{}
	return c
}

func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
	if len(h.clients) == 0 && h.stop != nil {
		close(h.stop)
		h.stop = nil
	}
}

func (h *hub) run(stop chan struct{}) {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-t.C:
			h.mu.Lock()
			if h.stop == stop {
				h.tick(now)
			}
			h.mu.Unlock()
		}
	}
}

// tick sends what is new to everybody.
func (h *hub) tick(now time.Time) {
	slow := now.Sub(h.slow) >= statusEvery
	if slow {
		h.slow = now
		h.send("status", h.d.status())
	}
	if s := h.d.Cluster.Snapshot(); s.Version != h.snapshot || s.Stale != h.stale || s.Stale && slow {
		h.snapshot, h.stale = s.Version, s.Stale
		h.send("snapshot", s)
	}
	if a := h.d.Arena.State(); a.Version != h.arena || a.Moving || h.moving {
		h.arena, h.moving = a.Version, a.Moving
		h.send("arena", a)
	}
	if e := h.d.Timeline.Since(h.seq, 0); len(e) > 0 {
		h.seq = e[len(e)-1].Seq
		h.send("timeline", e)
	}
	select {
	case <-h.struck:
		h.send("attacks", h.attacks())
	default:
	}
	p := ProbeEvent{Summary: h.d.Probe.Summary()}
	p.Slots, h.slots = h.d.Probe.Recent(h.slots, 0)
	p.Outages, h.outages = h.ended(h.outages)
	h.send("probe", p)
}

// attacks lists what is broken, and waits for the next change.
func (h *hub) attacks() []fault.Attack {
	if h.d.Faults == nil {
		return []fault.Attack{}
	}
	h.struck = h.d.Faults.Changed()
	return recent(h.d.Faults.Attacks())
}

// ended lists the outages after the given one that are over, and the highest
// ID of them.
func (h *hub) ended(after int) ([]probe.Outage, int) {
	out := []probe.Outage{}
	for _, o := range h.d.Probe.Outages(after) {
		if !o.Open {
			out, after = append(out, o), o.ID
		}
	}
	return out, after
}

func (h *hub) send(event string, data any) {
	if len(h.clients) == 0 {
		return
	}
	f := frame(event, data)
	for c := range h.clients {
		select {
		case c.frames <- f:
		default:
			delete(h.clients, c)
			close(c.gone)
		}
	}
}

// frame is one server-sent event; JSON has no line breaks.
func frame(event string, data any) []byte {
	body, err := json.Marshal(data)
	if err != nil {
		body, _ = json.Marshal(Error{"An event could not be written: " + err.Error() + ".", "Please report this."})
		event = "trouble"
	}
	return bytes.Join([][]byte{[]byte("event: "), []byte(event), []byte("\ndata: "), body, []byte("\n\n")}, nil)
}

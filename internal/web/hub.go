package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"zdl/internal/fault"
	"zdl/internal/probe"
	"zdl/internal/timeline"
)

const (
	// tickEvery is the pace of the event stream while nothing special happens,
	// tickApart what lies at least between two updates: 5 to 10 a second.
	tickEvery = 200 * time.Millisecond
	tickApart = 100 * time.Millisecond
	// statusEvery is how often the slow parts are repeated.
	statusEvery  = time.Second
	firstSlots   = 500
	firstEntries = 200
)

// Visitors are woken in groups, with a pause between: a thousand goroutines that
// want to run at once would keep the prober, which lives in the same process and
// has to be punctual, from its processor for many milliseconds.
const (
	groups     = 16
	groupPause = time.Millisecond
	pauseFrom  = 64 // visitors
)

// linger is how long the hub works on when the last visitor has gone, who may
// only have lost the connection.
const linger = 15 * time.Second

// hub turns the engine's state into batches of events, once for all visitors. It
// works only while somebody listens.
type hub struct {
	d      Deps
	epoch  string        // tells the IDs of this hub from those of an earlier one
	poked  chan struct{} // something happened that should be seen at once
	zipper zipper

	// work is held while a batch or a greeting is made, and guards what was sent.
	work     sync.Mutex
	slots    int64 // cursor of the prober's slots
	outages  int   // highest closed outage that was sent
	snapshot int64 // version sent
	arena    int64
	stale    bool
	moving   bool
	seq      int64           // cursor of the timeline
	struck   <-chan struct{} // closed when an attack changed
	slow     time.Time
	greeting batch // the whole state as of greeting.id

	// mu is held for moments only; who holds work may take it, not the other way.
	mu      sync.Mutex
	ring    ring
	seats   int
	empty   time.Time // since when nobody is there
	turn    int
	wake    [groups]chan struct{}
	running bool
}

func newHub(d Deps) *hub {
	h := &hub{d: d, epoch: strconv.FormatInt(time.Now().UnixMicro(), 36), poked: make(chan struct{}, 1)}
	for i := range h.wake {
		h.wake[i] = make(chan struct{})
	}
	return h
}

// ProbeEvent is the data of a probe event.
type ProbeEvent struct {
	Summary probe.Summary `json:"summary"`
	// Slots completed since the event before, every one of them, in the order
	// of completion.
	Slots []probe.Slot `json:"slots"`
	// Outages that ended since; the open one is in the summary.
	Outages []probe.Outage `json:"outages"`
}

// join counts a visitor, and gives a seat in a group.
func (h *hub) join() (seat int) {
	h.work.Lock()
	defer h.work.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seats++
	h.turn++
	if !h.running {
		h.running = true
		h.begin()
		go h.run()
	}
	return h.turn % groups
}

func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seats--; h.seats == 0 {
		h.empty = time.Now()
	}
}

// watching is how many have the page open.
func (h *hub) watching() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seats
}

func (h *hub) status() Status {
	st := h.d.status(false)
	st.Watching = h.watching()
	return st
}

// deserted tells whether nobody has been there for a while; then run must end.
func (h *hub) deserted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = h.seats > 0 || time.Since(h.empty) < linger
	return !h.running
}

// begin moves to the present: what is older comes with a greeting.
func (h *hub) begin() {
	h.ring.skip()
	_, h.slots = h.d.Probe.Recent(0, 1)
	_, h.outages = h.ended(0)
	if e := h.d.Timeline.Since(0, 1); len(e) > 0 {
		h.seq = e[len(e)-1].Seq
	}
	if h.d.Faults != nil {
		h.struck = h.d.Faults.Changed()
	}
}

// position reads the ID of the last event that a visitor has seen; -1 if it is
// none of this hub's.
func (h *hub) position(id string) int64 {
	if epoch, n, ok := strings.Cut(id, "-"); ok && epoch == h.epoch {
		if at, err := strconv.ParseInt(n, 10, 64); err == nil && at >= 0 {
			return at
		}
	}
	return -1
}

// next appends what a visitor who has seen everything up to at has not: the
// batches since, or the whole state if they are not all there any more. The
// channel is closed when there is more.
func (h *hub) next(seat int, at int64, out []batch) ([]batch, <-chan struct{}) {
	h.mu.Lock()
	out, ok := h.ring.after(at, out)
	wake := h.wake[seat]
	h.mu.Unlock()
	if !ok {
		out = append(out, h.greet())
	}
	return out, wake
}

// poke makes the next update come as soon as it may.
func (h *hub) poke() {
	select {
	case h.poked <- struct{}{}:
	default:
	}
}

// run makes batches until nobody has been there for a while, or the server ends.
func (h *hub) run() {
	timer := time.NewTimer(tickEvery)
	defer timer.Stop()
	var last time.Time
	for !h.deserted() {
		h.work.Lock()
		struck := h.struck
		h.work.Unlock()
		early := false
		select {
		case <-h.d.Done:
			return
		case <-timer.C:
		case <-h.poked:
			early = true
		case <-struck:
			early = true
		}
		if wait := tickApart - time.Since(last); early && wait > 0 {
			select {
			case <-h.d.Done:
				return
			case <-time.After(wait):
			}
		}
		last = time.Now()
		h.work.Lock()
		h.tick(last)
		h.work.Unlock()
		h.wakeAll()
		timer.Reset(tickEvery)
	}
}

func (h *hub) wakeAll() {
	for i := range h.wake {
		h.mu.Lock()
		close(h.wake[i])
		h.wake[i] = make(chan struct{})
		many := h.seats >= pauseFrom
		h.mu.Unlock()
		if many {
			time.Sleep(groupPause)
		}
	}
}

// tick makes a batch of what is new. The caller holds work.
func (h *hub) tick(now time.Time) {
	var b events
	slow := now.Sub(h.slow) >= statusEvery
	if slow {
		h.slow = now
		b.add("status", h.status())
	}
	if s := h.d.Cluster.Snapshot(); s.Version != h.snapshot || s.Stale != h.stale || s.Stale && slow {
		h.snapshot, h.stale = s.Version, s.Stale
		b.add("snapshot", s)
	}
	if a := h.d.Arena.State(); a.Version != h.arena || a.Moving || h.moving {
		h.arena, h.moving = a.Version, a.Moving
		b.add("arena", a)
	}
	if e := h.d.Timeline.Since(h.seq, 0); len(e) > 0 {
		h.seq = e[len(e)-1].Seq
		b.add("timeline", e)
	}
	select {
	case <-h.struck:
		h.struck = h.d.Faults.Changed()
		b.add("attacks", h.attacks())
	default:
	}
	p := ProbeEvent{Summary: h.d.Probe.Summary()}
	p.Slots, h.slots = h.d.Probe.Recent(h.slots, 0)
	p.Outages, h.outages = h.ended(h.outages)
	b.add("probe", p)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring.add(b.close(h.epoch, h.ring.last+1))
}

// greet is the whole state, as of the latest batch: made once for all who come
// before the next.
func (h *hub) greet() batch {
	h.work.Lock()
	defer h.work.Unlock()
	h.mu.Lock()
	last := h.ring.last
	h.mu.Unlock()
	if h.greeting.plain != nil && h.greeting.id == last {
		return h.greeting
	}
	slots, end := h.d.Probe.Recent(0, firstSlots)
	slots = slots[:max(0, len(slots)-int(end-h.slots))] // the next batch has the rest
	entries := h.d.Timeline.Since(0, firstEntries)
	for len(entries) > 0 && entries[len(entries)-1].Seq > h.seq {
		entries = entries[:len(entries)-1]
	}
	ended, _ := h.ended(0)
	for len(ended) > 0 && ended[len(ended)-1].ID > h.outages {
		ended = ended[:len(ended)-1]
	}
	var b events
	b.add("status", h.status())
	b.add("snapshot", h.d.Cluster.Snapshot())
	b.add("arena", h.d.Arena.State())
	b.add("timeline", append([]timeline.Entry{}, entries...))
	b.add("attacks", h.attacks())
	b.add("probe", ProbeEvent{Summary: h.d.Probe.Summary(), Slots: append([]probe.Slot{}, slots...), Outages: ended})
	h.greeting = batch{id: last, plain: b.close(h.epoch, last), zip: &zipped{}}
	return h.greeting
}

// attacks lists what is broken.
func (h *hub) attacks() []fault.Attack {
	if h.d.Faults == nil {
		return []fault.Attack{}
	}
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

// events are server-sent events that go out together.
type events struct{ bytes.Buffer }

// add appends an event; JSON has no line breaks.
func (b *events) add(event string, data any) {
	body, err := json.Marshal(data)
	if err != nil {
		body, _ = json.Marshal(Error{"An event could not be written: " + err.Error() + ".", "Please report this."})
		event = "trouble"
	}
	fmt.Fprintf(b, "event: %s\ndata: %s\n\n", event, body)
}

// close gives the last event its ID: whoever loses the connection in the midst of
// a batch has the ID of the batch before, and gets this one again as a whole.
func (b *events) close(epoch string, id int64) []byte {
	b.Truncate(b.Len() - 1)
	fmt.Fprintf(b, "id: %s-%d\n\n", epoch, id)
	return bytes.Clone(b.Bytes())
}

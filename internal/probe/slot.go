// Package probe measures what users of a service see, from outside: requests at
// a fixed rate, each on its own, never repeated, and from their answers the
// outages with an error bound.
//
// # What is guaranteed
//
// Lanes of a Group are interleaved: n lanes at r requests a second each ask every
// 1/(n r) seconds, so two at 200/s every 2.5 ms and all eight every 0.625 ms.
// An outage in which one of these requests begins and ends is found, whatever its
// length. One that is shorter than the gap between two requests can fall between
// them; then it hit no request of ours and is not found. Nothing is ever
// interpolated: an outage that is reported has at least one failed request, and
// its bounds hold for a service that is either up or down for all lanes.
//
// Each end of an outage lies between two neighbouring requests. Its uncertainty
// is the gap between them, plus one request's duration, plus what the prober
// itself was late there. Nothing of the three is assumed: bounds come from the
// times at which requests really began and ended, so a busy machine makes them
// wider and never wrong.
//
// The clock of everything here is milliseconds since the prober started, taken
// from the monotonic clock; wall time is attached once per outage for people.
package probe

import "time"

// Class says how a request ended.
type Class string

const (
	OK    Class = "ok"
	Slow  Class = "slow"  // the right answer, but later than Config.SlowAfter: degraded, not down
	Stale Class = "stale" // a right answer of the past: older than Config.StaleAfter, or than one that was confirmed before: degraded

	Refused     Class = "refused"     // connection refused (RST to SYN)
	Reset       Class = "reset"       // connection or stream broken or closed before the answer was complete
	Timeout     Class = "timeout"     // no sign of life within Config.Timeout: no connection came about, or a reused one stayed silent
	Stalled     Class = "stalled"     // a sign of life, a new connection or a first byte, and then no complete answer within Config.Timeout
	Unreachable Class = "unreachable" // no route, or host unreachable by ICMP or ARP
	ServerError Class = "5xx"
	ClientError Class = "4xx"
	Wrong       Class = "wrong"  // any other answer than the right one
	Missed      Class = "missed" // never measured: the prober itself was late, paused, or could not open a socket
)

// Failed tells whether a user with this answer was not served.
func (c Class) Failed() bool {
	switch c {
	case OK, Slow, Stale, Missed:
		return false
	}
	return true
}

// Degraded tells whether a user with this answer was served, but badly.
func (c Class) Degraded() bool { return c == Slow || c == Stale }

// answered tells whether the result came back at once, so that the service was
// in that state at a moment between the slot's start and end.
func (c Class) answered() bool { return c != Timeout && c != Stalled }

// Slot is one request of the schedule. Times are in milliseconds on the
// prober's monotonic clock.
type Slot struct {
	Seq       int64   `json:"seq"` // place in the schedule, from 0, without gaps
	Due       float64 `json:"due"` // intended start
	Start     float64 `json:"start"`
	Connected float64 `json:"connected,omitempty"` // when a new connection stood; 0: none was made
	FirstByte float64 `json:"firstByte,omitempty"` // of the answer; 0: none came
	End       float64 `json:"end"`
	Class     Class   `json:"class"`
	Status    int     `json:"status,omitempty"` // HTTP status; 0 without an answer
	By        string  `json:"by,omitempty"`     // X-Served-By
	Error     string  `json:"error,omitempty"`
	Late      bool    `json:"late,omitempty"` // started more than LateAfter behind schedule: the prober's fault

	lane string // where slots of several lanes are merged
}

// MS is the duration of the request in milliseconds.
func (s *Slot) MS() float64 { return s.End - s.Start }

// LateAfter is the scheduling lag from which a slot is marked late.
const LateAfter = 5 * time.Millisecond

// Outage is a maximal run of failed slots; of degraded ones if Kind says so.
//
// A request is a sample of the service between its start and its end. So the
// service was down for at least [end of the first failure, start of the last]
// and for at most [start of the last success before, end of the first success
// after], where "before" means over when the first failure began, and "after"
// begun when the last failure was over: requests may overtake each other. A
// request that timed out or stalled waited through its whole length, so for it
// the start counts as the moment of failure, plus the longest duration of the
// latest 32 successes: by then it had got as far as they did. Slots that were missed in the
// middle are not counted into the lower bound; missed or late slots at the
// edges widen the upper bound by themselves.
type Outage struct {
	ID     int     `json:"id"` // from 1
	Kind   string  `json:"kind,omitempty"`
	Open   bool    `json:"open"`
	First  float64 `json:"first"` // start of the first failed request, ms
	Last   float64 `json:"last"`  // start of the last failed request, ms
	Before float64 `json:"before"`
	After  float64 `json:"after,omitempty"` // end of the first success after, ms; 0 while open
	// LowerMS and UpperMS bound the length. While the outage is open UpperMS
	// is 0: nobody knows yet.
	LowerMS float64 `json:"lowerMs"`
	UpperMS float64 `json:"upperMs"`
	// ErrorMS is the error bound: the length is the middle between the two,
	// give or take this.
	ErrorMS float64 `json:"errorMs,omitempty"`
	// Unbounded: no success was ever seen before, so that UpperMS counts from
	// the first failure only.
	Unbounded bool `json:"unbounded,omitempty"`
	// Failed counts the failed requests, ByClass the same by how they failed;
	// 5xx and 4xx are counted by status ("503").
	Failed  int            `json:"failed"`
	ByClass map[string]int `json:"byClass"`
	ByLane  map[string]int `json:"byLane,omitempty"` // where several lanes were merged
	// Partial: other lanes were served at the same time.
	Partial bool `json:"partial,omitempty"`
	Missed  int  `json:"missed,omitempty"` // slots inside that the prober did not measure
	Late    int  `json:"late,omitempty"`   // slots inside that started late
	// Began and Ended are wall-clock times of First and of After.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended,omitzero"`

	firstSeq, lastSeq int64   // of its failed slots
	sure              float64 // from when it is certain
}

// KindDegraded is the Kind of a run of degraded slots: users were served, but
// slowly or with old data. An outage, in which they were not served, has none.
const KindDegraded = "degraded"

// Package probe measures what users of a service see, from outside: requests at
// a fixed rate, each on its own, never repeated, and from their answers the
// outages with an error bound.
//
// The clock of everything here is milliseconds since the prober started, taken
// from the monotonic clock; wall time is attached once per slot for people.
package probe

import "time"

// Class says how a request ended.
type Class string

const (
	OK          Class = "ok"
	Slow        Class = "slow"        // the right answer, but later than Config.SlowAfter: degraded, not down
	Refused     Class = "refused"     // connection refused (RST to SYN)
	Reset       Class = "reset"       // connection broken or closed before the answer was complete
	Timeout     Class = "timeout"     // no complete answer within Config.Timeout
	Unreachable Class = "unreachable" // no route, or host unreachable by ICMP or ARP
	ServerError Class = "5xx"
	Wrong       Class = "wrong"  // any other answer than the right one
	Missed      Class = "missed" // never measured: the prober itself was late or could not open a socket
)

// Failed tells whether a user with this answer was not served.
func (c Class) Failed() bool {
	switch c {
	case OK, Slow, Missed:
		return false
	}
	return true
}

// answered tells whether the failure came back at once, as an answer, so that
// the service was failing at a moment between the slot's start and end.
func (c Class) answered() bool { return c != Timeout }

// Slot is one request of the schedule. Times are in milliseconds on the
// prober's monotonic clock.
type Slot struct {
	Seq    int64   `json:"seq"` // place in the schedule, from 0, without gaps
	Due    float64 `json:"due"` // intended start
	Start  float64 `json:"start"`
	End    float64 `json:"end"`
	Class  Class   `json:"class"`
	Status int     `json:"status,omitempty"` // HTTP status; 0 without an answer
	By     string  `json:"by,omitempty"`     // X-Served-By
	Error  string  `json:"error,omitempty"`
	Late   bool    `json:"late,omitempty"` // started more than LateAfter behind schedule: the prober's fault
}

// MS is the duration of the request in milliseconds.
func (s *Slot) MS() float64 { return s.End - s.Start }

// LateAfter is the scheduling lag from which a slot is marked late.
const LateAfter = 5 * time.Millisecond

// Outage is a maximal run of failed slots.
//
// A request is a sample of the service between its start and its end. So the
// service was down for at least [end of the first failure, start of the last]
// and for at most [start of the last success before, end of the first success
// after], where "before" means over when the first failure began, and "after"
// begun when the last failure was over: requests may overtake each other. A
// request that timed out waited through its whole length, so for it the start
// counts as the moment of failure. Slots that were missed in the
// middle are not counted into the lower bound; missed or late slots at the
// edges widen the upper bound by themselves.
type Outage struct {
	ID     int     `json:"id"` // from 1
	Open   bool    `json:"open"`
	First  float64 `json:"first"` // start of the first failed request, ms
	Last   float64 `json:"last"`  // start of the last failed request, ms
	Before float64 `json:"before"`
	After  float64 `json:"after,omitempty"` // end of the first success after, ms; 0 while open
	// LowerMS and UpperMS bound the length. While the outage is open UpperMS
	// is 0: nobody knows yet.
	LowerMS float64 `json:"lowerMs"`
	UpperMS float64 `json:"upperMs"`
	// Unbounded: no success was ever seen before, so that UpperMS counts from
	// the first failure only.
	Unbounded bool `json:"unbounded,omitempty"`
	// Failed counts the failed requests, ByClass the same by how they failed;
	// 5xx are counted by status ("503").
	Failed  int            `json:"failed"`
	ByClass map[string]int `json:"byClass"`
	Missed  int            `json:"missed,omitempty"` // slots inside that the prober did not measure
	Late    int            `json:"late,omitempty"`   // slots inside that started late
	// Began and Ended are wall-clock times of First and of After.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended,omitzero"`
}

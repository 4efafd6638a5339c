package probe

import (
	"context"
	"time"
)

// Subject is something that can be asked whether it serves: a web service, a
// name server, a database. Ask is called concurrently, once per slot; it asks
// exactly once, repeats nothing, and returns by the deadline.
type Subject interface {
	Ask(ctx context.Context, deadline time.Time) Result
	// Close ends what is kept between requests, such as idle connections. It is
	// called after the last Ask has returned.
	Close()
}

// Result is what became of one request.
type Result struct {
	// Class as far as the subject can tell. The prober turns OK into Slow and
	// Timeout into Stalled by the times.
	Class  Class
	Status int    // protocol's own code; 0 without an answer
	By     string // who answered, if it says
	Err    error  // why it is not OK
	// Connected is when a new connection stood, FirstByte when the answer began;
	// zero if that never happened.
	Connected, FirstByte time.Time
	// Silent: after the deadline it was checked that nothing more had arrived, so
	// that not even a prober that was paused has overlooked an answer.
	Silent bool
}

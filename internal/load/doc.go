// Package load makes load on a service and measures what it does to it: requests
// at given rates whatever the answers (open loop), or virtual users that wait
// for theirs (closed loop).
//
// Latency counts from the moment at which a request was due, not from when it
// was sent: a generator that waits for a stalled server would otherwise leave
// out exactly the requests that suffered (coordinated omission; Gil Tene, "How
// NOT to Measure Latency"). What the generator itself could not keep up with is
// told apart, and makes a run invalid.
package load

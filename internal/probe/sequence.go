package probe

import "sync/atomic"

// Sequence knows how far something that only ever grows has been confirmed: the
// number of a write that was acknowledged, a resource version that was read. An
// answer to a request that was sent after a confirmation and holds less is
// stale. It is safe for concurrent use.
type Sequence struct{ confirmed atomic.Uint64 }

// Floor is what an answer to a request that begins now must at least hold.
func (s *Sequence) Floor() uint64 { return s.confirmed.Load() }

// Fresh takes what an answer holds, and tells whether it is at least the floor
// that was read when its request began.
func (s *Sequence) Fresh(got, floor uint64) bool {
	for {
		known := s.confirmed.Load()
		if got <= known || s.confirmed.CompareAndSwap(known, got) {
			return got >= floor
		}
	}
}

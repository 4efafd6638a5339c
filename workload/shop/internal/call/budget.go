package call

import "sync"

// budget keeps repetitions from becoming the load that breaks a peer for good:
// each request pays in a fifth of a repetition, and a hundred can be saved up.
// The zero value starts with ten.
type budget struct {
	mu    sync.Mutex
	spent int // fifths, above what came in; below zero: saved
}

const (
	perRepetition = 5
	saved         = 100 * perRepetition
	atFirst       = 10 * perRepetition
)

func (b *budget) deposit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(b.spent-1, atFirst-saved)
}

func (b *budget) withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent+perRepetition > atFirst {
		return false
	}
	b.spent += perRepetition
	return true
}

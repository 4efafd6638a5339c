package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Recording is the attack of one round.
type Recording struct {
	Level string    `json:"level"`
	Round int       `json:"round"`
	Began time.Time `json:"began"` // the first strike
	// Seed of every choice that a replay leaves to chance.
	Seed    uint64   `json:"seed"`
	Strikes []Strike `json:"strikes"` // in order
	// HealMS is when all that was struck was put right, in ms after the first
	// strike. A replay does so after the same time.
	HealMS float64 `json:"healMs"`
	// Before is what users had of it.
	Before Measured `json:"before"`
}

// Strike is one of the round's.
type Strike struct {
	AtMS   float64 `json:"atMs"` // after the first strike
	Weapon string  `json:"weapon"`
	Role   Role    `json:"role"`
}

const (
	// maxStrikes bounds a recording; further strikes are left out.
	maxStrikes = 200
	// maxLength bounds the time in which a replay strikes.
	maxLength = 10 * time.Minute
	// healAfter is when a recording heals that was never told to, after its
	// last strike.
	healAfter = 10 * time.Second
)

// Begin starts the recording of a round.
func Begin(level string, round int, seed uint64) *Recording {
	return &Recording{Level: level, Round: round, Seed: seed, Strikes: []Strike{}}
}

// Struck notes a strike at the moment at which its fault was asked for.
func (r *Recording) Struck(at time.Time, weapon string, role Role) {
	if len(r.Strikes) == maxStrikes {
		return
	}
	if len(r.Strikes) == 0 {
		r.Began = at
	}
	after := at.Sub(r.Began)
	if after > maxLength {
		return
	}
	r.Strikes = append(r.Strikes, Strike{AtMS: milliseconds(max(after, 0)), Weapon: weapon, Role: role})
}

// Healed notes when everything began to be put right.
func (r *Recording) Healed(at time.Time) {
	if len(r.Strikes) > 0 && r.HealMS == 0 {
		r.HealMS = milliseconds(max(at.Sub(r.Began), time.Millisecond))
	}
}

// heal is when a replay heals, after the first strike.
func (r *Recording) heal() time.Duration {
	last := duration(r.Strikes[len(r.Strikes)-1].AtMS)
	if r.HealMS <= 0 {
		return last + healAfter
	}
	return max(last, min(duration(r.HealMS), maxLength+healAfter))
}

// Check tells why a recording cannot be played, nil if it can.
func (r *Recording) Check() error {
	if r == nil || len(r.Strikes) == 0 {
		return errors.New("nothing was struck in that round")
	}
	last := 0.0
	for i, s := range r.Strikes {
		switch {
		case s.AtMS < last || duration(s.AtMS) > maxLength:
			return fmt.Errorf("strike %d is at %g ms, which is not after the one before and within %v", i+1, s.AtMS, maxLength)
		case s.Weapon == "":
			return fmt.Errorf("strike %d has no weapon", i+1)
		}
		last = s.AtMS
	}
	return nil
}

// Save writes a recording to a file, as a whole.
func (r *Recording) Save(path string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Load reads a recording; nil without an error where there is none.
func Load(path string) (*Recording, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := new(Recording)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, r.Check()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
func duration(ms float64) time.Duration    { return time.Duration(ms * float64(time.Millisecond)) }

package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Request asks for an attack.
type Request struct {
	Kind   string            `json:"kind"`
	Target string            `json:"target,omitempty"` // selector; what it may be is the kind's TargetHelp
	Params map[string]string `json:"params,omitempty"`
	For    time.Duration     `json:"for,omitempty"` // nanoseconds; 0: until it is healed
	Mode   Mode              `json:"mode,omitempty"`
	Value  int               `json:"value,omitempty"` // of the modes that count
	Seed   uint64            `json:"seed,omitempty"`  // of what is left to chance; 0: a new one, which the attack tells
	Force  bool              `json:"force,omitempty"` // override the guard
	By     string            `json:"by,omitempty"`    // who asks, for the timeline

	// Parts make a compound attack: one fault with one undo. Kind is then
	// "compound", and Target, Params, Mode and Value are empty.
	Parts []Request `json:"parts,omitempty"`
	// Sequence makes the parts follow each other, Pause apart; else they begin
	// at the same time.
	Sequence bool          `json:"sequence,omitempty"`
	Pause    time.Duration `json:"pause,omitempty"` // nanoseconds
}

// State is how far an attack has come.
type State string

const (
	Intended State = "intended" // written down, perhaps begun
	Injected State = "injected" // every step was made
	Active   State = "active"   // and proven at the target
	Undoing  State = "undoing"  // being taken back; tried again until it succeeds
	Undone   State = "undone"
	Happened State = "happened" // an instant fault: proven, nothing to take back
	Failed   State = "failed"   // could not be made or proven, and was taken back
)

// Over tells whether nothing remains to be done about an attack.
func (s State) Over() bool {
	switch s {
	case Undone, Happened, Failed:
		return true
	}
	return false
}

// Attack is a fault that was asked for, as it is kept in the journal.
type Attack struct {
	ID      string        `json:"id"`
	Number  int           `json:"number"` // grows by one with each attack of a lab
	Kind    string        `json:"kind"`
	Layer   Layer         `json:"layer"`
	By      string        `json:"by"`
	Targets []Target      `json:"targets"`
	Values  Values        `json:"values"`
	For     time.Duration `json:"for"` // nanoseconds; 0: until healed
	Seed    uint64        `json:"seed"`
	Instant bool          `json:"instant"`
	State   State         `json:"state"`

	// Wall-clock times; what has not happened is zero.
	Asked    time.Time `json:"asked"`
	Injected time.Time `json:"injected,omitzero"`
	Verified time.Time `json:"verified,omitzero"`
	Until    time.Time `json:"until,omitzero"` // when it is to be undone
	Ended    time.Time `json:"ended,omitzero"`

	// InjectMS is from the call until every step was made, VerifyMS until the
	// last was proven, UndoMS from the order to heal until it was undone. Each is
	// measured on the monotonic clock, in milliseconds.
	InjectMS float64 `json:"injectMs,omitempty"`
	VerifyMS float64 `json:"verifyMs,omitempty"`
	UndoMS   float64 `json:"undoMs,omitempty"`

	Evidence []string `json:"evidence,omitempty"` // what proved it, a line per step
	// Residue is what was not as before after the undo, a line per difference;
	// empty when all is as it was.
	Residue []string `json:"residue,omitempty"`
	Error   string   `json:"error,omitempty"`   // why it failed
	Trouble string   `json:"trouble,omitempty"` // why its undo is not complete yet
	// End is the state it will be in when it is undone.
	End State `json:"end,omitempty"`
	// Resumed counts how often a new daemon has taken the attack over.
	Resumed int `json:"resumed,omitempty"`

	Epoch   string   `json:"epoch,omitempty"` // the life of the machines in which it was made
	Touches []string `json:"touches,omitempty"`
	// Patience bounds how long a verification may be tried, where the plan asks
	// for more than is usual; nanoseconds.
	Patience time.Duration `json:"patience,omitempty"`
	Stages   []stage       `json:"stages,omitempty"`
}

// stage is a Stage as it is written.
type stage struct {
	After time.Duration `json:"after,omitempty"`
	Prove bool          `json:"prove,omitempty"`
	Steps []*record     `json:"steps"`
}

// record is a Step as it is written.
type record struct {
	Mechanism string            `json:"mechanism"`
	Data      json.RawMessage   `json:"data"`
	Before    map[string]string `json:"before,omitempty"` // its State, before
	Undone    bool              `json:"undone,omitempty"`

	step Step
}

func recordOf(s Step) (*record, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write down step %s: %w", s.Mechanism(), err)
	}
	return &record{Mechanism: s.Mechanism(), Data: data, step: s}, nil
}

// revive makes the steps of an attack that was read from the journal. Those that
// it cannot make stay without one, which is an error when they are to be undone.
func (a *Attack) revive(m Mechanics) error {
	var errs error
	for i := range a.Stages {
		for _, r := range a.Stages[i].Steps {
			step := m(r.Mechanism)
			if step == nil {
				errs = errors.Join(errs, fmt.Errorf("this zdl knows no mechanism %q", r.Mechanism))
				continue
			}
			if err := json.Unmarshal(r.Data, step); err != nil {
				errs = errors.Join(errs, fmt.Errorf("step %s: %w", r.Mechanism, err))
				continue
			}
			r.step = step
		}
	}
	return errs
}

// remaining is how long the fault shall still last; false when its time is over.
// Zero means until healed.
func (a *Attack) remaining(now time.Time) (time.Duration, bool) {
	if a.For == 0 {
		return 0, true
	}
	if a.Until.IsZero() { // never got as far as to take effect
		return a.For, true
	}
	left := a.Until.Sub(now)
	return left, left > 0
}

// public is a copy without what only the journal needs.
func (a *Attack) public() Attack {
	c := *a
	c.Stages = nil
	c.Evidence = append([]string{}, a.Evidence...)
	c.Residue = append([]string{}, a.Residue...)
	return c
}

// Package progress keeps time and score of incidents: how long it took to detect,
// diagnose, mitigate and verify, what it cost the users, and how that compares with
// earlier runs of the same person.
package progress

import (
	"fmt"
	"time"
)

// Clock holds the moments of a run; what has not happened is zero.
type Clock struct {
	Injected     time.Time `json:"injected"`
	Symptom      time.Time `json:"symptom,omitzero"`      // users felt it first
	Paged        time.Time `json:"paged,omitzero"`        // the trainee's clock runs from here
	Acknowledged time.Time `json:"acknowledged,omitzero"` // the trainee took it on
	Diagnosed    time.Time `json:"diagnosed,omitzero"`    // the first right diagnosis was handed in
	Mitigated    time.Time `json:"mitigated,omitzero"`    // users were served again, for good
	Verified     time.Time `json:"verified,omitzero"`
	Stopped      time.Time `json:"stopped,omitzero"` // given up, or over
}

// Times are the spans that a clock tells, each from the page on; 0 for what has not
// happened. Mitigated may come before Diagnosed: who rolls back first and looks for
// the cause then does well.
type Times struct {
	Symptom  time.Duration `json:"symptom"` // from the injection until users felt it, in nanoseconds like all of them
	Detect   time.Duration `json:"detect"`
	Diagnose time.Duration `json:"diagnose"`
	Mitigate time.Duration `json:"mitigate"`
	Verify   time.Duration `json:"verify"`
}

// Times reads the clock.
func (c *Clock) Times() Times {
	since := func(from, to time.Time) time.Duration {
		if from.IsZero() || to.IsZero() {
			return 0
		}
		return max(to.Sub(from), 0)
	}
	return Times{
		Symptom: since(c.Injected, c.Symptom), Detect: since(c.Paged, c.Acknowledged), Diagnose: since(c.Paged, c.Diagnosed),
		Mitigate: since(c.Paged, c.Mitigated), Verify: since(c.Paged, c.Verified),
	}
}

// Check says what cannot be about a clock, or nil.
func (c *Clock) Check() error {
	if c.Injected.IsZero() {
		return fmt.Errorf("nothing was injected")
	}
	last, name := c.Injected, "injected"
	for _, m := range []struct {
		name string
		at   time.Time
	}{{"symptom", c.Symptom}, {"paged", c.Paged}, {"acknowledged", c.Acknowledged}} {
		if m.at.IsZero() {
			continue
		}
		if m.at.Before(last) {
			return fmt.Errorf("%s is before %s", m.name, name)
		}
		last, name = m.at, m.name
	}
	for _, m := range []struct {
		name string
		at   time.Time
	}{{"diagnosed", c.Diagnosed}, {"mitigated", c.Mitigated}, {"verified", c.Verified}} {
		if !m.at.IsZero() && m.at.Before(c.Paged) {
			return fmt.Errorf("%s is before paged", m.name)
		}
	}
	if !c.Verified.IsZero() && (c.Mitigated.IsZero() || c.Verified.Before(c.Mitigated)) {
		return fmt.Errorf("verified is before mitigated")
	}
	return nil
}

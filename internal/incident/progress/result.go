package progress

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"zdl/internal/incident"
	"zdl/internal/incident/grade"
)

// Result is a run of a scenario by a person, as it is kept.
type Result struct {
	Version  int           `json:"version"` // of this format
	ID       string        `json:"id"`      // of the run
	Person   string        `json:"person"`
	Scenario string        `json:"scenario"`
	Seed     uint64        `json:"seed"`
	At       time.Time     `json:"at"` // when it was over
	Outcome  grade.Outcome `json:"outcome"`
	Reason   string        `json:"reason,omitempty"` // why it was not passed
	Clock    Clock         `json:"clock"`
	Times    Times         `json:"times"`
	Impact   Impact        `json:"impact"`
	Grade    float64       `json:"grade"`   // of the best diagnosis, 0 to 1
	Tries    int           `json:"tries"`   // diagnoses handed in
	Hints    int           `json:"hints"`   // taken, the first ones of the scenario
	Refused  int           `json:"refused"` // verifications that were refused
	// Points are the grade less what hints cost, 0 to 1; without a fix that was
	// verified, half of that.
	Points float64 `json:"points"`
}

const version = 1

// Close completes a result: its times, outcome and points.
func (r *Result) Close(s *incident.Scenario, passed bool) {
	r.Version, r.Scenario, r.Seed, r.Times = version, s.Name, s.Seed, r.Clock.Times()
	r.Points = Points(s, r.Grade, r.Hints, s.Healthy || !r.Clock.Verified.IsZero())
	if r.Outcome == grade.Void {
		r.Points = 0
		return
	}
	r.Outcome = grade.Fail
	if passed && (s.Healthy || !r.Clock.Verified.IsZero()) {
		r.Outcome = grade.Pass
	}
}

// Points are what is left of a grade when hints have been paid for.
func Points(s *incident.Scenario, graded float64, hints int, mended bool) float64 {
	cost := 0.0
	for i := range min(hints, len(s.Hints)) {
		cost += s.Hints[i].Cost
	}
	points := graded * (1 - min(cost, 1))
	if !mended {
		points /= 2
	}
	return math.Round(points*1e6) / 1e6
}

// maxPerson bounds a name, in characters.
const maxPerson = 60

// CheckPerson says what is wrong with a person's name, or nil.
func CheckPerson(name string) error {
	if strings.TrimSpace(name) != name || name == "" || utf8.RuneCountInString(name) > maxPerson || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%.80q is no name: want 1 to %d characters, no blanks around them", name, maxPerson)
	}
	return nil
}

func (r *Result) check() error {
	if r.Version != version {
		return fmt.Errorf("it is of version %d; this zdl reads %d", r.Version, version)
	}
	if err := CheckPerson(r.Person); err != nil {
		return err
	}
	switch {
	case r.ID == "" || r.Scenario == "" || r.At.IsZero():
		return fmt.Errorf("it names no run, no scenario or no time")
	case r.Outcome != grade.Pass && r.Outcome != grade.Fail && r.Outcome != grade.Void:
		return fmt.Errorf("its outcome is %.20q", r.Outcome)
	case !(r.Grade >= 0 && r.Grade <= 1) || !(r.Points >= 0 && r.Points <= 1):
		return fmt.Errorf("its grade or points are not from 0 to 1")
	}
	return nil
}

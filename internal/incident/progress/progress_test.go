package progress

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zdl/internal/incident"
	"zdl/internal/incident/evidence"
	"zdl/internal/incident/grade"
)

var began = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func at(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }

func scenario() *incident.Scenario {
	return &incident.Scenario{Name: "few-replicas", Seed: 4, Hints: []incident.Hint{{Text: "a", Cost: 0.1}, {Text: "b", Cost: 0.3}}}
}

func result(id string, end int, points float64, o grade.Outcome) Result {
	r := Result{ID: id, Person: "Ada", At: at(end), Grade: points, Clock: Clock{Injected: at(0), Symptom: at(20), Paged: at(30), Acknowledged: at(35),
		Diagnosed: at(130), Mitigated: at(150), Verified: at(end)}, Impact: Impact{Failed: 10 * end, Known: true}, Outcome: o}
	r.Close(scenario(), o == grade.Pass)
	return r
}

func TestTheClockRunsFromThePage(t *testing.T) {
	r := result("a", 200, 1, grade.Pass)
	if err := r.Clock.Check(); err != nil {
		t.Error(err)
	}
	want := Times{20 * time.Second, 5 * time.Second, 100 * time.Second, 120 * time.Second, 170 * time.Second}
	if r.Times != want {
		t.Errorf("%+v", r.Times)
	}
	if (&Clock{Injected: at(0), Paged: at(5)}).Times() != (Times{}) {
		t.Error("what has not happened has a time")
	}
	for says, spoil := range map[string]func(*Clock){
		"nothing was injected": func(c *Clock) { c.Injected = time.Time{} },
		"paged is before":      func(c *Clock) { c.Paged = at(10) },
		"diagnosed is before":  func(c *Clock) { c.Diagnosed = at(1) },
		"before mitigated":     func(c *Clock) { c.Mitigated = at(1000) },
	} {
		c := r.Clock
		spoil(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

func TestImpactIsInRequestsAndBudget(t *testing.T) {
	var looks []evidence.Look
	for i := range 100 {
		l := evidence.Look{At: at(i), Sent: 10}
		if i >= 50 && i < 60 {
			l.Failed = 10
		}
		looks = append(looks, l)
	}
	// 10 a second in 30 days are 25,920,000 requests, of which a thousandth may fail.
	got := Measure(looks, DefaultObjective)
	if got.Requests != 1000 || got.Failed != 100 || got.Seconds != 10 || !got.Known || math.Abs(got.Budget-100/25920.0) > 1e-9 {
		t.Errorf("%+v", got)
	}
	if got := Measure(nil, DefaultObjective); got.Known || got.Budget != 0 {
		t.Errorf("%+v", got)
	}
}

func TestHintsAreDearAndAFixCounts(t *testing.T) {
	for _, c := range []struct {
		grade  float64
		hints  int
		mended bool
		want   float64
	}{{1, 0, true, 1}, {1, 1, true, 0.9}, {1, 2, true, 0.6}, {1, 9, true, 0.6}, {1, 0, false, 0.5}, {0.5, 1, false, 0.225}} {
		if got := Points(scenario(), c.grade, c.hints, c.mended); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	r := Result{Grade: 1, Clock: Clock{Injected: at(0)}}
	if r.Close(scenario(), true); r.Outcome != grade.Fail {
		t.Error("a right diagnosis without a fix passes")
	}
	r = Result{Outcome: grade.Void, Grade: 1}
	if r.Close(scenario(), true); r.Outcome != grade.Void || r.Points != 0 {
		t.Errorf("%+v", r)
	}
}

func TestAHistorySurvivesWhatIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	h := OpenHistory(path)
	if all, damage, err := h.Read(); err != nil || len(all)+len(damage) != 0 {
		t.Fatal(all, damage, err)
	}
	first, second := result("a", 200, 0.5, grade.Pass), result("b", 300, 1, grade.Pass)
	if err := h.Add(&first); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	torn := append(before, []byte("garbage\n{\"version\":9}\n\n"+strings.Repeat("x", 3*maxLine)+"\n{\"version\":1,\"id\":\"to")...)
	if err := os.WriteFile(path, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.Add(&second); err != nil {
		t.Fatal(err)
	}
	all, damage, err := h.Read()
	if err != nil || len(all) != 2 || all[0] != first || all[1] != second {
		t.Errorf("%+v %v", all, err)
	}
	if len(damage) != 4 || damage[0].Line != 2 || damage[3].Line != 6 || !strings.Contains(damage[1].Why, "version 9") {
		t.Errorf("%+v", damage)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(after, torn) {
		t.Error("a line that was there was changed")
	}
}

func TestResultsThatSayNothingAreNotKept(t *testing.T) {
	h := OpenHistory(filepath.Join(t.TempDir(), "history.jsonl"))
	for says, spoil := range map[string]func(*Result){
		"is no name": func(r *Result) { r.Person = "a\nb" }, "no run": func(r *Result) { r.ID = "" }, "from 0 to 1": func(r *Result) { r.Grade = math.NaN() },
		"outcome": func(r *Result) { r.Outcome = "won" }, "version": func(r *Result) { r.Version = 0 },
	} {
		r := result("a", 200, 1, grade.Pass)
		spoil(&r)
		if err := h.Add(&r); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

func TestEarlierRunsAreCompared(t *testing.T) {
	all := []Result{result("a", 400, 0.5, grade.Fail), result("b", 500, 0.2, grade.Pass), result("v", 600, 0, grade.Void), result("c", 700, 1, grade.Pass), result("later", 900, 1, grade.Pass)}
	other := result("o", 100, 1, grade.Pass)
	other.Person = "Bob"
	got := Compare(&all[3], append(all, other))
	if got.Before != 2 || got.Passed != 1 || got.Points.Best != 0.5 || got.Points.Last != 0.2 || got.Points.Now != 1 || !got.Points.Known {
		t.Errorf("%+v", got)
	}
	if got.Verify.Best != 370*time.Second || got.Verify.Last != 470*time.Second || got.Failed.Best != 4000 {
		t.Errorf("%+v", got)
	}
	if first := Compare(&all[0], all); first.Before != 0 || first.Points.Known {
		t.Errorf("%+v", first)
	}
	sum := Summary(append(all, other), "Ada")
	if len(sum) != 1 || sum[0].Runs != 4 || sum[0].Passed != 3 || sum[0].Points != 1 || sum[0].Verify != 470*time.Second {
		t.Errorf("%+v", sum)
	}
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte("{\"version\":1}\n\nx"))
	f.Add([]byte(`{"version":1,"id":"a","person":"Ada","scenario":"s","at":"2026-01-02T03:00:00Z","outcome":"pass","grade":1,"points":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, damage, err := parse(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if err := all[i].check(); err != nil {
				t.Error(err)
			}
		}
		if lines := bytes.Count(data, []byte("\n")) + 1; len(all)+len(damage) > lines {
			t.Errorf("%d lines give %d results and %d damages", lines, len(all), len(damage))
		}
	})
}

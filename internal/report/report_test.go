package report

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/experiment"
	"zdl/internal/fault"
	"zdl/internal/load"
	"zdl/internal/probe"
	"zdl/internal/timeline"
)

func document(t *testing.T, n int, outcome experiment.Outcome) *Document {
	t.Helper()
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := &experiment.Experiment{Name: "pod-kill", Title: "A pod <dies>", Hypothesis: "Nobody notices.", Seed: 7}
	var runs []experiment.Run
	for i := range n {
		runs = append(runs, experiment.Run{
			Repetition: i + 1, Outcome: outcome,
			Verdicts: []experiment.Verdict{
				{Expected: "users are down for at most 0s in all", Observed: "between 10ms | 20ms", Outcome: outcome, Value: 10 + float64(i), Known: true, Improve: "Add a preStop hook."},
				{Expected: "recovery", Observed: "after 3s", Outcome: experiment.Pass, Value: 3000, Known: true},
			},
			Seen: experiment.Observation{
				Began: began, Ended: began.Add(30 * time.Second), Sent: 3000,
				Attacks: []fault.Attack{{ID: "f1", Kind: "pod-kill", Asked: began.Add(5 * time.Second), Verified: began.Add(5 * time.Second), Instant: true,
					Targets: []fault.Target{{Name: "web/web-1"}}, Evidence: []string{"it is <gone>"}}},
				Outages: []probe.Outage{{ID: 1, Began: began.Add(5 * time.Second), Ended: began.Add(6 * time.Second), LowerMS: 10, UpperMS: 20, Failed: 3, ByClass: map[string]int{"503": 3}}},
				Entries: []timeline.Entry{{Wall: began.Add(6 * time.Second), Kind: "pod-gone", Text: "Pod <script>alert(1)</script> is gone"}},
				Load:    &load.Result{Seconds: []load.SecondResult{{Sent: 10, Med: 1, P99: 5, Max: 9}, {Second: 1, Sent: 10, Failed: 1, Med: 1, P99: 5, Max: 900}}},
				Views: []experiment.View{{At: began, What: "worst", Snapshot: cluster.Snapshot{Zones: []cluster.Zone{{Name: "zone-a",
					Nodes: []cluster.Node{{Name: "worker-1", Power: cluster.PowerOff}}}}}}},
			},
		})
	}
	return New(e, runs)
}

func TestAFolderHoldsTheReportInEveryForm(t *testing.T) {
	dir := t.TempDir()
	d := document(t, 1, experiment.Fail)
	path, err := d.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, wants := range map[string][]string{
		"report.html": {"A pod &lt;dies&gt;", "did not hold", "Add a preStop hook.", "10 to 20 ms", "worker-1 <strong>no power, not Ready</strong>", "<svg", "1 of 2 expectations"},
		"report.md":   {"# A pod <dies>", "did not hold", `between 10ms \| 20ms`, "503 × 3"},
		"report.json": {`"outcome": "fail"`},
		"junit.xml":   {`failures="1"`, "observed: between"},
	} {
		data, err := os.ReadFile(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s has no %q", name, want)
			}
		}
		if strings.Contains(string(data), "<script>alert") && name == "report.html" {
			t.Error("the page runs what a cluster says")
		}
		if name == "report.html" && (strings.Contains(string(data), "http://") || strings.Contains(string(data), "https://")) {
			t.Error("the page asks for something from elsewhere")
		}
	}
	again, err := d.Write(dir)
	if err != nil || again == path {
		t.Errorf("a second report in the same second: %q %v", again, err)
	}
	rows, err := List(dir)
	if err != nil || len(rows) != 2 || rows[0].Outcome != experiment.Fail {
		t.Errorf("%v %v", rows, err)
	}
}

func TestJUnitIsWellFormedAndTellsVoidFromFailed(t *testing.T) {
	d := document(t, 2, experiment.Void)
	d.Runs[0].Seen.Void = "it was not <proven>"
	data, err := d.JUnit()
	if err != nil {
		t.Fatal(err)
	}
	var s suites
	if err := xml.Unmarshal(data, &s); err != nil || len(s.Suites) != 2 || s.Suites[0].Errors != 1 || s.Suites[0].Failures != 0 {
		t.Errorf("%v: %s", err, data)
	}
}

func TestFewRunsShowNoDifference(t *testing.T) {
	a, b := document(t, 2, experiment.Pass), document(t, 2, experiment.Pass)
	if c := Compare(a, b); len(c) != 2 || !strings.Contains(c[0].Says, "too few") {
		t.Errorf("%+v", c)
	}
	a, b = document(t, 9, experiment.Pass), document(t, 9, experiment.Pass)
	if c := Compare(a, b); !strings.Contains(c[0].Says, "no difference") {
		t.Errorf("%+v", c)
	}
	for i := range b.Runs {
		b.Runs[i].Verdicts[0].Value += 100
	}
	b = New(b.Experiment, b.Runs)
	if c := Compare(a, b); c[0].Says != "B is higher" {
		t.Errorf("%+v", c)
	}
}

func TestAFolderThatCannotBeWrittenIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := document(t, 1, experiment.Pass).Write(filepath.Join(file, "x")); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}

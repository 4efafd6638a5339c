// Package experiments carries out the library of chaos experiments on a real,
// highly available lab that all tests share, each in its short form: what is stated
// of Kubernetes must be so here.
package experiments

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	library "zdl/experiments"
	"zdl/internal/experiment"
	"zdl/internal/report"
	"zdl/test/harness"
)

// theLab runs with Kubernetes' own timings, since that is what the library is about.
var theLab = harness.New("t-experiments")

func TestMain(m *testing.M) { os.Exit(harness.Share(m, theLab, "--profile", "ha")) }

// tries is how often an experiment is begun anew whose run proves nothing, which
// is what a machine that is too busy to measure makes of it. A run that fails is
// never repeated.
const tries = 3

// always are the experiments that are carried out in each run of the tests: one
// for each thing that an experiment can do. The whole library takes a quarter of
// an hour and more on an idle machine: ZDL_TEST_LONG=1.
var always = []string{"pod-deleted", "pod-frozen", "keep-alive-outlives-endpoint", "dns-search-list",
	"prestop-race", "dependency-at-zero", "etcd-leader-isolated", "controller-manager-leader-killed"}

// Every file of the library passes in its short form, leaves nothing behind, and
// writes a report in every form.
func TestTheLibraryPassesInItsShortForm(t *testing.T) {
	harness.Require(t)
	theLab.WaitHealthy(t, 2*time.Minute)
	before, err := theLab.Condition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range library.Names() {
		t.Run(name, func(t *testing.T) {
			read(t, name)
			if !slices.Contains(always, name) && os.Getenv("ZDL_TEST_LONG") == "" {
				t.Skip("set ZDL_TEST_LONG=1 for the whole library")
			}
			begin := time.Now()
			var d *report.Document
			for range tries {
				dir := t.TempDir()
				d = carry(t, name, dir)
				folder(t, dir, d)
				if d.Outcome != experiment.Void {
					break
				}
				t.Logf("it proves nothing: %s", d.Runs[0].Seen.Void)
			}
			for _, v := range d.Runs[0].Verdicts {
				t.Logf("%s: %s: %s", v.Outcome, v.Expected, v.Observed)
			}
			t.Logf("%s after %v", d.Outcome, time.Since(begin).Round(time.Second))
			if d.Outcome != experiment.Pass {
				t.Errorf("%s: %s%s", d.Headline(), d.Runs[0].Seen.Void, d.Runs[0].Seen.Aborted)
			}
		})
	}
	nothingLeft(t, before)
}

func read(t *testing.T, name string) *experiment.Experiment {
	t.Helper()
	data, err := library.File(name)
	if err != nil {
		t.Fatal(err)
	}
	e, err := experiment.Read(data, name+".yaml", strings.TrimSuffix(experiment.ServiceURL, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// carry carries out an experiment by the command line; its exit code must fit its
// outcome.
func carry(t *testing.T, name, dir string) *report.Document {
	t.Helper()
	r, err := theLab.Try(t.Context(), "run", name, "--short", "--reports", dir, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	d := new(report.Document)
	if err := json.Unmarshal([]byte(r.Stdout), d); err != nil || len(d.Runs) != 1 {
		t.Fatalf("zdl run %s: exit %d, %v\n%s%s", name, r.Code, err, r.Stdout, r.Stderr)
	}
	if (r.Code == 0) != (d.Outcome == experiment.Pass) || r.Code != 0 && r.Code != 99 {
		t.Errorf("exit code %d of a run that is %s", r.Code, d.Outcome)
	}
	return d
}

// folder looks at what a run left for people, programs and CI.
func folder(t *testing.T, dir string, d *report.Document) {
	t.Helper()
	rows, err := report.List(dir)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d reports, %v", len(rows), err)
	}
	file := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(rows[0].Path, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	page := string(file("report.html"))
	for _, elsewhere := range []string{`src="http`, `href="http`, "url(http", "@import"} {
		if strings.Contains(page, elsewhere) {
			t.Errorf("report.html needs something from elsewhere: %s", elsewhere)
		}
	}
	wanted := []string{d.Headline()[:20], "latency of every request over time", "zdl run "}
	if slices.ContainsFunc(d.Runs[0].Seen.Views, func(v experiment.View) bool { return v.What == "worst" }) {
		wanted = append(wanted, "at its worst moment")
	}
	for _, want := range wanted {
		if d.Outcome != experiment.Void && !strings.Contains(page, want) {
			t.Errorf("report.html says nothing of %q", want)
		}
	}
	var suites struct {
		Suites []struct {
			Tests int `xml:"tests,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(file("junit.xml"), &suites); err != nil || len(suites.Suites) != 1 || suites.Suites[0].Tests < len(d.Experiment.Expect) {
		t.Errorf("junit.xml: %v %+v", err, suites)
	}
	if md := string(file("report.md")); !strings.HasPrefix(md, "# ") {
		t.Errorf("report.md begins with %q", md[:min(len(md), 40)])
	}
	if d.Outcome == experiment.Void {
		return
	}
	for _, name := range []string{"requests-1.csv", "states-1.csv"} {
		lines, err := csv.NewReader(strings.NewReader(string(file(name)))).ReadAll()
		if err != nil || len(lines) < 10 {
			t.Errorf("%s: %d lines, %v", name, len(lines), err)
		}
	}
}

// nothingLeft asks kernel and API server whether the lab is as it was.
func nothingLeft(t *testing.T, before harness.Trace) {
	t.Helper()
	theLab.WaitHealthy(t, 3*time.Minute)
	harness.Eventually(t, "nothing is left behind", time.Minute, asBefore(before))
}

func asBefore(before harness.Trace) func(ctx Context) error {
	return func(ctx Context) error {
		now, err := theLab.Condition(ctx)
		if err == nil {
			if left := now.Since(before); len(left) > 0 {
				err = fmt.Errorf("%s", strings.Join(left, "\n"))
			}
		}
		return err
	}
}

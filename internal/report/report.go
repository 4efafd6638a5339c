// Package report writes down what an experiment was and what came of it: a
// folder with a page for people, the same in Markdown, all data for programs,
// and JUnit's format for CI.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"zdl/internal/experiment"
)

// Document is one experiment with all its repetitions.
type Document struct {
	Experiment   *experiment.Experiment    `json:"experiment"`
	Outcome      experiment.Outcome        `json:"outcome"`
	Began        time.Time                 `json:"began"`
	Took         time.Duration             `json:"took"` // nanoseconds
	Runs         []experiment.Run          `json:"runs"`
	Distribution []experiment.Distribution `json:"distribution"`
	Environment  Environment               `json:"environment"`
	Command      string                    `json:"command"` // that repeats it
}

// Environment is where it ran.
type Environment struct {
	Lab      string            `json:"lab"`
	Timing   string            `json:"timing"` // realistic or fast
	Machines string            `json:"machines"`
	Host     string            `json:"host"` // kernel, cores, memory
	Versions map[string]string `json:"versions"`
	ZDL      string            `json:"zdl"`
}

// New sums up runs: pass if all passed, void if any was void and none failed.
func New(e *experiment.Experiment, runs []experiment.Run) *Document {
	d := &Document{Experiment: e, Runs: runs, Outcome: experiment.Pass}
	var verdicts [][]experiment.Verdict
	for i := range runs {
		if i == 0 {
			d.Began = runs[i].Seen.Began
		}
		d.Took = runs[i].Seen.Ended.Sub(d.Began)
		switch {
		case runs[i].Outcome == experiment.Fail:
			d.Outcome = experiment.Fail
		case runs[i].Outcome == experiment.Void && d.Outcome == experiment.Pass:
			d.Outcome = experiment.Void
		}
		if runs[i].Outcome != experiment.Void {
			verdicts = append(verdicts, runs[i].Verdicts)
		}
	}
	d.Distribution = experiment.Distribute(verdicts)
	return d
}

// Write makes a folder below dir, named after experiment and time, and returns
// its path.
func (d *Document) Write(dir string) (string, error) {
	path, err := makeFolder(dir, d.Experiment.Name+"-"+d.Began.UTC().Format("20060102-150405"))
	if err != nil {
		return "", err
	}
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return path, err
	}
	page, err := d.HTML()
	if err != nil {
		return path, err
	}
	junit, err := d.JUnit()
	if err != nil {
		return path, err
	}
	for name, content := range map[string][]byte{"report.json": data, "report.html": page, "report.md": d.Markdown(), "junit.xml": junit} {
		if err := os.WriteFile(filepath.Join(path, name), content, 0o644); err != nil {
			return path, fmt.Errorf("write the report: %w", err)
		}
	}
	for i := range d.Runs {
		if err := writeSamples(path, &d.Runs[i]); err != nil {
			return path, fmt.Errorf("write the samples: %w", err)
		}
	}
	return path, nil
}

// writeSamples writes the raw samples of a run: every kept request, and what was
// seen of probe and cluster some times a second.
func writeSamples(dir string, r *experiment.Run) error {
	if l := r.Seen.Sampled(); l != nil {
		if err := writeFile(filepath.Join(dir, fmt.Sprintf("requests-%d.csv", r.Repetition)), l.WriteSamples); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(dir, fmt.Sprintf("states-%d.csv", r.Repetition)), r.Seen.WriteLooks)
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// makeFolder makes a folder that is not there yet.
func makeFolder(dir, name string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the folder for reports: %w", err)
	}
	for n := 1; ; n++ {
		path := filepath.Join(dir, name)
		if n > 1 {
			path = fmt.Sprintf("%s-%d", path, n)
		}
		err := os.Mkdir(path, 0o755)
		if !errors.Is(err, fs.ErrExist) {
			return path, err
		}
	}
}

// Row is a report in a list.
type Row struct {
	Path    string             `json:"path"`
	Name    string             `json:"name"`
	Title   string             `json:"title"`
	Outcome experiment.Outcome `json:"outcome"`
	Began   time.Time          `json:"began"`
	Runs    int                `json:"runs"`
}

// List reads the reports below dir, the latest first. Folders without one are
// left out.
func List(dir string) ([]Row, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return []Row{}, nil
	}
	if err != nil {
		return nil, err
	}
	out := []Row{}
	for _, e := range entries {
		d, err := Read(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		out = append(out, Row{filepath.Join(dir, e.Name()), d.Experiment.Name, d.Experiment.Title, d.Outcome, d.Began, len(d.Runs)})
	}
	slices.SortFunc(out, func(a, b Row) int { return b.Began.Compare(a.Began) })
	return out, nil
}

// Read reads the report in a folder.
func Read(path string) (*Document, error) {
	data, err := os.ReadFile(filepath.Join(path, "report.json"))
	if err != nil {
		return nil, err
	}
	d := new(Document)
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// Compare tells, per expectation that both have, whether the second is better.
// A difference is told as real only when the intervals of the medians do not
// overlap.
func Compare(a, b *Document) []Comparison {
	var out []Comparison
	for _, x := range a.Distribution {
		i := slices.IndexFunc(b.Distribution, func(y experiment.Distribution) bool { return y.Expected == x.Expected })
		if i < 0 {
			continue
		}
		y := b.Distribution[i]
		c := Comparison{Expected: x.Expected, A: x, B: y, Says: "no difference that the runs can show"}
		switch {
		case x.Runs < 5 || y.Runs < 5:
			c.Says = "too few runs to tell: want 5 of each"
		case y.High < x.Low:
			c.Says = "B is lower"
		case x.High < y.Low:
			c.Says = "B is higher"
		}
		out = append(out, c)
	}
	return out
}

// Comparison of one expectation in two reports.
type Comparison struct {
	Expected string                  `json:"expected"`
	A        experiment.Distribution `json:"a"`
	B        experiment.Distribution `json:"b"`
	Says     string                  `json:"says"`
}

// Headline is the verdict in one sentence.
func (d *Document) Headline() string {
	n := len(d.Runs)
	passed, void := 0, 0
	for i := range d.Runs {
		switch d.Runs[i].Outcome {
		case experiment.Pass:
			passed++
		case experiment.Void:
			void++
		}
	}
	var text string
	switch d.Outcome {
	case experiment.Pass:
		text = "The hypothesis held"
	case experiment.Void:
		text = "Nothing was proven"
	default:
		text = "The hypothesis did not hold"
	}
	if n > 1 {
		text += fmt.Sprintf(": %d of %d runs passed", passed, n)
		if void > 0 {
			text += fmt.Sprintf(", %d were void", void)
		}
	} else if n == 1 && d.Runs[0].Seen.Void != "" {
		text += ": " + strings.TrimSuffix(d.Runs[0].Seen.Void, ".")
	}
	return text + "."
}

// Points tells how many expectations were met, over all runs.
func (d *Document) Points() string {
	met, all := 0, 0
	for i := range d.Runs {
		for _, v := range d.Runs[i].Verdicts {
			if all++; v.Outcome == experiment.Pass {
				met++
			}
		}
	}
	return fmt.Sprintf("%d of %d expectations were met.", met, all)
}

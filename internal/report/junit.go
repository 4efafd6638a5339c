package report

import (
	"encoding/xml"
	"fmt"
	"strings"

	"zdl/internal/experiment"
)

// JUnit's format, as CI systems read it: a suite per run, a case per
// expectation. Void runs are errors, since they prove nothing.
type suites struct {
	XMLName xml.Name `xml:"testsuites"`
	Suites  []suite  `xml:"testsuite"`
}

type suite struct {
	Name     string  `xml:"name,attr"`
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Errors   int     `xml:"errors,attr"`
	Time     string  `xml:"time,attr"`
	Stamp    string  `xml:"timestamp,attr"`
	Cases    []tcase `xml:"testcase"`
}

type tcase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Failure *trouble `xml:"failure,omitempty"`
	Error   *trouble `xml:"error,omitempty"`
}

type trouble struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit is the report for CI.
func (d *Document) JUnit() ([]byte, error) {
	var out suites
	for i := range d.Runs {
		r := &d.Runs[i]
		s := suite{
			Name: fmt.Sprintf("%s (run %d)", d.Experiment.Title, r.Repetition), Time: fmt.Sprintf("%.3f", r.Seen.Ended.Sub(r.Seen.Began).Seconds()),
			Stamp: r.Seen.Began.UTC().Format("2006-01-02T15:04:05"),
		}
		if r.Outcome == experiment.Void {
			s.Cases = append(s.Cases, tcase{Name: "the run proves something", Class: d.Experiment.Name, Error: &trouble{Message: r.Seen.Void}})
			s.Errors++
		}
		if r.Seen.Aborted != "" {
			s.Cases = append(s.Cases, tcase{Name: "the run comes to its end", Class: d.Experiment.Name, Failure: &trouble{Message: r.Seen.Aborted}})
			s.Failures++
		}
		for _, v := range r.Verdicts {
			c := tcase{Name: v.Expected, Class: d.Experiment.Name}
			if v.Outcome != experiment.Pass && r.Outcome != experiment.Void {
				c.Failure = &trouble{v.Observed, strings.TrimSpace("observed: " + v.Observed + "\n" + v.Improve)}
				s.Failures++
			}
			s.Cases = append(s.Cases, c)
		}
		s.Tests = len(s.Cases)
		out.Suites = append(out.Suites, s)
	}
	body, err := xml.MarshalIndent(out, "", "  ")
	return append([]byte(xml.Header), append(body, '\n')...), err
}

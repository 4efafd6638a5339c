package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"

	"zdl/internal/cause"
	"zdl/internal/cluster"
	"zdl/internal/experiment"
	"zdl/internal/timeline"
)

//go:embed report.html.tmpl
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"since":    since,
	"targets":  targets,
	"join":     strings.Join,
	"classes":  timeline.Classes,
	"plot":     plot,
	"heat":     heat,
	"parts":    parts,
	"trouble":  nodeTrouble,
	"improve":  improvement,
	"round":    func(d time.Duration) string { return d.Round(100 * time.Millisecond).String() },
	"power":    func(n cluster.Node) string { return string(n.Power) },
	"worker":   func(n cluster.Node) bool { return !n.ControlPlane },
	"inc":      func(i int) int { return i + 1 },
	"explains": explains,
	"percent": func(part, whole int64) string {
		if whole == 0 {
			return "–"
		}
		return fmt.Sprintf("%.3g %%", 100*float64(part)/float64(whole))
	},
	"count": func(n int) string {
		if n < 0 {
			return "not known"
		}
		return fmt.Sprint(n)
	},
	"mark": func(v experiment.Outcome) string {
		return map[experiment.Outcome]string{experiment.Pass: "✓", experiment.Fail: "✗", experiment.Void: "?"}[v]
	},
}).Parse(page))

// HTML is the report as one file without anything from elsewhere.
func (d *Document) HTML() ([]byte, error) {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, struct {
		*Document
		VersionText string
	}{d, d.versions()})
	return b.Bytes(), err
}

// improvement is what a lost point is to be improved by: what the file says, else
// the setting that most of the longest outage's time belongs to.
func improvement(v experiment.Verdict, r *experiment.Run) string {
	if v.Improve != "" || v.Outcome == experiment.Pass {
		return v.Improve
	}
	var most cause.Part
	for i := range r.Seen.Causes {
		for _, p := range r.Seen.Causes[i].Parts {
			if p.MS > most.MS && len(p.Owners) > 0 {
				most = p
			}
		}
	}
	if most.MS > 0 {
		o := most.Owners[0]
		return fmt.Sprintf("Most of the longest outage, %.0f ms, passed until: %s. %s = %s decides how long that takes.", most.MS, most.What, o.Name, o.Value)
	}
	return "The file says nothing about what to change; the timeline below shows what happened."
}

// explains finds the explanation of an outage.
func explains(r *experiment.Run, outage int) *cause.Breakdown {
	for i := range r.Seen.Causes {
		if r.Seen.Causes[i].Outage.ID == outage {
			return &r.Seen.Causes[i]
		}
	}
	return nil
}

// nodeTrouble says what is wrong with a node, or "".
func nodeTrouble(n cluster.Node) string {
	var out []string
	switch {
	case n.Power == cluster.PowerOff:
		out = append(out, "no power")
	case n.Power == cluster.PowerFrozen:
		out = append(out, "hangs")
	}
	if !n.Ready {
		out = append(out, "not Ready")
	}
	if n.Unschedulable {
		out = append(out, "cordoned")
	}
	return strings.Join(out, ", ")
}

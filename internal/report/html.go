package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/experiment"
	"zdl/internal/timeline"
)

//go:embed report.html.tmpl
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"since":   since,
	"targets": targets,
	"join":    strings.Join,
	"classes": timeline.Classes,
	"plot":    plot,
	"heat":    heat,
	"round":   func(d time.Duration) string { return d.Round(100 * time.Millisecond).String() },
	"power":   func(n cluster.Node) bool { return n.Power == cluster.PowerOff },
	"headline": func(v experiment.Outcome) string {
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

// Sizes of the plot, in SVG's units.
const (
	plotWidth  = 960.0
	laneHeight = 26.0
	plotLeft   = 90.0
)

// plot draws a run as time from left to right: faults, what happened, outages.
func plot(r *experiment.Run) template.HTML {
	o := &r.Seen
	span := max(o.Ended.Sub(o.Began).Seconds(), 0.001)
	x := func(t time.Time) float64 {
		return plotLeft + (plotWidth-plotLeft-10)*math.Min(math.Max(t.Sub(o.Began).Seconds()/span, 0), 1)
	}
	var b strings.Builder
	lanes := []string{"faults", "cluster", "users"}
	height := laneHeight*float64(len(lanes)) + 24
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="faults, events and outages over time">`, plotWidth, height)
	for i, name := range lanes {
		y := laneHeight * float64(i)
		fmt.Fprintf(&b, `<text x="0" y="%.1f" class="lane">%s</text><line x1="%g" x2="%g" y1="%.1f" y2="%.1f" class="rule"/>`, y+17, name, plotLeft, plotWidth-10, y+laneHeight-1, y+laneHeight-1)
	}
	bar := func(lane int, from, to time.Time, class, title string) {
		w := math.Max(x(to)-x(from), 2)
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%g" class="%s"><title>%s</title></rect>`,
			x(from), laneHeight*float64(lane)+4, w, laneHeight-9, class, template.HTMLEscapeString(title))
	}
	for i := range o.Attacks {
		a := &o.Attacks[i]
		to := a.Ended
		if a.Instant || to.IsZero() {
			to = a.Verified
		}
		bar(0, a.Asked, to, "fault", fmt.Sprintf("%s on %s, %s", a.Kind, targets(a), since(o.Began, a.Asked)))
	}
	for _, k := range o.Kubectl {
		bar(0, k.At, k.At, "fault", "kubectl "+strings.Join(k.Args, " "))
	}
	for i := range o.Entries {
		e := &o.Entries[i]
		if strings.HasPrefix(e.Kind, "fault-") || strings.HasPrefix(e.Kind, "outage-") {
			continue
		}
		bar(1, e.Wall, e.Wall, "event", since(o.Began, e.Wall)+" "+e.Text)
	}
	fmt.Fprintf(&b, `<rect x="%g" y="%.1f" width="%.1f" height="%g" class="up"/>`, plotLeft, laneHeight*2+4, plotWidth-plotLeft-10, laneHeight-9)
	for i := range o.Outages {
		out := &o.Outages[i]
		to := out.Ended
		if out.Open {
			to = o.Ended
		}
		bar(2, out.Began, to, "down", fmt.Sprintf("%s: between %.0f and %.0f ms, %d requests failed", since(o.Began, out.Began), out.LowerMS, out.UpperMS, out.Failed))
	}
	step := tick(span)
	for t := 0.0; t <= span; t += step {
		at := plotLeft + (plotWidth-plotLeft-10)*t/span
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" class="tick">%g s</text>`, at, height-6, t)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text in it was escaped
}

// tick is a step of 1, 2 or 5 times a power of ten that gives some ten of them.
func tick(span float64) float64 {
	raw := span / 10
	p := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if m*p >= raw {
			return m * p
		}
	}
	return 10 * p
}

// heat draws the load's latency, second by second: median, p99 and longest.
func heat(r *experiment.Run) template.HTML {
	l := r.Seen.Load
	if l == nil || len(l.Seconds) == 0 {
		return ""
	}
	const height = 160.0
	most := 1.0
	for _, s := range l.Seconds {
		most = math.Max(most, s.Max)
	}
	y := func(ms float64) float64 { // logarithmic, from 0.1 ms
		return height - 20 - (height-30)*math.Log10(math.Max(ms, 0.1)/0.1)/math.Log10(most/0.1)
	}
	w := (plotWidth - plotLeft - 10) / float64(len(l.Seconds))
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="latency over time">`, plotWidth, height)
	for ms := 0.1; ms <= most; ms *= 10 {
		fmt.Fprintf(&b, `<text x="0" y="%.1f" class="lane">%g ms</text><line x1="%g" x2="%g" y1="%.1f" y2="%.1f" class="rule"/>`, y(ms)+4, ms, plotLeft, plotWidth-10, y(ms), y(ms))
	}
	for i, s := range l.Seconds {
		left := plotLeft + w*float64(i)
		title := fmt.Sprintf("second %d: %d requests, %d failed, median %.1f ms, p99 %.1f ms, longest %.1f ms", s.Second, s.Sent, s.Failed, s.Med, s.P99, s.Max)
		class := "up"
		if s.Failed > 0 {
			class = "down"
		}
		fmt.Fprintf(&b, `<g><title>%s</title>`, title)
		for _, part := range []struct {
			from, to float64
			opacity  string
		}{{0.1, s.Med, "1"}, {s.Med, s.P99, ".5"}, {s.P99, s.Max, ".2"}} {
			if part.to > part.from {
				fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s" opacity="%s"/>`,
					left, y(part.to), math.Max(w-1, 0.5), math.Max(y(part.from)-y(part.to), 0), class, part.opacity)
			}
		}
		b.WriteString("</g>")
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // only numbers
}

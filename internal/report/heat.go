package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"zdl/internal/experiment"
	"zdl/internal/load"
)

// The heat map: columns of time, rows of latency on a logarithmic scale, and a
// row of failures above.
const (
	heatHeight  = 200.0
	heatTop     = 14.0 // of the scale; failures are above it
	heatBottom  = 20.0
	heatColumns = 120
	heatRows    = 24
	heatLowest  = 0.1 // ms
)

// column is the samples of one span of time.
type column struct {
	took   []float64 // ms, of those that were answered as expected
	failed int
	rows   [heatRows]int
}

// heat draws every kept request of a run, and percentiles over time.
func heat(r *experiment.Run) template.HTML {
	o := &r.Seen
	l := o.Sampled()
	if l == nil || len(l.Samples) == 0 {
		return ""
	}
	a := axisOf(o)
	most := 10.0
	for i := range l.Samples {
		most = math.Max(most, ms(l.Samples[i].Took))
	}
	decades := math.Log10(most / heatLowest)
	row := func(v float64) int {
		return min(int(heatRows*math.Log10(math.Max(v, heatLowest)/heatLowest)/decades), heatRows-1)
	}
	y := func(v float64) float64 {
		return heatHeight - heatBottom - (heatHeight-heatBottom-heatTop)*math.Log10(math.Max(v, heatLowest)/heatLowest)/decades
	}
	columns, densest := fill(l, a, row)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="latency of every request over time">`, plotWidth, heatHeight)
	for v := heatLowest; v <= most; v *= 10 {
		label := fmt.Sprintf("%g ms", v)
		if y(v) < heatTop+10 {
			label = "" // the word failed stands there
		}
		fmt.Fprintf(&b, `<text x="0" y="%.1f" class="lane">%s</text><line x1="%g" x2="%g" y1="%.1f" y2="%.1f" class="rule"/>`, y(v)+4, label, plotLeft, plotWidth-plotRight, y(v), y(v))
	}
	fmt.Fprintf(&b, `<text x="0" y="10" class="lane">failed</text>`)
	w := (plotWidth - plotLeft - plotRight) / heatColumns
	tall := (heatHeight - heatBottom - heatTop) / heatRows
	for i := range columns {
		c := &columns[i]
		x := plotLeft + w*float64(i)
		for k, n := range c.rows {
			if n > 0 {
				fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="cell" opacity="%.2f"/>`,
					x, heatHeight-heatBottom-tall*float64(k+1), w, tall, 0.12+0.88*math.Sqrt(float64(n)/float64(densest)))
			}
		}
		if c.failed > 0 {
			fmt.Fprintf(&b, `<rect x="%.1f" y="1" width="%.1f" height="10" class="down"><title>%s: %d failed</title></rect>`, x, math.Max(w, 2), span(a, i), c.failed)
		}
	}
	for _, line := range []struct {
		share float64
		class string
	}{{0.5, "p50"}, {0.95, "p95"}, {0.99, "p99"}} {
		var path strings.Builder
		pen := "M"
		for i := range columns {
			if v, ok := percentile(columns[i].took, line.share); ok {
				fmt.Fprintf(&path, "%s%.1f %.1f", pen, plotLeft+w*(float64(i)+0.5), y(v))
				pen = "L"
			} else {
				pen = "M" // nobody was served, so there is nothing to draw
			}
		}
		fmt.Fprintf(&b, `<path d="%s" class="line %s"><title>%s</title></path>`, path.String(), line.class, line.class)
	}
	a.moments(&b, o, heatHeight-heatBottom)
	a.ticks(&b, heatHeight-4)
	b.WriteString("</svg>")
	return template.HTML(b.String()) // only numbers and texts of this program
}

// fill sorts samples into columns; densest is the fullest cell.
func fill(l *load.Result, a axis, row func(float64) int) (columns []column, densest int) {
	columns, densest = make([]column, heatColumns), 1
	for i := range l.Samples {
		s := &l.Samples[i]
		at := l.Began.Add(s.Due).Sub(a.began).Seconds() / a.span
		if at < 0 || at >= 1 {
			continue // before the run began, or after it ended
		}
		c := &columns[int(at*heatColumns)]
		if !s.OK {
			c.failed++
			continue
		}
		c.took = append(c.took, ms(s.Took))
		k := row(ms(s.Took))
		c.rows[k]++
		densest = max(densest, c.rows[k])
	}
	for i := range columns {
		slices.Sort(columns[i].took)
	}
	return columns, densest
}

// percentile of sorted values, by the nearest rank.
func percentile(sorted []float64, share float64) (float64, bool) {
	if len(sorted) == 0 {
		return 0, false
	}
	return sorted[max(int(math.Ceil(share*float64(len(sorted))))-1, 0)], true
}

func span(a axis, column int) string {
	from := a.span * float64(column) / heatColumns
	return fmt.Sprintf("%.1f s", from)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

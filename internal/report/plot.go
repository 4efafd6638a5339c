package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"zdl/internal/cause"
	"zdl/internal/experiment"
)

// Sizes of the plots, in SVG's units.
const (
	plotWidth  = 960.0
	laneHeight = 26.0
	plotLeft   = 90.0
	plotRight  = 10.0
)

// axis is time from left to right.
type axis struct {
	began time.Time
	span  float64 // seconds
}

func axisOf(o *experiment.Observation) axis {
	return axis{o.Began, max(o.Ended.Sub(o.Began).Seconds(), 0.001)}
}

func (a axis) x(t time.Time) float64 { return a.at(t.Sub(a.began).Seconds()) }

func (a axis) at(seconds float64) float64 {
	return plotLeft + (plotWidth-plotLeft-plotRight)*math.Min(math.Max(seconds/a.span, 0), 1)
}

func (a axis) ticks(b *strings.Builder, y float64) {
	for t, step := 0.0, tick(a.span); t <= a.span; t += step {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" class="tick">%g s</text>`, a.at(t), y, t)
	}
}

// moments marks the first fault and the last undo.
func (a axis) moments(b *strings.Builder, o *experiment.Observation, height float64) {
	for _, m := range []struct {
		at   time.Time
		what string
	}{{o.Injected, "first fault"}, {o.Healed, "healed"}} {
		if !m.at.IsZero() {
			fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="0" y2="%.1f" class="moment"><title>%s, %s</title></line>`, a.x(m.at), a.x(m.at), height, m.what, since(a.began, m.at))
		}
	}
}

// plot draws a run: faults, what happened, how many pods were ready, outages.
func plot(r *experiment.Run) template.HTML {
	o := &r.Seen
	a := axisOf(o)
	lanes := []string{"faults", "cluster", "pods ready", "users"}
	for _, subject := range []string{"api", "dns"} {
		if _, measured := o.Probes[subject]; measured {
			lanes = append(lanes, map[string]string{"api": "API", "dns": "DNS"}[subject])
		}
	}
	var b strings.Builder
	height := laneHeight*float64(len(lanes)) + 24
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="faults, events and outages over time">`, plotWidth, height)
	for i, name := range lanes {
		y := laneHeight * float64(i)
		fmt.Fprintf(&b, `<text x="0" y="%.1f" class="lane">%s</text><line x1="%g" x2="%g" y1="%.1f" y2="%.1f" class="rule"/>`, y+17, name, plotLeft, plotWidth-plotRight, y+laneHeight-1, y+laneHeight-1)
	}
	bar := func(lane int, from, to time.Time, class, title string) {
		w := math.Max(a.x(to)-a.x(from), 2)
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%g" class="%s"><title>%s</title></rect>`,
			a.x(from), laneHeight*float64(lane)+4, w, laneHeight-9, class, template.HTMLEscapeString(title))
	}
	for i := range o.Attacks {
		f := &o.Attacks[i]
		to := f.Ended
		if f.Instant || to.IsZero() {
			to = f.Verified
		}
		bar(0, f.Asked, to, "fault", fmt.Sprintf("%s on %s, %s", f.Kind, targets(f), since(o.Began, f.Asked)))
	}
	for _, k := range o.Kubectl {
		if !k.Setup {
			bar(0, k.At, k.At, "fault", "kubectl "+strings.Join(k.Args, " "))
		}
	}
	for i := range o.Entries {
		e := &o.Entries[i]
		if strings.HasPrefix(e.Kind, "fault-") || strings.HasPrefix(e.Kind, "outage-") || e.Detail {
			continue
		}
		bar(1, e.Happened(), e.Happened(), "event", since(o.Began, e.Happened())+" "+e.Text)
	}
	pods(&b, o, a, laneHeight*2)
	for lane := 3; lane < len(lanes); lane++ {
		fmt.Fprintf(&b, `<rect x="%g" y="%.1f" width="%.1f" height="%g" class="up"/>`, plotLeft, laneHeight*float64(lane)+4, plotWidth-plotLeft-plotRight, laneHeight-9)
		list := o.Outages
		if lane > 3 {
			list = o.Probes[strings.ToLower(lanes[lane])].Outages
		}
		for i := range list {
			out := &list[i]
			if out.Partial {
				continue
			}
			to := out.Ended
			if out.Open || to.IsZero() {
				to = o.Ended
			}
			bar(lane, out.Began, to, "down", fmt.Sprintf("%s: between %.0f and %.0f ms, %d requests failed", since(o.Began, out.Began), out.LowerMS, out.UpperMS, out.Failed))
		}
	}
	a.moments(&b, o, height-18)
	a.ticks(&b, height-6)
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text in it was escaped
}

// pods draws how many pods were ready as a step line in a lane.
func pods(b *strings.Builder, o *experiment.Observation, a axis, top float64) {
	most := 1
	for _, l := range o.Looks {
		most = max(most, l.PodsReady)
	}
	y := func(n int) float64 { return top + laneHeight - 4 - (laneHeight-10)*float64(n)/float64(most) }
	var path strings.Builder
	last := -1
	for _, l := range o.Looks {
		if l.PodsReady == last {
			continue
		}
		if last < 0 {
			fmt.Fprintf(&path, "M%.1f %.1f", a.x(l.At), y(l.PodsReady))
		} else {
			fmt.Fprintf(&path, "H%.1fV%.1f", a.x(l.At), y(l.PodsReady))
		}
		last = l.PodsReady
	}
	if last >= 0 {
		fmt.Fprintf(b, `<path d="%sH%.1f" class="line p50"><title>pods of the service that are ready, at most %d</title></path>`, path.String(), a.at(a.span), most)
	}
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

// parts draws the parts of an outage beside each other, each as wide as it was long.
func parts(c *cause.Breakdown) template.HTML {
	total := 0.0
	for _, p := range c.Parts {
		total += p.MS
	}
	if total <= 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g 34" role="img" aria-label="parts of the outage">`, plotWidth)
	at := 0.0
	for i, p := range c.Parts {
		w := plotWidth * p.MS / total
		fmt.Fprintf(&b, `<rect x="%.1f" y="0" width="%.1f" height="30" class="part%d"><title>%.0f ms: %s</title></rect>`, at, math.Max(w-1, 0.5), i%4, p.MS, template.HTMLEscapeString(p.What))
		if w > 60 {
			fmt.Fprintf(&b, `<text x="%.1f" y="20" class="on">%d · %.0f ms</text>`, at+6, i+1, p.MS)
		}
		at += w
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text in it was escaped
}

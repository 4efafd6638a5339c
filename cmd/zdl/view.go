package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"zdl/internal/probe"
	"zdl/internal/timeline"
	"zdl/internal/web"
)

// view shows a watch: lines that stay for what happened, and, on a terminal, a
// live part; elsewhere a line a second.
type view struct {
	app    *app
	screen *screen
	json   bool
	tally  tally

	summary probe.Summary
	begun   bool  // the first probe event has come
	seen    int64 // last entry of the timeline
	silent  bool  // it was said that the daemon is gone
}

func (a *app) newView(json bool) *view {
	v := &view{app: a, screen: newScreen(a.stdout), json: json, seen: -1}
	v.screen.live = v.screen.live && !json
	return v
}

// watchSecond is a line of `zdl watch -o json`.
type watchSecond struct {
	Time     time.Time `json:"time"`
	Up       bool      `json:"up"`
	OutageMS float64   `json:"outageMs"` // how long the service has been down
	second
	P50MS float64 `json:"p50Ms"` // over the last ten seconds
	P99MS float64 `json:"p99Ms"`
}

// watchOutage is a line of `zdl watch -o json` for an outage that ended.
type watchOutage struct {
	Outage probe.Outage `json:"outage"`
}

// watchEntry is a line of `zdl watch -o json` for something that happened.
type watchEntry struct {
	Event timeline.Entry `json:"event"`
}

func (v *view) probe(p *web.ProbeEvent) {
	v.summary, v.silent = p.Summary, false
	if !v.begun {
		v.begun = true
		v.tally = tally{}
		v.tally.history(p.Slots, p.Summary.NowMS)
		v.redraw()
		return
	}
	for _, s := range v.tally.add(p.Slots, p.Summary.NowMS) {
		v.line(s)
	}
	for i := range p.Outages {
		v.outage(&p.Outages[i])
	}
	v.redraw()
}

// line prints a second, where there is no live part that shows it.
func (v *view) line(s second) {
	switch {
	case v.json:
		// An error would be a closed pipe, and its signal ends the program.
		_ = v.app.printLine(watchSecond{time.Now(), v.summary.Up, v.summary.OutageMS, s, v.summary.P50MS, v.summary.P99MS})
	case !v.screen.live:
		state := "up  "
		switch {
		case v.summary.Outage != nil && s.OK == 0:
			state = "DOWN"
		case s.Failed > 0:
			state = "part"
		}
		text := fmt.Sprintf("%s %s %4d/s ok %4d failed %4d", clock(time.Now()), state, s.OK+s.Failed, s.OK, s.Failed)
		if v.summary.Outage != nil {
			text += "  for " + milliseconds(v.summary.OutageMS)
		} else {
			text += fmt.Sprintf("  p50 %.1f ms p99 %.1f ms", v.summary.P50MS, v.summary.P99MS)
		}
		if len(s.ByClass) > 0 {
			text += "  " + counts(s.ByClass)
		}
		v.screen.say(text)
	}
}

func (v *view) outage(o *probe.Outage) {
	if v.json {
		_ = v.app.printLine(watchOutage{*o})
		return
	}
	if notable(o) {
		v.screen.say(clock(o.Ended) + " " + paint(v.screen.w, red, outageLine(o)))
	}
}

// timeline prints what happened, except for what came before the watch.
func (v *view) timeline(entries []timeline.Entry) {
	first := v.seen < 0
	for _, e := range entries {
		if e.Seq <= v.seen {
			continue
		}
		v.seen = e.Seq
		switch {
		case first || e.Kind == timeline.KindOutageBegan || e.Kind == timeline.KindOutageEnded || e.Kind == timeline.KindErrors:
			// Outages come with the probe.
		case e.Detail && !v.json:
			// zdl timeline shows these.
		case v.json:
			_ = v.app.printLine(watchEntry{e})
		default:
			v.screen.say(clock(e.Wall) + " " + e.Text)
		}
	}
	v.seen = max(v.seen, 0)
	v.redraw()
}

// lost says once that the daemon does not answer.
func (v *view) lost(err error) {
	if v.silent {
		return
	}
	v.silent, v.begun = true, false
	reason := "the stream ended"
	if err != nil {
		reason = err.Error()
	}
	v.screen.erase()
	fmt.Fprintf(v.app.stderr, "zdl: waiting for the lab's daemon: %s\n", reason)
}

// redraw shows the live part.
func (v *view) redraw() {
	if !v.screen.live || !v.begun {
		return
	}
	w, s := v.screen.w, v.summary
	state := paint(w, green, "● up  ")
	switch {
	case !s.Known:
		state = paint(w, faint, "○ not measured yet")
	case s.Outage != nil:
		state = paint(w, red, "✗ DOWN for "+milliseconds(s.OutageMS)+" ("+counts(s.Outage.ByClass)+")")
	}
	numbers := fmt.Sprintf("%.0f requests a second, %.2f %% served, p50 %.1f  p95 %.1f  p99 %.1f ms (last 10 s)",
		s.Measured, 100*s.OKShare, s.P50MS, s.P95MS, s.P99MS)
	totals := fmt.Sprintf("%s so far, %d failed", plural(int(s.Sent), "request"), s.Failed)
	width := v.screen.width() - 1
	v.screen.draw([]string{
		state,
		fit(numbers, width),
		v.strip(width),
		fit(v.servers(), width),
		paint(w, faint, fit(totals+"; Ctrl-C ends", width)),
	})
}

// strip is the latest cells, newest at the right.
func (v *view) strip(width int) string {
	cells := v.tally.cells
	if len(cells) > width {
		cells = cells[len(cells)-width:]
	}
	var b strings.Builder
	for _, c := range cells {
		switch c {
		case cellOK:
			b.WriteString(paint(v.screen.w, green, "▆"))
		case cellSlow:
			b.WriteString(paint(v.screen.w, yellow, "▆"))
		case cellFailed:
			b.WriteString(paint(v.screen.w, red, "▁"))
		default:
			b.WriteString(" ")
		}
	}
	return b.String()
}

// servers says which pods answer, by share.
func (v *view) servers() string {
	total := 0
	for _, n := range v.summary.ByServer {
		total += n
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(v.summary.ByServer)) {
		parts = append(parts, fmt.Sprintf("%s %d %%", name, (100*v.summary.ByServer[name]+total/2)/total))
	}
	return "served by " + strings.Join(parts, ", ")
}

// counts prints what there is of each kind.
func counts(by map[string]int) string {
	var parts []string
	for _, class := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s × %d", class, by[class]))
	}
	return strings.Join(parts, ", ")
}

func clock(t time.Time) string { return t.Local().Format("15:04:05") }

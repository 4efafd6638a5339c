package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"zdl/internal/experiment"
	"zdl/internal/fault"
	"zdl/internal/timeline"
)

// Markdown is the report as text.
func (d *Document) Markdown() []byte {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("# %s", d.Experiment.Title)
	say("\n**%s** %s", d.Headline(), d.Experiment.Hypothesis)
	if d.Experiment.Why != "" {
		say("\n%s", d.Experiment.Why)
	}
	for i := range d.Runs {
		markdown(&d.Runs[i], say, len(d.Runs) > 1)
	}
	if len(d.Runs) > 1 {
		say("\n## Over all runs\n\n| expected | passed | median | worst | interval of the median |\n|---|---|---|---|---|")
		for _, x := range d.Distribution {
			say("| %s | %d of %d | %.4g | %.4g | %.4g to %.4g |", cell(x.Expected), x.Passed, x.Runs, x.Median, x.Worst, x.Low, x.High)
		}
	}
	say("\n## Environment\n")
	say("- lab %s, timing %s, %s", d.Environment.Lab, d.Environment.Timing, d.Environment.Machines)
	say("- host: %s", d.Environment.Host)
	say("- versions: %s", d.versions())
	say("- seed %d; again with: `%s`", d.Experiment.Seed, d.Command)
	return []byte(b.String())
}

// markdown writes one run.
func markdown(r *experiment.Run, say func(string, ...any), numbered bool) {
	o := &r.Seen
	head := "## What came of it"
	if numbered {
		head = fmt.Sprintf("## Run %d: %s", r.Repetition, r.Outcome)
	}
	say("\n%s\n", head)
	if o.Void != "" {
		say("This run proves nothing: %s.\n", o.Void)
	}
	if o.Aborted != "" {
		say("It was ended early: %s.\n", o.Aborted)
	}
	say("| | expected | observed |\n|---|---|---|")
	for _, v := range r.Verdicts {
		say("| %s | %s | %s |", v.Outcome, cell(v.Expected), cell(v.Observed))
	}
	for _, v := range r.Verdicts {
		if v.Outcome != experiment.Pass && v.Improve != "" {
			say("\n**To improve:** %s", v.Improve)
		}
	}
	if len(o.Attacks)+len(o.Kubectl) > 0 {
		say("\n### What was done\n")
	}
	for i := range o.Attacks {
		a := &o.Attacks[i]
		say("- %s after the beginning: %s on %s, proven after %.1f ms by: %s", since(o.Began, a.Asked), a.Kind, targets(a), a.VerifyMS, strings.Join(a.Evidence, "; "))
	}
	for _, k := range o.Kubectl {
		say("- %s after the beginning: kubectl %s", since(o.Began, k.At), strings.Join(k.Args, " "))
	}
	if len(o.Outages) > 0 {
		say("\n### Outages\n\n| began | lasted | failed requests | how |\n|---|---|---|---|")
		for i := range o.Outages {
			out := &o.Outages[i]
			say("| %s | %.0f to %.0f ms | %d | %s |", since(o.Began, out.Began), out.LowerMS, out.UpperMS, out.Failed, timeline.Classes(out.ByClass))
		}
	}
	say("\n### What happened\n")
	for i := range o.Entries {
		say("- %s %s", since(o.Began, o.Entries[i].Wall), o.Entries[i].Text)
	}
}

// since is a moment after the beginning.
func since(began, t time.Time) string { return fmt.Sprintf("%.3f s", t.Sub(began).Seconds()) }

func targets(a *fault.Attack) string {
	names := make([]string, len(a.Targets))
	for i, t := range a.Targets {
		names[i] = t.Name
	}
	return strings.Join(names, ", ")
}

// cell keeps text in its table.
func cell(s string) string { return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s) }

func (d *Document) versions() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(d.Environment.Versions)) {
		out = append(out, name+" "+d.Environment.Versions[name])
	}
	return strings.Join(append(out, "zdl "+d.Environment.ZDL), ", ")
}

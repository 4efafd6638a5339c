package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/cause"
	"zdl/internal/lab"
	"zdl/internal/timeline"
)

// timelineFlags choose what of the timeline is shown.
type timelineFlags struct {
	since   string
	kinds   []string
	attack  string
	outage  int
	subject string
	follow  bool
	brief   bool
	json    bool
}

func (a *app) timelineCmd() *cobra.Command {
	var f timelineFlags
	cmd := &cobra.Command{
		Use:   "timeline",
		Short: "Show what happened, when, and why an outage lasted as long as it did",
		Long: `Shows faults, Kubernetes Events, the changes of objects that matter, leaders,
virtual IPs, proxies, health checks and outages in one order. With --attack times
are relative to the attack, to the millisecond. With --outage it breaks an outage
down: which part of it passed until what had happened, and which setting decides
how long that takes. Parts that were not observed are called unknown.`,
		Example: `  zdl timeline --since 5m
  zdl timeline --attack f3
  zdl timeline --outage 7
  zdl timeline --follow --kind outage-ended,leader-changed -o json`,
		Args: args(cobra.NoArgs, "zdl timeline --since 10m"),
	}
	output := outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "only what happened since: a duration (10m), a number of an entry, or a time (RFC 3339)")
	flags.StringSliceVar(&f.kinds, "kind", nil, "only these kinds of entries, or those that begin with a word and * (fault-*)")
	flags.StringVar(&f.attack, "attack", "", "times relative to this attack, from 2 s before it to 2 minutes after its end")
	flags.IntVar(&f.outage, "outage", 0, "break down the outage with this number")
	flags.StringVar(&f.subject, "subject", "service", "whose outage")
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with what happens from now on")
	flags.BoolVar(&f.brief, "brief", false, "leave out what is only for who looks for causes")
	cmd.MarkFlagsMutuallyExclusive("outage", "attack")
	cmd.MarkFlagsMutuallyExclusive("outage", "follow")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f.json = *output == "json"
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("outage") {
			return a.explain(cmd.Context(), client, f)
		}
		return a.timeline(cmd.Context(), client, f)
	}
	return cmd
}

// timeline prints entries that there are and, if asked, those to come.
func (a *app) timeline(ctx context.Context, client *lab.Client, f timelineFlags) error {
	after, err := sinceWhen(f.since, time.Now())
	if err != nil {
		return err
	}
	var entries []timeline.Entry
	if err := client.Do(ctx, http.MethodGet, "/api/v1/timeline", nil, &entries); err != nil {
		return err
	}
	p := entryPrinter{app: a, f: f}
	if f.attack != "" {
		if err := p.relate(entries); err != nil {
			return err
		}
	}
	seen := int64(0)
	if len(entries) > 0 {
		seen = entries[len(entries)-1].Seq
	}
	// What was heard of late is shown where it belongs. Entries of different runs
	// have different clocks.
	slices.SortStableFunc(entries, func(x, y timeline.Entry) int {
		return cmp.Or(cmp.Compare(x.Run, y.Run), cmp.Compare(x.When(), y.When()))
	})
	kept := entries[:0]
	for _, e := range entries {
		if after(&e) && p.fits(&e) {
			kept = append(kept, e)
		}
	}
	if f.json && !f.follow {
		return a.printJSON(kept)
	}
	for i := range kept {
		p.print(&kept[i])
	}
	if !f.follow {
		return nil
	}
	err = client.Stream(ctx, "/api/v1/events", func(event string, data []byte) error {
		if event != "timeline" {
			return nil
		}
		var news []timeline.Entry
		if err := json.Unmarshal(data, &news); err != nil {
			return fmt.Errorf("read a timeline event: %w", err)
		}
		for i := range news {
			if e := &news[i]; e.Seq > seen {
				seen = e.Seq
				if after(e) && p.fits(e) {
					p.print(e)
				}
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil // that is how following ends
	}
	return err
}

// sinceWhen reads --since.
func sinceWhen(text string, now time.Time) (func(*timeline.Entry) bool, error) {
	if text == "" {
		return func(*timeline.Entry) bool { return true }, nil
	}
	if seq, err := strconv.ParseInt(text, 10, 64); err == nil {
		return func(e *timeline.Entry) bool { return e.Seq > seq }, nil
	}
	from, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return nil, &usageError{fmt.Sprintf("--since %q: must be a duration, the number of an entry or a time", text), "zdl timeline --since 10m"}
		}
		from = now.Add(-d)
	}
	return func(e *timeline.Entry) bool { return !e.Happened().Before(from) }, nil
}

// entryPrinter prints entries as columns: time, kind, subject, text.
type entryPrinter struct {
	app *app
	f   timelineFlags
	// Of --attack: the moment to which times relate, and what is shown around it.
	run            int
	zero, from, to float64
}

const (
	attackBefore = 2_000.0
	attackAfter  = 120_000.0
)

// relate finds the attack that times relate to.
func (p *entryPrinter) relate(entries []timeline.Entry) error {
	found := false
	for i := range entries {
		e := &entries[i]
		if e.Fields["attack"] != p.f.attack {
			continue
		}
		if e.Kind == "fault-intent" {
			found = true
			p.run, p.zero, p.from = e.Run, e.When(), e.When()-attackBefore
		}
		p.to = e.When() + attackAfter
	}
	if !found {
		return fmt.Errorf("the timeline has no attack %q; zdl timeline --kind 'fault-*' shows which it has", p.f.attack)
	}
	return nil
}

func (p *entryPrinter) fits(e *timeline.Entry) bool {
	if p.f.brief && e.Detail {
		return false
	}
	if p.f.attack != "" && (e.Run != p.run || e.When() < p.from || e.When() > p.to) {
		return false
	}
	return len(p.f.kinds) == 0 || slices.ContainsFunc(p.f.kinds, func(k string) bool {
		begin, any := strings.CutSuffix(k, "*")
		return e.Kind == k || any && strings.HasPrefix(e.Kind, begin)
	})
}

func (p *entryPrinter) print(e *timeline.Entry) {
	w := p.app.stdout
	if p.f.json {
		_ = p.app.printLine(e) // a closed pipe ends the program by its signal
		return
	}
	when := e.Happened().Local().Format("15:04:05.000")
	if p.f.attack != "" {
		when = fmt.Sprintf("%+10.0f ms", e.When()-p.zero)
	}
	fmt.Fprintf(w, "%s  %s  %s  %s\n", paint(w, faint, when), paint(w, kindColour(e), fmt.Sprintf("%-18s", e.Kind)), fmt.Sprintf("%-24s", e.Subject), e.Text)
}

// kindColour is red for what hurts, green for what mends.
func kindColour(e *timeline.Entry) string {
	switch k := e.Kind; {
	case strings.HasPrefix(k, "fault-undone"), strings.HasSuffix(k, "-ready") && !strings.HasSuffix(k, "not-ready"),
		strings.HasSuffix(k, "-up"), strings.HasSuffix(k, "-added"), k == "outage-ended", k == "view-current":
		return green
	case strings.HasPrefix(k, "fault-"), strings.HasPrefix(k, "outage"), k == "kill", k == "errors", k == "view-stale", strings.HasSuffix(k, "-down"):
		return red
	case strings.HasSuffix(k, "not-ready"), strings.HasSuffix(k, "-removed"), strings.HasSuffix(k, "-expired"), strings.HasSuffix(k, "-gone"), strings.HasSuffix(k, "-lost"):
		return yellow
	}
	return blue
}

// explain prints the breakdown of an outage.
func (a *app) explain(ctx context.Context, client *lab.Client, f timelineFlags) error {
	var b cause.Breakdown
	path := fmt.Sprintf("/api/v1/outages/%d/cause?subject=%s", f.outage, url.QueryEscape(f.subject))
	if err := client.Do(ctx, http.MethodGet, path, nil, &b); err != nil {
		return err
	}
	if f.json {
		return a.printJSON(b)
	}
	return a.printCause(&b)
}

func (a *app) printCause(b *cause.Breakdown) error {
	w := a.stdout
	fmt.Fprintf(w, "%s\n", paint(w, bold, fmt.Sprintf("Outage %d of the %s: between %s and %s; %s from the first failed request to the first success",
		b.Outage.ID, b.Outage.Subject, milliseconds(b.Outage.Lower), milliseconds(b.Outage.Upper), milliseconds(b.SumMS))))
	if b.Fault != nil {
		more := ""
		if b.Fault.More > 0 {
			more = fmt.Sprintf(", and %d more within 2 s", b.Fault.More)
		}
		fmt.Fprintf(w, "began with  %s%s\n", b.Fault.Text, more)
	}
	fmt.Fprintf(w, "ended by    %s\n\n", b.EndedBy)
	err := a.table(func(t io.Writer) {
		fmt.Fprintf(t, "FROM\tTO\tTAKES\tUNTIL\tDECIDED BY\n")
		for _, p := range b.Lead {
			a.printPart(t, &p)
		}
		for _, p := range b.Parts {
			a.printPart(t, &p)
		}
		fmt.Fprintf(t, "\t\t%s\tfrom the first failed request to the first success\t\n", milliseconds(b.SumMS))
	})
	for _, n := range b.Notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
	return err
}

func (a *app) printPart(w io.Writer, p *cause.Part) {
	var owners []string
	for _, o := range p.Owners {
		owners = append(owners, fmt.Sprintf("%s = %s (%s)", o.Name, o.Value, o.Where))
	}
	fmt.Fprintf(w, "%+.0f ms\t%+.0f ms\t%s\t%s\t%s\n", p.From, p.To, milliseconds(p.MS), p.What, strings.Join(owners, "; "))
}

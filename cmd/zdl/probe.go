package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/probe"
)

func (a *app) probeCmd() *cobra.Command {
	var r probe.Request
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Measure outages more closely than the lab does by itself",
		Long: `Asks the service, the Kubernetes API or the cluster's DNS in several lanes at the
same time, each request on its own and none repeated, and states every outage
with a lower and an upper bound. Lanes are interleaved: two of 200 requests a
second ask every 2.5 ms, all eight every 0.625 ms. A shorter outage can fall
between two requests.

A lane is one to three words joined by +: new or reused (connections), h1 or h2
(HTTP/2 without TLS), read or write. What is left out is new, h1, read. A write
is right only if the answer proves that its body arrived.

The subject path asks the service and, beside it, every replica, ingress and
load balancer, and says in which layer an outage begins. With --https the service
is asked by TLS, and its certificate is checked as users' programs do.

Interrupted, it prints what it has measured so far.`,
		Example: `  zdl probe                                   new and reused connections, 200/s each, 30 s
  zdl probe --lanes all --for 1m
  zdl probe --lanes reused+h2,write --from worker-1
  zdl probe --subject path --for 2m           in which layer does an outage begin?
  zdl probe --https --for 5s                  is the certificate in order?
  zdl probe --subject database --for 1m       is anything lost that was confirmed?
  zdl probe --subject api -o json | jq .outages`,
		Args: args(cobra.NoArgs, "zdl probe --lanes all"),
	}
	output := outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&r.Subject, "subject", probe.SubjectService, "what is asked: service, api, dns, path or database")
	flags.StringVar(&r.Lanes, "lanes", "", `lanes separated by commas, or all (default "new,reused"; of api "reused,reused+write", of database "new+write,reused+write")`)
	flags.Float64Var(&r.Rate, "rate", 0, "requests a second of each lane, 1 to 1000, of api to 50, of database to 100 (default 200; of path 50, of api and dns 20, of database 10)")
	flags.DurationVar(&r.For, "for", 30*time.Second, "how long, 1s to 10m")
	flags.StringVar(&r.From, "from", "", `where to ask from: a machine, a zone, or pod:NAMESPACE/NAME (default "outside"; of dns a worker)`)
	flags.DurationVar(&r.Timeout, "timeout", time.Second, "of each request, 10ms to 30s")
	flags.BoolVar(&r.HTTPS, "https", false, "ask the service by HTTPS, and check its certificate")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := r.Defaults(); err != nil {
			return &usageError{err.Error(), "zdl probe --help"}
		}
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		var last *probe.Report
		line := newScreen(a.stderr)
		err = client.Probe(cmd.Context(), r, func(report probe.Report) error {
			last = &report
			if line.live {
				line.draw([]string{paint(line.w, faint, probing(&report, r.For))})
			}
			return nil
		})
		line.erase()
		if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
			err = nil // that is how it is ended early
		}
		if last == nil {
			if err == nil {
				err = errors.New("it ended before anything was measured")
			}
			return err
		}
		if *output == "json" {
			return errors.Join(a.printJSON(last), err)
		}
		return errors.Join(a.printProbe(last), err)
	}
	return cmd
}

// probing says how far a measurement is.
func probing(r *probe.Report, length time.Duration) string {
	sent, failed := totals(r)
	return fmt.Sprintf("%s of %s: %s, %d failed; Ctrl-C ends", seconds(time.Duration(r.ElapsedMS*1e6)), seconds(length), plural(int(sent), "request"), failed)
}

func totals(r *probe.Report) (sent, failed int64) {
	for _, l := range r.Lanes {
		sent += l.Sent
		failed += l.Failed
	}
	return sent, failed
}

func (a *app) printProbe(r *probe.Report) error {
	sent, failed := totals(r)
	fmt.Fprintf(a.stdout, "%s asked from %s for %s: %s, %d failed; one every %.3g ms\n\n", r.Subject, r.From,
		seconds(time.Duration(r.ElapsedMS*1e6)), plural(int(sent), "request"), failed, r.GapMS)
	err := a.table(func(w io.Writer) {
		fmt.Fprintln(w, "LANE\tSENT\tFAILED\tDEGRADED\tP50\tP99\tDOWN\tDEGRADED FOR")
		for _, l := range r.Lanes {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.1f ms\t%.1f ms\t%s\t%s\n", l.Lane, l.Sent, l.Failed, l.Impaired, l.P50MS, l.P99MS, downtime(l.Down), downtime(l.Degraded))
		}
	})
	fmt.Fprintln(a.stdout)
	for i := range r.Outages {
		o := &r.Outages[i]
		fmt.Fprintln(a.stdout, clock(o.Began)+" "+paint(a.stdout, red, probedOutage(o)))
		for _, at := range r.Attributions {
			if at.Outage == o.ID {
				fmt.Fprintln(a.stdout, "         "+at.Text)
			}
		}
	}
	if len(r.Outages) == 0 {
		fmt.Fprintln(a.stdout, paint(a.stdout, green, "Not one request failed."))
	}
	if w := r.Writes; w != nil {
		fmt.Fprintln(a.stdout, a.writes(w))
	}
	if r.Pauses > 0 {
		fmt.Fprintf(a.stdout, "The prober itself did not run for %s in all (%s); that is nobody's outage.\n", milliseconds(r.PausedMS), plural(r.Pauses, "pause"))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(a.stdout, n)
	}
	return err
}

// writes says what became of a database's writes.
func (a *app) writes(w *probe.Writes) string {
	promised := fmt.Sprintf("%s acknowledged", plural(int(w.Acknowledged), "write"))
	switch {
	case !w.Checked:
		return promised + "; what the database holds has not been compared yet."
	case w.Lost > 0:
		return paint(a.stdout, red, fmt.Sprintf("%s, %d of them lost: %s.", promised, w.Lost, strings.Join(w.LostRanges, ", ")))
	}
	return paint(a.stdout, green, promised+", none lost") + fmt.Sprintf("; of %d without an answer %d took effect.", w.Unconfirmed, w.Stored)
}

// downtime is a sum of outages in a cell of a table.
func downtime(d probe.Downtime) string {
	if d.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("%s to %s (%d)", milliseconds(d.LowerMS), milliseconds(d.UpperMS), d.Count)
}

// probedOutage says how long an outage was, give or take what.
func probedOutage(o *probe.Outage) string {
	who := "down"
	if o.Partial {
		who = "down in the lane"
		for lane := range o.ByLane {
			who += " " + lane
		}
		who += ", served in others,"
	}
	if o.Open {
		return fmt.Sprintf("%s for at least %s so far: %s (%s)", who, milliseconds(o.LowerMS), plural(o.Failed, "failed request"), counts(o.ByClass))
	}
	middle := (o.LowerMS + o.UpperMS) / 2
	return fmt.Sprintf("%s for %.1f ms ± %.1f ms: %s (%s)", who, middle, o.ErrorMS, plural(o.Failed, "failed request"), counts(o.ByClass))
}

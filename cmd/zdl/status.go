package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/cluster"
	"zdl/internal/lab"
	"zdl/internal/web"
)

// statusReport is what `zdl status -o json` prints.
type statusReport struct {
	web.Status
	Lab      lab.Status       `json:"lab"` // in place of web.Status's, which may be anything
	Snapshot cluster.Snapshot `json:"snapshot"`
}

func (a *app) statusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the service, the nodes, and who leads",
		Example: `  zdl status
  zdl status -o json | jq .service.up`,
		Args: args(cobra.NoArgs, "zdl status"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.connect(cmd)
		if errors.Is(err, lab.ErrNoLab) {
			return a.mentionOthers(err)
		}
		if err != nil {
			return err
		}
		var r statusReport
		if err := client.Do(cmd.Context(), http.MethodGet, "/api/v1/status", nil, &r); err != nil {
			return err
		}
		if err := client.Do(cmd.Context(), http.MethodGet, "/api/v1/snapshot", nil, &r.Snapshot); err != nil {
			return err
		}
		if *output == "json" {
			return a.printJSON(r)
		}
		return a.printStatus(&r)
	}
	return cmd
}

// mentionOthers adds the labs there are to the news that one is missing.
func (a *app) mentionOthers(err error) error {
	names, listErr := lab.List(a.dirs)
	if listErr != nil || len(names) == 0 {
		return err
	}
	return fmt.Errorf("%w; there are others: %s", err, strings.Join(names, ", "))
}

func (a *app) printStatus(r *statusReport) error {
	w := a.stdout
	fmt.Fprintf(w, "Lab %s: %s (watched over for %s, Kubernetes %s, timing %s)\n\n", paint(w, bold, r.Name), paint(w, bold, r.Lab.Info.Page),
		seconds(r.Lab.Uptime), r.Lab.Versions["kubernetes"], r.Lab.Timing)
	fmt.Fprintf(w, "service   %s\n", a.serviceLine(r))
	fmt.Fprintf(w, "cluster   %d of %d nodes Ready", r.Nodes.Ready, r.Nodes.Total)
	if r.View.Stale || !r.View.Synced {
		fmt.Fprintf(w, "; %s", paint(w, yellow, fmt.Sprintf("the API server has been silent for %s, this may be out of date", seconds(time.Duration(r.View.AgeMS)*time.Millisecond))))
		if r.View.Trouble != "" {
			fmt.Fprintf(w, " (%s)", r.View.Trouble)
		}
	}
	fmt.Fprintln(w)
	if r.Lab.EtcdLeader != "" {
		fmt.Fprintf(w, "leader    etcd: %s\n", r.Lab.EtcdLeader)
	} else {
		fmt.Fprintf(w, "leader    etcd: %s\n", paint(w, red, "none"))
	}
	for _, l := range r.Leaders {
		fmt.Fprintf(w, "leader    %s: %s, for %s\n", l.Component, l.Holder, seconds(time.Since(l.Since)))
	}
	for _, m := range r.Snapshot.Machines {
		if len(m.Holds) > 0 {
			fmt.Fprintf(w, "holds     virtual IPs of %s: %s\n", strings.Join(m.Holds, ", "), m.Name)
		}
	}
	fmt.Fprintln(w)
	return a.printNodes(r.Snapshot.Zones)
}

// serviceLine says what users get.
func (a *app) serviceLine(r *statusReport) string {
	s := r.Service
	if !s.Known {
		return "not measured yet"
	}
	line := paint(a.stdout, green, "up")
	if s.Outage != nil {
		line = paint(a.stdout, red, "DOWN for "+milliseconds(s.OutageMS))
	}
	line += fmt.Sprintf(", %.2f %% of %.0f requests a second answered in the last 10 s", 100*s.OKShare, s.Measured)
	if s.P50MS > 0 {
		line += fmt.Sprintf(", p50 %.1f ms, p99 %.1f ms", s.P50MS, s.P99MS)
	}
	return line + fmt.Sprintf("; %d of %d pods ready; %s so far", r.Target.Ready, r.Target.Desired, plural(r.Outages, "outage"))
}

func (a *app) printNodes(zones []cluster.Zone) error {
	return a.table(func(w io.Writer) {
		fmt.Fprintln(w, "ZONE\tNODE\tROLE\tSTATUS\tPOWER\tADDRESS\tSERVICE PODS")
		for _, z := range zones {
			for _, n := range z.Nodes {
				var pods []string
				for _, p := range n.Pods {
					pods = append(pods, p.Name+podState(&p))
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", z.Name, n.Name, role(&n), nodeState(&n), n.Power, n.Address, strings.Join(pods, " "))
			}
		}
	})
}

func role(n *cluster.Node) string {
	if n.ControlPlane {
		return "control-plane"
	}
	return "worker"
}

func nodeState(n *cluster.Node) string {
	s := "Ready"
	if !n.Ready {
		s = "NotReady"
	}
	if n.Unschedulable {
		s += ",SchedulingDisabled"
	}
	return s
}

// podState says what is not as it should be about a pod, "" if nothing.
func podState(p *cluster.Pod) string {
	switch {
	case !p.Deleting.IsZero():
		return " (stopping)"
	case p.Reason != "":
		return " (" + p.Reason + ")"
	case !p.Ready:
		return " (not ready)"
	}
	return ""
}

// milliseconds prints them with thousands apart: 12 345 ms.
func milliseconds(ms float64) string {
	s := fmt.Sprintf("%.0f", ms)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s + " ms"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

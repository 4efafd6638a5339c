package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/lab"
)

func (a *app) downCmd() *cobra.Command {
	var keep, all bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove a lab: machines, network, data, everything",
		Long: `Ends the daemon, cuts the power of all machines and removes whatever the lab has
made on this host. With --keep-data its disks stay, and the next "zdl up" of the
same name brings the same cluster back.`,
		Example: `  zdl down
  zdl down --keep-data
  zdl down --all`,
		Args: args(cobra.NoArgs, "zdl down --name NAME"),
	}
	output := outputFlag(cmd)
	cmd.Flags().BoolVar(&keep, "keep-data", false, "keep the disks of the nodes for the next zdl up")
	cmd.Flags().BoolVar(&all, "all", false, "take down every lab of this machine")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if all && cmd.Flags().Changed("name") {
			return &usageError{"--all and --name exclude each other", "zdl down --all"}
		}
		if err := a.needRoot(cmd); err != nil {
			return err
		}
		names := []string{a.name}
		if all {
			var err error
			if names, err = lab.List(a.dirs); err != nil {
				return err
			}
		}
		down := []downResult{}
		var failures []error
		for _, name := range names {
			took, err := a.down(cmd.Context(), name, keep)
			if err != nil {
				failures = append(failures, err)
				continue
			}
			down = append(down, downResult{name, took.Milliseconds(), keep})
		}
		if *output == "json" {
			if err := a.printJSON(down); err != nil {
				return err
			}
		} else {
			a.printDown(down, all)
		}
		return errors.Join(failures...)
	}
	return cmd
}

type downResult struct {
	Name     string `json:"name"`
	TookMS   int64  `json:"tookMs"`
	KeptData bool   `json:"keptData"`
}

func (a *app) down(ctx context.Context, name string, keep bool) (time.Duration, error) {
	begin := time.Now()
	show := newProgress(a.stderr)
	defer show.close()
	err := lab.Down(ctx, a.dirs, name, lab.DownOptions{KeepData: keep, Progress: show.step})
	return time.Since(begin), err
}

func (a *app) printDown(down []downResult, all bool) {
	if all && len(down) == 0 {
		fmt.Fprintln(a.stdout, "There is no lab on this machine.")
	}
	for _, d := range down {
		what := "nothing of it is left"
		if d.KeptData {
			what = "its data is kept for: zdl up --name " + d.Name
		}
		fmt.Fprintf(a.stdout, "The lab %q is down after %.1f s; %s.\n", d.Name, float64(d.TookMS)/1000, what)
	}
}

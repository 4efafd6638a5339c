package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"zdl/internal/doctor"
)

func (a *app) doctorCmd() *cobra.Command {
	var fix, quiet bool
	var purposes []string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lacks, and the command that mends it",
		Long: `Tries what a lab needs of this machine - namespaces, disks, switches, rules,
programs, memory - and says for everything that is missing how to mend it.
Whatever it makes for a trial it removes again.

The exit code is 1 if something that is needed is missing. Without root it
says what it could not try.`,
		Example: `  zdl doctor
  zdl doctor --fix           install missing packages through apt
  zdl doctor --for build     also look at what building needs
  zdl doctor -o json | jq -r '.[] | select(.status == "fail") | .fix'`,
		Args: args(cobra.NoArgs, "zdl doctor"),
	}
	output := outputFlag(cmd)
	cmd.Flags().BoolVar(&fix, "fix", false, "install missing packages through apt (as root)")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only say what is not as it should be")
	cmd.Flags().StringSliceVar(&purposes, "for", nil, "what else this machine shall do: build, test")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o := doctor.Options{Cache: a.dirs.Cache, State: a.dirs.State}
		for _, p := range purposes {
			switch p {
			case "run":
			case "build":
				o.Build = true
			case "test":
				o.Build, o.Test = true, true
			default:
				return &usageError{fmt.Sprintf("--for %q: must be run, build or test", p), "zdl doctor --for build"}
			}
		}
		checks := doctor.Run(cmd.Context(), o)
		if packages := doctor.Packages(checks); fix && len(packages) > 0 {
			fmt.Fprintf(a.stderr, "installing %s\n", strings.Join(packages, " "))
			if err := doctor.Install(cmd.Context(), packages, a.stderr); err != nil {
				return err
			}
			checks = doctor.Run(cmd.Context(), o)
		}
		if *output == "json" {
			if err := a.printJSON(checks); err != nil {
				return err
			}
		} else {
			printChecks(a.stdout, checks, quiet)
		}
		if doctor.Failed(checks) {
			return &exitError{exitFailure}
		}
		return nil
	}
	return cmd
}

// printChecks writes one line a check, and below it how to mend it.
func printChecks(w io.Writer, checks []doctor.Check, quiet bool) {
	failed := 0
	for _, c := range checks {
		colour, mark := green, "✓"
		switch c.Status {
		case doctor.Fail:
			colour, mark = red, "✗"
			failed++
		case doctor.Warn:
			colour, mark = yellow, "!"
		case doctor.Info:
			colour, mark = blue, "i"
		case doctor.Skipped:
			colour, mark = faint, "?"
		}
		if quiet && (c.Status == doctor.OK || c.Status == doctor.Info) {
			continue
		}
		fmt.Fprintf(w, "%s %s: %s\n", paint(w, colour, mark), c.What, c.Detail)
		if c.Fix != "" && c.Status != doctor.OK {
			fmt.Fprintf(w, "    mend it: %s\n", paint(w, bold, c.Fix))
		}
	}
	switch {
	case failed == 1:
		fmt.Fprintln(w, "\n1 thing is missing; a lab cannot run here yet.")
	case failed > 1:
		fmt.Fprintf(w, "\n%d things are missing; a lab cannot run here yet.\n", failed)
	case !quiet:
		fmt.Fprintln(w, "\nThis machine can run a lab: zdl up")
	}
}

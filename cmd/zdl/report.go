package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/report"
)

func (a *app) reportCmd() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "report",
		Short: "List the reports of experiments, show one, or compare two",
		Example: `  zdl report
  zdl report show reports/pod-deleted-20260102-150405
  zdl report open reports/pod-deleted-20260102-150405
  zdl report compare reports/A reports/B`,
		Args: args(cobra.NoArgs, "zdl report"),
	}
	cmd.PersistentFlags().StringVar(&dir, "reports", reportsDir, "folder with the reports")
	output := outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		rows, err := report.List(dir)
		if err != nil {
			return err
		}
		if *output == "json" {
			return a.printJSON(rows)
		}
		if len(rows) == 0 {
			fmt.Fprintf(a.stderr, "There is no report in %s; zdl run makes one.\n", dir)
			return nil
		}
		return a.table(func(w io.Writer) {
			fmt.Fprintln(w, "REPORT\tOUTCOME\tRUNS\tWHEN\tWHAT")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", r.Path, r.Outcome, r.Runs, r.Began.Local().Format(time.DateTime), r.Title)
			}
		})
	}
	cmd.AddCommand(a.reportShowCmd(), a.reportOpenCmd(), a.reportCompareCmd())
	return cmd
}

func (a *app) reportShowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show FOLDER", Short: "Show a report as text; report.html beside it is for a browser",
		Example: "  zdl report show reports/pod-deleted-20260102-150405",
		Args:    args(cobra.ExactArgs(1), "zdl report show reports/NAME"),
	}
	cmd.RunE = func(_ *cobra.Command, words []string) error {
		d, err := report.Read(words[0])
		if err != nil {
			return fmt.Errorf("no report there: %w; zdl report lists them", err)
		}
		_, err = a.stdout.Write(d.Markdown())
		return err
	}
	return cmd
}

func (a *app) reportCompareCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "compare A B", Short: "Tell whether a change helped, as far as the runs can show",
		Example: "  zdl report compare reports/before reports/after",
		Args:    args(cobra.ExactArgs(2), "zdl report compare reports/A reports/B"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, words []string) error {
		var d [2]*report.Document
		for i, path := range words {
			var err error
			if d[i], err = report.Read(path); err != nil {
				return fmt.Errorf("no report there: %w; zdl report lists them", err)
			}
		}
		rows := report.Compare(d[0], d[1])
		if *output == "json" {
			return a.printJSON(rows)
		}
		if len(rows) == 0 {
			return fmt.Errorf("%s and %s expect nothing in common", filepath.Base(words[0]), filepath.Base(words[1]))
		}
		return a.printComparison(rows)
	}
	return cmd
}

func (a *app) printComparison(rows []report.Comparison) error {
	return a.table(func(w io.Writer) {
		fmt.Fprintln(w, "EXPECTED\tA: MEDIAN (INTERVAL)\tB: MEDIAN (INTERVAL)\tWHAT IT SHOWS")
		for _, c := range rows {
			fmt.Fprintf(w, "%s\t%.4g (%.4g to %.4g)\t%.4g (%.4g to %.4g)\t%s\n", c.Expected, c.A.Median, c.A.Low, c.A.High, c.B.Median, c.B.Low, c.B.High, c.Says)
		}
	})
}

func (a *app) reportOpenCmd() *cobra.Command {
	return &cobra.Command{
		Use: "open FOLDER", Short: "Open a report in a browser, or say where it lies",
		Example: "  zdl report open reports/pod-deleted-20260102-150405",
		Args:    args(cobra.ExactArgs(1), "zdl report open reports/NAME"),
		RunE: func(cmd *cobra.Command, words []string) error {
			path, err := filepath.Abs(filepath.Join(words[0], "report.html"))
			if err == nil {
				_, err = os.Stat(path)
			}
			if err != nil {
				return fmt.Errorf("no report there: %w; zdl report lists them", err)
			}
			fmt.Fprintln(a.stdout, "file://"+path)
			a.browse(cmd.Context(), "file://"+path)
			return nil
		},
	}
}

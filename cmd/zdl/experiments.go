package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"zdl/experiments"
	"zdl/internal/experiment"
	"zdl/internal/load"
)

func (a *app) experimentsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "experiments [NAME]",
		Short:   "List the library of chaos experiments, or show one",
		Example: "  zdl experiments\n  zdl experiments worker-power-cut > mine.yaml\n  zdl experiments schema > experiment.schema.json",
		Args:    args(cobra.MaximumNArgs(1), "zdl experiments"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, words []string) error {
		if len(words) == 1 {
			data, err := experiments.File(words[0])
			if err != nil {
				return &usageError{fmt.Sprintf("there is no experiment %q", words[0]), "zdl experiments"}
			}
			_, err = a.stdout.Write(data)
			return err
		}
		var all []*experiment.Experiment
		for _, name := range experiments.Names() {
			e, err := readExperiment(name)
			if err != nil {
				return err
			}
			all = append(all, e)
		}
		if *output == "json" {
			return a.printJSON(all)
		}
		return a.table(func(w io.Writer) {
			fmt.Fprintln(w, "NAME\tWHAT HAPPENS\tCOVERS")
			for _, e := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\n", e.Name, e.Title, strings.Join(e.Covers, ", "))
			}
		})
	}
	cmd.AddCommand(a.schemaCmd())
	return cmd
}

func (a *app) schemaCmd() *cobra.Command {
	var ofLoad bool
	cmd := &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of experiments' files, for editors and checks",
		Example: "  zdl experiments schema > experiment.schema.json\n  zdl experiments schema --load > load.schema.json",
		Args:    args(cobra.NoArgs, "zdl experiments schema"),
		RunE: func(*cobra.Command, []string) error {
			if ofLoad {
				return a.printJSON(load.Schema())
			}
			return a.printJSON(experiment.Schema())
		},
	}
	cmd.Flags().BoolVar(&ofLoad, "load", false, "that of load files instead")
	return cmd
}

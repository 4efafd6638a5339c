package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"zdl/internal/fault"
)

func (a *app) faultsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "faults [KIND]",
		Short: "List the kinds of faults, or all about one",
		Long: `Lists what can be broken, layer by layer. With a KIND it says everything about
that one: its parameters with units and ranges, what a target looks like, and
what will be seen.`,
		Example: `  zdl faults
  zdl faults pod-network-delay
  zdl faults -o json | jq -r '.[] | select(.unavailable) | .name + ": " + .unavailable'`,
		Args:              args(cobra.MaximumNArgs(1), "zdl faults pod-kill"),
		ValidArgsFunction: a.completeKinds,
	}
	format := cmd.Flags().StringP("output", "o", "text", "output format: text, json, yaml or markdown")
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		switch *format {
		case "text", "json", "yaml", "markdown":
		default:
			return &usageError{fmt.Sprintf("output format %q: must be text, json, yaml or markdown", *format), "zdl faults -o json"}
		}
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		path := "/api/v1/faults"
		if len(words) == 1 {
			path += "/" + words[0]
			var kind fault.Kind
			if err := client.Do(cmd.Context(), http.MethodGet, path, nil, &kind); err != nil {
				return err
			}
			if *format == "text" {
				return a.printKind(&kind)
			}
			return a.printAs(kind, *format, []fault.Kind{kind})
		}
		var kinds []fault.Kind
		if err := client.Do(cmd.Context(), http.MethodGet, path, nil, &kinds); err != nil {
			return err
		}
		if *format == "text" {
			return a.printKinds(kinds)
		}
		return a.printAs(kinds, *format, kinds)
	}
	return cmd
}

// printAs writes v for programs, or the kinds as tables for a document.
func (a *app) printAs(v any, format string, kinds []fault.Kind) error {
	switch format {
	case "yaml":
		text, err := yaml.Marshal(v)
		if err == nil {
			_, err = a.stdout.Write(text)
		}
		return err
	case "markdown":
		_, err := io.WriteString(a.stdout, fault.Markdown(kinds))
		return err
	}
	return a.printJSON(v)
}

func (a *app) printKinds(kinds []fault.Kind) error {
	missing := 0
	for _, layer := range fault.Layers() {
		var of []fault.Kind
		for _, k := range kinds {
			if k.Layer == layer {
				of = append(of, k)
			}
		}
		if len(of) == 0 {
			continue
		}
		fmt.Fprintln(a.stdout, paint(a.stdout, bold, strings.ToUpper(string(layer))))
		err := a.table(func(w io.Writer) {
			for _, k := range of {
				target, summary := k.Targets, k.Summary
				if target == "" {
					target = "-"
				}
				if k.Unavailable != "" {
					missing++
					summary = "not available here: " + k.Unavailable
				}
				fmt.Fprintf(w, "  %s\t%s\t%s\n", k.Name, target, summary)
			}
		})
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(a.stdout, "\n%s", plural(len(kinds), "kind"))
	if missing > 0 {
		fmt.Fprintf(a.stdout, ", %d of them not available here", missing)
	}
	fmt.Fprintln(a.stdout, ". All about one: zdl faults KIND")
	return nil
}

// printKind says everything about one kind.
func (a *app) printKind(k *fault.Kind) error {
	fmt.Fprintf(a.stdout, "%s (%s)\n\n%s\n", paint(a.stdout, bold, k.Name), k.Layer, k.Summary)
	if k.Unavailable != "" {
		fmt.Fprintf(a.stdout, "\n%s\n", paint(a.stdout, yellow, "Not available here: "+k.Unavailable))
	}
	err := a.table(func(w io.Writer) {
		fmt.Fprintln(w)
		fmt.Fprintf(w, "effect\t%s\n", k.Effect)
		if k.Targets == "" {
			fmt.Fprintf(w, "target\tnone: it finds what to strike by itself\n")
		} else {
			fmt.Fprintf(w, "target\t%s: %s\n", k.Targets, k.TargetHelp)
			if k.DefaultTarget != "" {
				fmt.Fprintf(w, "\twithout one: %s\n", k.DefaultTarget)
			}
		}
		if k.Instant {
			fmt.Fprintf(w, "lasts\tan instant; the cluster mends it itself, so there is nothing to undo and no --for\n")
		} else {
			fmt.Fprintf(w, "lasts\tuntil zdl heal, or for the time given with --for\n")
		}
		for _, n := range k.Needs {
			fmt.Fprintf(w, "needs\t%s\n", n)
		}
	})
	if err != nil {
		return err
	}
	if len(k.Params) > 0 {
		fmt.Fprintln(a.stdout)
		err = a.table(func(w io.Writer) {
			fmt.Fprintln(w, "PARAMETER\tDEFAULT\tALLOWED\tMEANING")
			for _, p := range k.Params {
				def := p.Default
				switch {
				case p.Required:
					def = "must be given"
				case def == "":
					def = "-"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Name, def, p.Range(), p.Help)
			}
		})
	}
	fmt.Fprintf(a.stdout, "\nexample   %s\n", k.Example())
	return err
}

package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/fault"
)

func (a *app) attacksCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "attacks",
		Short: "List the faults that are active",
		Example: `  zdl attacks
  zdl attacks --all      those that are over, too
  zdl attacks --all -o json | jq '.[] | select(.residue != [])'`,
		Args: args(cobra.NoArgs, "zdl attacks"),
	}
	output := outputFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also those that are over, as far as they are remembered")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		shown := []fault.Attack{}
		if all {
			err = client.Do(cmd.Context(), http.MethodGet, "/api/v1/attacks", nil, &shown)
		} else {
			shown, err = activeAttacks(cmd.Context(), client)
		}
		if err != nil {
			return err
		}
		if *output == "json" {
			return a.printJSON(shown)
		}
		return a.printAttacks(shown, all)
	}
	return cmd
}

func (a *app) printAttacks(shown []fault.Attack, all bool) error {
	if len(shown) == 0 {
		if all {
			fmt.Fprintln(a.stderr, "No attack was made yet. Try: zdl attack pod-kill any")
		} else {
			fmt.Fprintln(a.stderr, "Nothing is broken. zdl attacks --all lists those that are over.")
		}
		return nil
	}
	err := a.table(func(w io.Writer) {
		fmt.Fprintln(w, "ID\tKIND\tTARGET\tSTATE\tBEGAN\tPROVEN\tBY")
		for i := range shown {
			x := &shown[i]
			proven := "-"
			if x.VerifyMS > 0 {
				proven = milliseconds(x.VerifyMS)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.ID, x.Kind, targets(x.Targets), stateWord(x), x.Asked.Local().Format("15:04:05"), proven, x.By)
		}
	})
	for i := range shown {
		x := &shown[i]
		if x.Error != "" {
			fmt.Fprintf(a.stdout, "%s  %s\n", x.ID, paint(a.stdout, yellow, x.Error))
		}
		for _, line := range x.Residue {
			fmt.Fprintf(a.stdout, "%s  %s\n", x.ID, paint(a.stdout, red, "left behind: "+line))
		}
	}
	return err
}

// stateWord says how far an attack has come, and for how long it lasts.
func stateWord(x *fault.Attack) string {
	switch x.State {
	case fault.Intended, fault.Injected:
		return "being injected"
	case fault.Active:
		if x.Until.IsZero() {
			return "active until healed"
		}
		return fmt.Sprintf("active for %s more", seconds(max(0, time.Until(x.Until))))
	case fault.Undoing:
		return "being undone"
	}
	return string(x.State)
}

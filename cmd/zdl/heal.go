package main

import (
	"context"
	"fmt"
	"net/http"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"zdl/internal/fault"
	"zdl/internal/lab"
)

func (a *app) healCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "heal [ID...]",
		Short: "Undo faults and compare with what was before",
		Long: `Undoes faults, compares everything they may have touched with what it was before,
and prints the difference, which should be none. Without an ID it heals the one
fault that is active.`,
		Example: `  zdl heal            the only one that is active
  zdl heal f12
  zdl heal --all`,
		Args: args(cobra.ArbitraryArgs, "zdl heal --all"),
	}
	output := outputFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "everything that is active, the latest first")
	cmd.ValidArgsFunction = a.completeActive
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		if all && len(ids) > 0 {
			return &usageError{"either names of attacks or --all", "zdl heal --all"}
		}
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		healed, err := heal(cmd.Context(), client, ids, all)
		if *output == "json" {
			if printErr := a.printJSON(healed); printErr != nil {
				return printErr
			}
			return err
		}
		if len(healed) == 0 && err == nil {
			fmt.Fprintln(a.stderr, "Nothing is broken, so there is nothing to heal.")
		}
		for i := range healed {
			a.printEnd(&healed[i])
			if err == nil {
				err = problem(&healed[i])
			}
		}
		return err
	}
	return cmd
}

// heal undoes the attacks named, all, or the only one.
func heal(ctx context.Context, client *lab.Client, ids []string, all bool) ([]fault.Attack, error) {
	healed := []fault.Attack{}
	if all {
		err := client.Do(ctx, http.MethodPost, "/api/v1/heal", struct{}{}, &healed)
		return healed, err
	}
	if len(ids) == 0 {
		active, err := activeAttacks(ctx, client)
		if err != nil || len(active) == 0 {
			return healed, err
		}
		for _, x := range active {
			ids = append(ids, x.ID)
		}
		if len(ids) > 1 {
			return healed, &usageError{"several faults are active: " + strings.Join(ids, ", "), "zdl heal " + ids[0] + ", or zdl heal --all"}
		}
	}
	for _, id := range ids {
		var x fault.Attack
		if err := client.Do(ctx, http.MethodPost, "/api/v1/attacks/"+id+"/heal", struct{}{}, &x); err != nil {
			return healed, err
		}
		healed = append(healed, x)
	}
	return healed, nil
}

// activeAttacks lists what is not over, the latest first.
func activeAttacks(ctx context.Context, client *lab.Client) ([]fault.Attack, error) {
	var every []fault.Attack
	if err := client.Do(ctx, http.MethodGet, "/api/v1/attacks", nil, &every); err != nil {
		return nil, err
	}
	active := []fault.Attack{}
	for _, x := range every {
		if !x.State.Over() {
			active = append(active, x)
		}
	}
	sort.Slice(active, func(i, j int) bool { return active[i].Number > active[j].Number })
	return active, nil
}

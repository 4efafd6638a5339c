package main

import (
	"github.com/spf13/cobra"

	"zdl/internal/lab"
)

// daemonCmd is what `zdl up` leaves behind; people have no need to call it.
func (a *app) daemonCmd() *cobra.Command {
	var listen lab.Listen
	cmd := &cobra.Command{
		Use:    "daemon",
		Short:  "Watch over a lab (zdl up starts this)",
		Hidden: true,
		Args:   args(cobra.NoArgs, "zdl up"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return lab.RunDaemon(cmd.Context(), a.dirs, a.name, listen)
		},
	}
	listenFlags(cmd, &listen)
	return cmd
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
)

func (a *app) openCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "open",
		Short:   "Open the lab's page in a browser",
		Long:    `Prints the address of the lab's page and, on a desktop, opens it in the browser.`,
		Example: "  zdl open\n  ssh -L 8420:127.0.0.1:8420 HOST   and then http://127.0.0.1:8420 over there",
		Args:    args(cobra.NoArgs, "zdl open"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.connect(cmd)
			if err != nil {
				return err
			}
			i, err := info(cmd.Context(), client)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, i.Page)
			a.browse(cmd.Context(), i.Page)
			return nil
		},
	}
	return cmd
}

// browse opens an address in the browser of a desktop, if there is one.
func (a *app) browse(ctx context.Context, address string) {
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return
	}
	opener, err := exec.LookPath("xdg-open")
	if err != nil {
		return // the address is printed, that is all we can do
	}
	if err := exec.CommandContext(ctx, opener, address).Run(); err != nil {
		fmt.Fprintf(a.stderr, "no browser could be opened (%v): open the address above yourself\n", err)
	}
}

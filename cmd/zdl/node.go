package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/cluster"
	"zdl/internal/lab"
	"zdl/internal/web"
)

func (a *app) nodeCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "List the nodes, cut their power, restore it",
		Example: `  zdl node list
  zdl node power-off worker-1
  zdl node power-on worker-1`,
		RunE: subcommandOnly,
	}
	cmd.AddCommand(a.nodeListCmd(), a.powerCmd(false), a.powerCmd(true))
	return cmd
}

func (a *app) nodeListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the nodes, by zone",
		Example: "  zdl node list\n  zdl node list -o json | jq -r '.[] | select(.ready | not) | .name'",
		Args:    args(cobra.NoArgs, "zdl node list"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		var s cluster.Snapshot
		if err := client.Do(cmd.Context(), http.MethodGet, "/api/v1/snapshot", nil, &s); err != nil {
			return err
		}
		if *output == "json" {
			nodes := s.Nodes()
			if nodes == nil {
				nodes = []cluster.Node{}
			}
			return a.printJSON(nodes)
		}
		return a.printNodes(s.Zones)
	}
	return cmd
}

// powerCmd is power-on or power-off.
func (a *app) powerCmd(on bool) *cobra.Command {
	verb, short, long := "power-off", "Cut the power of nodes",
		`Cuts the power of nodes: link first, then every process at once, as if somebody
had pulled the plug. Nothing on the node can say goodbye; its disk stays. It is the
fault node-power-off: zdl attacks lists it, and power-on heals it.`
	if on {
		verb, short, long = "power-on", "Restore the power of nodes",
			`Starts nodes again, with the identity, the address and the disk they had.`
	}
	cmd := &cobra.Command{
		Use:               verb + " NODE...",
		Short:             short,
		Long:              long,
		Example:           fmt.Sprintf("  zdl node %s worker-1\n  zdl node %s cp-1 worker-1", verb, verb),
		Args:              args(cobra.MinimumNArgs(1), "zdl node "+verb+" worker-1"),
		ValidArgsFunction: a.completeNodes,
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, nodes []string) error {
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		replies, err := power(cmd.Context(), client, nodes, on)
		if *output == "json" {
			return errors.Join(a.printJSON(replies), err)
		}
		for _, r := range replies {
			if on {
				fmt.Fprintf(a.stdout, "%s is powered on and boots\n", r.Node)
			} else if r.TookMS == 0 {
				fmt.Fprintf(a.stdout, "%s is off already (%s)\n", r.Node, r.Attack)
			} else {
				fmt.Fprintf(a.stdout, "%s is off: all its processes were gone after %s\n", r.Node, milliseconds(r.TookMS))
			}
		}
		return err
	}
	return cmd
}

// power switches several nodes at the same time.
func power(ctx context.Context, client *lab.Client, nodes []string, on bool) ([]web.PowerReply, error) {
	replies, errs := make([]web.PowerReply, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			errs[i] = client.Do(ctx, http.MethodPost, "/api/v1/nodes/"+node+"/power", web.PowerRequest{On: &on}, &replies[i])
		})
	}
	wg.Wait()
	done := []web.PowerReply{}
	for i := range nodes {
		if errs[i] == nil {
			done = append(done, replies[i])
		}
	}
	return done, errors.Join(errs...)
}

// completeNodes lets shells complete the names of nodes.
func (a *app) completeNodes(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	client, err := a.connect(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	var s cluster.Snapshot
	if client.Do(ctx, http.MethodGet, "/api/v1/snapshot", nil, &s) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, n := range s.Nodes() {
		names = append(names, n.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

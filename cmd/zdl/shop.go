package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/cluster"
	"zdl/internal/lab"
	"zdl/internal/web"
)

func (a *app) shopCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shop",
		Short: "Install a shop of eight services and five data stores, look at it, remove it",
		Long: `A shop of eight services (web, catalogue, cart, user, shipping, ratings, payment,
dispatch) on five data stores (FerretDB, Redis, MariaDB, RabbitMQ, PostgreSQL with
automatic failover). It is not part of a lab's boot. It is made for labs of the
profile shop, which have nodes reserved for databases, and fits smaller ones too.
It is installed by a Helm chart, deploy/shop/chart in the sources.`,
		Example: `  zdl up --profile shop
  zdl shop up
  zdl shop status
  zdl shop up --routing allToWeb       from now on the ingress leads everything to web
  zdl shop down`,
		RunE: subcommandOnly,
	}
	cmd.AddCommand(a.shopUpCmd(), a.shopDownCmd(), a.shopStatusCmd())
	return cmd
}

func (a *app) shopUpCmd() *cobra.Command {
	var routing string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Install the shop, or change how users are led to it, and wait until it would accept an order",
		Long: `Installs the shop, or completes one, and returns when every service and store has
all its replicas and users are shown goods. Doing it again changes nothing.

With --routing perService the ingress leads each path to the service that answers
it. With --routing allToWeb it leads everything to web, which passes it on: then
autoscalers and figures see web only.`,
		Example: "  zdl shop up\n  zdl shop up --routing allToWeb\n  zdl shop up -o json | jq -r .address",
		Args:    args(cobra.NoArgs, "zdl shop up"),
	}
	output := outputFlag(cmd)
	cmd.Flags().StringVar(&routing, "routing", "", "perService or allToWeb (default: as it is; at first perService)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		on, began := true, time.Now()
		follow, stop := context.WithCancel(cmd.Context())
		var told sync.WaitGroup
		told.Go(func() { a.tellShop(follow, cmd) })
		status, err := a.setShop(cmd, web.ShopRequest{On: &on, Routing: routing})
		stop()
		told.Wait()
		if err != nil {
			return err
		}
		if *output == "json" {
			return a.printJSON(status)
		}
		fmt.Fprintf(a.stderr, "the shop is ready after %s\n", seconds(time.Since(began)))
		return a.printShop(status)
	}
	return cmd
}

// tellShop says what the shop is waiting for, whenever that changes, until ctx ends.
func (a *app) tellShop(ctx context.Context, cmd *cobra.Command) {
	client, err := a.connect(cmd)
	if err != nil {
		return // whoever asks for the shop says so
	}
	began, last := time.Now(), ""
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var s cluster.Shop
		if client.Do(ctx, http.MethodGet, "/api/v1/shop", nil, &s) != nil || s.Trouble == last {
			continue
		}
		if last = s.Trouble; last != "" {
			fmt.Fprintf(a.stderr, "%s  %s\n", seconds(time.Since(began)), last)
		}
	}
}

func (a *app) shopDownCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "down",
		Short:   "Remove the shop and everything in it",
		Example: "  zdl shop down",
		Args:    args(cobra.NoArgs, "zdl shop down"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		off := false
		status, err := a.setShop(cmd, web.ShopRequest{On: &off})
		if err != nil {
			return err
		}
		if *output == "json" {
			return a.printJSON(status)
		}
		fmt.Fprintln(a.stderr, "the shop is gone")
		return nil
	}
	return cmd
}

func (a *app) setShop(cmd *cobra.Command, in web.ShopRequest) (out cluster.Shop, err error) {
	var client *lab.Client
	if client, err = a.connect(cmd); err == nil {
		err = client.Do(cmd.Context(), http.MethodPost, "/api/v1/shop", in, &out)
	}
	return out, err
}

func (a *app) shopStatusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say which services and stores are ready, and where they are",
		Example: "  zdl shop status\n  zdl shop status -o json | jq '.parts[] | select(.store)'",
		Args:    args(cobra.NoArgs, "zdl shop status"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		var status cluster.Shop
		if err := client.Do(cmd.Context(), http.MethodGet, "/api/v1/shop", nil, &status); err != nil {
			return err
		}
		if *output == "json" {
			return a.printJSON(status)
		}
		return a.printShop(status)
	}
	return cmd
}

func (a *app) printShop(s cluster.Shop) error {
	switch {
	case !s.Available:
		fmt.Fprintln(a.stdout, "This lab cannot have a shop: "+s.Why)
		return nil
	case s.Trouble != "":
		fmt.Fprintln(a.stdout, paint(a.stdout, red, "not ready: "+s.Trouble))
	case !s.Installed:
		fmt.Fprintln(a.stdout, "There is no shop; install one: zdl shop up")
		return nil
	default:
		fmt.Fprintf(a.stdout, "ready, revision %d\n", s.Revision)
	}
	if !s.Installed {
		return nil
	}
	fmt.Fprintf(a.stdout, "users    http://%s at %s\n", strings.Join(s.Hosts, ", http://"), s.Address)
	fmt.Fprintf(a.stdout, "routing  %s\n\n", s.Routing)
	return a.table(func(w io.Writer) {
		fmt.Fprintln(w, "NAME\tKIND\tREADY\tIMAGE\tNODES")
		for _, p := range s.Parts {
			kind := "service"
			if p.Store {
				kind = "store"
			}
			fmt.Fprintf(w, "%s\t%s\t%d/%d\t%s\t%s\n", p.Name, kind, p.Ready, p.Replicas, p.Image, strings.Join(p.Nodes, ", "))
		}
	})
}

package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/cluster"
	"zdl/internal/database"
	"zdl/internal/lab"
	"zdl/internal/web"
)

func (a *app) databaseCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "database",
		Short: "Install a PostgreSQL with automatic failover, look at it, remove it",
		Long: `A PostgreSQL of three members, one of which takes writes, with automatic
failover by Patroni. It is not part of a lab's boot. Users reach the member that
leads at port 5432 of the users' virtual IP. To see what becomes of writes while
it is attacked: zdl probe --subject database.`,
		Example: `  zdl database up
  zdl database status
  zdl probe --subject database --for 1m &
  zdl attack database-primary-kill
  zdl database up --synchronous        from now on a commit waits for a second member
  zdl database down`,
		RunE: subcommandOnly,
	}
	cmd.AddCommand(a.databaseUpCmd(), a.databaseDownCmd(), a.databaseStatusCmd())
	return cmd
}

func (a *app) databaseUpCmd() *cobra.Command {
	var synchronous bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Install the database, or change how it replicates, and wait until it is ready",
		Long: `Installs three members on nodes of different zones where there are some, and
returns when users can write and every member follows.

Without --synchronous the primary confirms a commit when it has it on its own
disk: what it confirmed in its last moments may be lost when it dies. With it a
commit is confirmed when a second member has it too, and nothing confirmed is lost
to the failure of one member; each commit takes a little longer.`,
		Example: "  zdl database up\n  zdl database up --synchronous\n  zdl database up --synchronous=false",
		Args:    args(cobra.NoArgs, "zdl database up"),
	}
	output := outputFlag(cmd)
	cmd.Flags().BoolVar(&synchronous, "synchronous", false, "a commit waits for a second member (default: as it is; at first false)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		on := true
		in := web.DatabaseRequest{On: &on}
		if cmd.Flags().Changed("synchronous") {
			in.Synchronous = &synchronous
		}
		began := time.Now()
		status, err := a.setDatabase(cmd, in)
		if err != nil {
			return err
		}
		if *output == "json" {
			return a.printJSON(status)
		}
		fmt.Fprintf(a.stderr, "the database is ready after %s\n", seconds(time.Since(began)))
		return a.printDatabase(status)
	}
	return cmd
}

func (a *app) databaseDownCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "down",
		Short:   "Remove the database and everything in it",
		Example: "  zdl database down",
		Args:    args(cobra.NoArgs, "zdl database down"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		off := false
		status, err := a.setDatabase(cmd, web.DatabaseRequest{On: &off})
		if err != nil {
			return err
		}
		if *output == "json" {
			return a.printJSON(status)
		}
		fmt.Fprintln(a.stderr, "the database is gone")
		return nil
	}
	return cmd
}

func (a *app) setDatabase(cmd *cobra.Command, in web.DatabaseRequest) (out cluster.Database, err error) {
	var client *lab.Client
	if client, err = a.connect(cmd); err == nil {
		err = client.Do(cmd.Context(), http.MethodPost, "/api/v1/database", in, &out)
	}
	return out, err
}

func (a *app) databaseStatusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say which member leads, which follow and how far behind they are",
		Example: "  zdl database status\n  zdl database status -o json | jq -r .primary",
		Args:    args(cobra.NoArgs, "zdl database status"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		var status cluster.Database
		if err := client.Do(cmd.Context(), http.MethodGet, "/api/v1/database", nil, &status); err != nil {
			return err
		}
		if *output == "json" {
			return a.printJSON(status)
		}
		return a.printDatabase(status)
	}
	return cmd
}

func (a *app) printDatabase(s cluster.Database) error {
	switch {
	case !s.Available:
		fmt.Fprintln(a.stdout, "This lab cannot have a database: "+s.Why)
		return nil
	case !s.Installed:
		fmt.Fprintln(a.stdout, "There is no database; install one: zdl database up")
		return nil
	case s.Ready:
		fmt.Fprintf(a.stdout, "%s leads on timeline %d, %d follow\n", s.Primary, s.Timeline, len(s.Members)-1)
	default:
		fmt.Fprintln(a.stdout, paint(a.stdout, red, "not ready: "+s.Trouble))
	}
	replication := "asynchronous: what is confirmed in a primary's last moments may be lost"
	if s.Synchronous {
		replication = "synchronous: a commit waits for a second member"
	}
	fmt.Fprintf(a.stdout, "replication  %s\n", replication)
	fmt.Fprintf(a.stdout, "failover     a primary that is silent for %d s is replaced (ttl %d, loop_wait %d, retry_timeout %d s)\n", s.TTL, s.TTL, s.LoopWait, s.RetryTimeout)
	fmt.Fprintf(a.stdout, "users        postgres://%s@%s/%s from outside and from nodes\n", s.User, s.Address, s.Name)
	fmt.Fprintf(a.stdout, "password     zdl kubectl -n %s get secret %s -o go-template='{{.data.app | base64decode}}'\n\n", database.Namespace, database.App)
	return a.table(func(w io.Writer) {
		fmt.Fprintln(w, "MEMBER\tNODE\tZONE\tROLE\tSTATE\tTIMELINE\tBEHIND")
		for _, m := range s.Members {
			role, behind := m.Role, fmt.Sprintf("%d B", m.LagBytes)
			if m.Sync {
				role += " (synchronous)"
			}
			if m.Pod == s.Primary {
				behind = "-"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", m.Pod, m.Node, m.Zone, role, m.State, m.Timeline, behind)
		}
	})
}

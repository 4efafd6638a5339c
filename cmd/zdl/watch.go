package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/lab"
	"zdl/internal/timeline"
	"zdl/internal/web"
)

func (a *app) watchCmd() *cobra.Command {
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show live what the users of the service see",
		Long: `Shows the answers that a prober outside the cluster gets, at least 100 a second,
the outages they add up to, and what happens to the cluster meanwhile. Each block
of the strip is half a second: green all served, yellow some slow, red some
failed. Written to a file or a pipe it is one line a second.`,
		Example: `  zdl watch
  zdl watch --for 30s -o json | jq -c 'select(.failed > 0)'`,
		Args: args(cobra.NoArgs, "zdl watch"),
	}
	output := outputFlag(cmd)
	cmd.Flags().DurationVar(&limit, "for", 0, "end after this time; 0: go on until interrupted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := a.connect(cmd); err != nil {
			return err
		}
		ctx := cmd.Context()
		if limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		v := a.newView(*output == "json")
		defer v.screen.erase()
		return a.watch(ctx, v)
	}
	return cmd
}

// retryEvery is how often a daemon that is gone is looked for.
const retryEvery = time.Second

// watch follows the event stream, also across daemons, until ctx ends or the
// lab is gone.
func (a *app) watch(ctx context.Context, v *view) error {
	for {
		client, err := lab.Connect(a.dirs, a.name)
		if err == nil {
			err = client.Stream(ctx, "/api/v1/events", func(event string, data []byte) error { return v.event(event, data) })
		}
		switch {
		case ctx.Err() != nil:
			return nil // that is how a watch ends
		case errors.Is(err, lab.ErrNoLab):
			return err
		}
		v.lost(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryEvery):
		}
	}
}

// event takes one event of the daemon.
func (v *view) event(event string, data []byte) error {
	switch event {
	case "probe":
		var p web.ProbeEvent
		if err := json.Unmarshal(data, &p); err != nil {
			return fmt.Errorf("read a probe event: %w", err)
		}
		v.probe(&p)
	case "timeline":
		var entries []timeline.Entry
		if err := json.Unmarshal(data, &entries); err != nil {
			return fmt.Errorf("read a timeline event: %w", err)
		}
		v.timeline(entries)
	}
	return nil
}

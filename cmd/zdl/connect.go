package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"zdl/internal/lab"
)

// needRoot is for verbs that touch the lab.
func (a *app) needRoot(cmd *cobra.Command) error {
	if a.euid == nil {
		a.euid = os.Geteuid
	}
	if a.euid() == 0 {
		return nil
	}
	return fmt.Errorf("%s needs root; run it again with: sudo %s", cmd.CommandPath(), strings.Join(append([]string{"zdl"}, os.Args[1:]...), " "))
}

// connect finds the daemon of the chosen lab.
func (a *app) connect(cmd *cobra.Command) (*lab.Client, error) {
	if err := a.needRoot(cmd); err != nil {
		return nil, err
	}
	return lab.Connect(a.dirs, a.name)
}

// errBooting says that a lab has not told yet where it can be reached.
var errBooting = errors.New("the lab is still booting; zdl up shows how far it is")

// info asks a daemon where its lab can be reached.
func info(ctx context.Context, c *lab.Client) (*lab.Info, error) {
	var i *lab.Info
	err := c.Stream(ctx, "/api/v1/boot", func(event string, data []byte) error {
		switch event {
		case "done":
			return json.Unmarshal(data, &i)
		case "failed":
			var text string
			_ = json.Unmarshal(data, &text) // a daemon says nothing else here
			return fmt.Errorf("the lab's boot failed: %s", text)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if i == nil {
		return nil, errBooting
	}
	return i, nil
}

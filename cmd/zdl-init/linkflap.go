package main

import (
	"context"
	"encoding/json"

	"zdl/internal/cluster/local/fabric"
)

// linkflap pulls a cable at a switch and connects it, again and again.
func linkflap(netns string) int {
	return help(func(ctx context.Context, config []byte, ready func()) error {
		var f fabric.Flap
		if err := json.Unmarshal(config, &f); err != nil {
			return err
		}
		ready()
		return f.Run(ctx, netns)
	})
}

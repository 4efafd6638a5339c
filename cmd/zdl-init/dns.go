package main

import (
	"context"
	"encoding/json"

	"zdl/internal/dnsfault"
)

// dns is a name server that lies, in the network namespace of a pod.
func dns(netns string) int {
	return helpIn("dns", netns, func(ctx context.Context, config []byte, ready func()) error {
		var c dnsfault.Config
		if err := json.Unmarshal(config, &c); err != nil {
			return err
		}
		return dnsfault.Run(ctx, c, ready)
	})
}

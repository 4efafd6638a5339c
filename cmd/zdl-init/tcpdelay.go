package main

import (
	"context"
	"encoding/json"

	"zdl/internal/tcpfault"
)

// tcpdelay passes the connections of a machine to one of its own ports on, late.
func tcpdelay(netns string) int {
	return helpIn("tcpdelay", netns, func(ctx context.Context, config []byte, ready func()) error {
		var c tcpfault.Config
		if err := json.Unmarshal(config, &c); err != nil {
			return err
		}
		return tcpfault.Run(ctx, c, ready)
	})
}

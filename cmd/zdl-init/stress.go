package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"zdl/internal/stress"
)

// stressKeeper is the helper that starts a stress in a control group and a PID
// namespace and ends it with its own input.
func stressKeeper() int {
	return help(func(ctx context.Context, config []byte, ready func()) error {
		return stress.Keep(ctx, config, ready, "stress-inside", "-")
	})
}

// stressInside is the stress itself.
func stressInside() int {
	runtime.UnlockOSThread()
	if err := stress.Run(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

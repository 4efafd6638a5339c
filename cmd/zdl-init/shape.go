package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"zdl/internal/shape"
)

// memoryLimit is far above what frames under way need (shape.Limit).
const memoryLimit = 512 << 20

// shapeLinks shapes network interfaces until standard input ends. It returns the
// exit code; whatever it is, the interfaces work as before once the process is gone.
func shapeLinks() int {
	// The relay reuses its memory; a collector that stops it would delay frames.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)
	if err := shape.Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

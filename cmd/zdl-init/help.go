package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
)

// help runs a helper of a fault: it gets the first line of standard input, says
// "ready" when the fault is in place, and its context ends with the input. So it
// goes when the daemon that needs it does, however that dies.
func help(run func(ctx context.Context, config []byte, ready func()) error) int {
	runtime.UnlockOSThread() // init locked it for those that change namespaces here
	in := bufio.NewReader(os.Stdin)
	config, err := in.ReadBytes('\n')
	if err != nil {
		fmt.Fprintln(os.Stderr, "no configuration:", err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	if err := run(ctx, config, func() { fmt.Println("ready") }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

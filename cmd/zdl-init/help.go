package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
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

// arrived stands for the namespace where a helper is once it is there.
const arrived = "."

// helpIn is help for what has to live in another network namespace: there this
// program starts again, so that all its threads are in it.
func helpIn(verb, netns string, run func(ctx context.Context, config []byte, ready func()) error) int {
	if netns == arrived {
		return help(run)
	}
	fd, err := unix.Open(netns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Setns(fd, unix.CLONE_NEWNET)
	}
	if err == nil {
		err = unix.Exec("/proc/self/exe", []string{"zdl-init", verb, arrived}, os.Environ())
	}
	fmt.Fprintf(os.Stderr, "enter %s: %v\n", netns, err)
	return 1
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"zdl/internal/lab"
)

func (a *app) shellCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shell NODE [-- CMD ARGS]",
		Short: "Open a shell on a machine of the lab",
		Long: `Opens a shell, or runs a command, inside a machine: a node (cp-1, worker-1), a
load balancer (lb-1), a router (router-1) or "outside", where the users are. It
needs neither the API server nor the lab's daemon. Its exit code is the
command's.`,
		Example: `  zdl shell worker-1
  zdl shell cp-1 -- crictl ps
  zdl shell outside -- ping -c 3 198.18.0.100`,
		Args: args(cobra.MinimumNArgs(1), "zdl shell worker-1"),
	}
	cmd.Flags().SetInterspersed(false)
	cmd.ValidArgsFunction = a.completeNodes
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.needRoot(cmd); err != nil {
			return err
		}
		argv := args[1:]
		if len(argv) > 0 && argv[0] == "--" {
			argv = argv[1:]
		}
		// Ctrl-C belongs to what runs inside, so it must not end the context.
		child, err := lab.OpenShell(context.WithoutCancel(cmd.Context()), a.dirs, a.name, args[0], argv)
		if err != nil {
			return err
		}
		child.Stdin, child.Stdout, child.Stderr = a.stdin, a.stdout, a.stderr
		return runChild(child)
	}
	return cmd
}

// runChild runs a command in the foreground: it gets the terminal's signals
// itself, others are passed on, and its exit code becomes ours.
func runChild(child *exec.Cmd) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := child.Start(); err != nil {
		return fmt.Errorf("start %s: %w", child.Path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = child.Process.Signal(s) // it may have ended just now
		case err := <-ended:
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				return err
			}
			status, ok := exit.Sys().(syscall.WaitStatus)
			if ok && status.Signaled() {
				return &exitError{128 + int(status.Signal())}
			}
			return &exitError{exit.ExitCode()}
		}
	}
}

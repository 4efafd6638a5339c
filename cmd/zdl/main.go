// Command zdl runs Zero Downtime Lab: a highly available Kubernetes on one
// Linux machine, and a service in it that anyone can bring down.
//
// Every verb has a file of its own, which only parses flags, calls a package
// below internal and prints. People read standard error and tables; scripts
// read standard output with -o json.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"zdl/internal/lab"
)

// Exit codes. kubectl and shell pass on the code of what they ran.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, dirs: lab.DefaultDirs(), euid: os.Geteuid}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// app is what verbs share: where they print, and which lab they mean.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	dirs           lab.Dirs
	euid           func() int // who calls, 0 is root
	name           string     // --name
	args           []string   // the whole command line
}

// usageError is a mistake in how a verb was called; hint says what to try.
type usageError struct{ message, hint string }

func (e *usageError) Error() string { return e.message }

// exitError ends the program with a code and without a word: what ran has said
// what there is to say.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// run runs one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	a.args = args
	root := a.rootCmd()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	var exit *exitError
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage):
		fmt.Fprintf(a.stderr, "zdl: %s\n", usage.message)
		if usage.hint != "" {
			fmt.Fprintf(a.stderr, "try: %s\n", usage.hint)
		}
		return exitUsage
	case strings.HasPrefix(err.Error(), "unknown command"):
		// Cobra's own words, with a suggestion on further lines.
		fmt.Fprintf(a.stderr, "zdl: %s\ntry: zdl help\n", strings.TrimSpace(err.Error()))
		return exitUsage
	}
	fmt.Fprintf(a.stderr, "zdl: %v\n", err)
	return exitFailure
}

func (a *app) rootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "zdl",
		Short: "A highly available Kubernetes on one Linux machine, to be broken on purpose",
		Long: `Zero Downtime Lab runs a real, highly available Kubernetes cluster on one Linux
machine, with a service in it that anyone can try to bring down. When a part
breaks: what do the users see, why, and what would have prevented it?`,
		Example: `  zdl doctor                 what this machine lacks, and the command that mends it
  zdl up                     boot the default lab and say where to look
  zdl watch                  what the users of the service see, live
  zdl attack pod --random    really delete one of its pods
  zdl faults                 what else can be broken
  zdl heal --all             undo everything that is broken
  zdl down                   remove everything`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	name := os.Getenv("ZDL_NAME")
	if name == "" {
		name = lab.DefaultName
	}
	root.PersistentFlags().StringVar(&a.name, "name", name, "which lab, if there are several side by side (or ZDL_NAME)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err.Error(), cmd.CommandPath() + " --help"}
	})
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := lab.CheckName(a.name); err != nil {
			return &usageError{err.Error(), cmd.CommandPath() + " --name chaos"}
		}
		return nil
	}
	root.AddCommand(
		a.doctorCmd(), buildCmd(), a.upCmd(), a.downCmd(), a.statusCmd(),
		a.kubeconfigCmd(), a.kubectlCmd(), a.shellCmd(), a.nodeCmd(), imageCmd(),
		a.faultsCmd(), a.attackCmd(), a.healCmd(), a.attacksCmd(), a.loadCmd(), a.runCmd(), a.experimentsCmd(), a.reportCmd(), a.probeCmd(), a.databaseCmd(), a.shopCmd(), a.watchCmd(), a.timelineCmd(), a.openCmd(), a.ownerTokenCmd(), a.daemonCmd(), a.versionCmd(),
	)
	return root
}

// args wraps a check of arguments so that its complaint is a usage error.
func args(check cobra.PositionalArgs, hint string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{err.Error(), hint}
		}
		return nil
	}
}

// subcommandOnly is for verbs that only group others.
func subcommandOnly(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath()), cmd.CommandPath() + " --help"}
	}
	return cmd.Help()
}

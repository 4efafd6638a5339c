package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"zdl/internal/artifact"
	"zdl/internal/lab"
)

func (a *app) kubectlCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kubectl -- ARGS",
		Short: "Run kubectl on the lab",
		Long: `Runs the kubectl that was built with the lab, unmodified, with the lab's
kubeconfig. Its exit code is kubectl's.`,
		Example: `  zdl kubectl get nodes
  zdl kubectl -- -n kube-system get pods -o wide
  zdl kubectl --name second -- exec -it deploy/web -- sh`,
		Args: args(cobra.ArbitraryArgs, ""),
	}
	cmd.Flags().SetInterspersed(false) // what follows the first word is kubectl's
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &usageError{err.Error(), "put -- before kubectl's own flags: zdl kubectl -- -n kube-system get pods"}
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.needRoot(cmd); err != nil {
			return err
		}
		env, err := lab.KubectlEnv(a.dirs, a.name)
		if err != nil {
			return err
		}
		set, err := artifact.Open(a.dirs.Cache)
		if err != nil {
			return err
		}
		kubectl := filepath.Join(set.Bin, "kubectl")
		for _, v := range env {
			key, value, _ := strings.Cut(v, "=")
			os.Setenv(key, value)
		}
		// kubectl takes this process over: terminal, signals and exit code are
		// its own.
		err = unix.Exec(kubectl, append([]string{"kubectl"}, args...), os.Environ())
		return fmt.Errorf("run %s: %w", kubectl, err)
	}
	return cmd
}

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"zdl/internal/lab"
)

func (a *app) kubeconfigCmd() *cobra.Command {
	var path bool
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the kubeconfig of the lab's administrator",
		Long: `Prints a kubeconfig for any kubectl, helm or client library on this machine. Its
server is a port on 127.0.0.1 that leads to the API's virtual IP.`,
		Example: `  export KUBECONFIG=$(zdl kubeconfig --path)
  zdl kubeconfig > ~/.kube/zdl`,
		Args: args(cobra.NoArgs, "zdl kubeconfig --path"),
	}
	cmd.Flags().BoolVar(&path, "path", false, "print only where it is")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.needRoot(cmd); err != nil {
			return err
		}
		file, err := lab.Kubeconfig(a.dirs, a.name)
		if err != nil {
			return err
		}
		if path {
			_, err = fmt.Fprintln(a.stdout, file)
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(data)
		return err
	}
	return cmd
}

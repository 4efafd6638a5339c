package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app/cmd"
)

// newPhasesCommand is "kubeadm-phases": it reads a JSON array of kubeadm
// argument lists from standard input and runs them one after another in this
// one process, because starting kubeadm costs more than most of its phases.
//
//	echo '[["init","phase","certs","all","--config","/c.yaml"]]' | kubeadm-phases --rootfs DIR
//
// --rootfs changes the root once for all of them. A --rootfs inside one list
// works too, is relative to that root and ends with its list.
func newPhasesCommand() *cobra.Command {
	var rootfs string
	cmd := &cobra.Command{
		Use:           "kubeadm-phases [--rootfs DIR] < PHASES.json",
		Short:         "Run several kubeadm commands in one process",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var lists [][]string
			if err := json.NewDecoder(os.Stdin).Decode(&lists); err != nil {
				return fmt.Errorf("read the argument lists from standard input: %w", err)
			}
			if rootfs != "" {
				if err := changeRoot(rootfs); err != nil {
					return err
				}
			}
			return runPhases(lists)
		},
	}
	cmd.Flags().StringVar(&rootfs, "rootfs", "", "change to this root directory before the first list")
	return cmd
}

func runPhases(lists [][]string) error {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the root directory: %w", err)
	}
	defer unix.Close(root)
	for i, args := range lists {
		// kubeadm ends the process itself on some errors: name the list first.
		fmt.Printf("kubeadm-phases: %d of %d: kubeadm %s\n", i+1, len(lists), strings.Join(args, " "))
		phase := kubeadm.NewKubeadmCommand(os.Stdin, os.Stdout, os.Stderr)
		phase.SetArgs(args)
		if err := phase.Execute(); err != nil {
			return fmt.Errorf("kubeadm %s: %w", strings.Join(args, " "), err)
		}
		if err := unix.Fchdir(root); err != nil {
			return fmt.Errorf("return to the root directory: %w", err)
		}
		if err := unix.Chroot("."); err != nil {
			return fmt.Errorf("return to the root directory: %w", err)
		}
	}
	return nil
}

func changeRoot(dir string) error {
	if err := unix.Chroot(dir); err != nil {
		return fmt.Errorf("change root to %s: %w", dir, err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("change root to %s: %w", dir, err)
	}
	return nil
}

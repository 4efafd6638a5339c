package lab

import (
	"context"
	"errors"
	"os/exec"
)

var errPending = errors.New("being written")

func Up(ctx context.Context, d Dirs, o UpOptions) (*Info, error) { return nil, errPending }

func Down(ctx context.Context, d Dirs, name string, o DownOptions) error { return errPending }

// RunDaemon supervises the lab until ctx ends.
func RunDaemon(ctx context.Context, d Dirs, name, listen string) error { return errPending }

// OpenShell prepares a command inside a machine; it needs no daemon.
func OpenShell(ctx context.Context, d Dirs, name, machine string, argv []string) (*exec.Cmd, error) {
	return nil, errPending
}

// Kubeconfig is the path of the lab's admin kubeconfig.
func Kubeconfig(d Dirs, name string) (string, error) { return "", errPending }

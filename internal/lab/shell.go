package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"zdl/internal/cluster/local"
	"zdl/internal/cluster/local/machine"
)

// OpenShell prepares a command inside a machine of the lab; it needs no daemon.
// Without argv it is a login shell.
func OpenShell(ctx context.Context, d Dirs, name, machineName string, argv []string) (*exec.Cmd, error) {
	if !exists(d.state(name)) && !exists(d.run(name)) {
		return nil, noLab(name)
	}
	m, err := machine.Find(local.MachineRun(d.run(name), machineName))
	if errors.Is(err, machine.ErrOff) {
		entries, _ := os.ReadDir(local.MachineRun(d.run(name), ""))
		var on []string
		for _, e := range entries {
			if _, err := machine.Find(local.MachineRun(d.run(name), e.Name())); err == nil {
				on = append(on, e.Name())
			}
		}
		sort.Strings(on)
		return nil, fmt.Errorf("machine %q is not powered on in lab %q; these are: %s", machineName, name, strings.Join(on, ", "))
	}
	if err != nil {
		return nil, err
	}
	if len(argv) == 0 {
		argv = []string{"/bin/bash", "-l"}
	}
	return m.Command(ctx, argv...)
}

// Kubeconfig is the path of the lab's administrator kubeconfig.
func Kubeconfig(d Dirs, name string) (string, error) {
	path := d.state(name) + "/kubeconfig"
	if !exists(path) {
		if !exists(d.state(name)) {
			return "", noLab(name)
		}
		return "", fmt.Errorf("lab %q has no kubeconfig yet: its boot is not that far (see zdl up --name %s)", name, name)
	}
	return path, nil
}

// KubectlEnv is what a lab's kubectl is to find in its environment. What it
// remembers of the API it keeps with the lab, not in its user's home (KUBECACHEDIR),
// so that nothing of it is left when the lab is gone.
func KubectlEnv(d Dirs, name string) ([]string, error) {
	config, err := Kubeconfig(d, name)
	if err != nil {
		return nil, err
	}
	return []string{"KUBECONFIG=" + config, "KUBECACHEDIR=" + filepath.Join(d.run(name), "kubectl")}, nil
}

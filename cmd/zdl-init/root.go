package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/disk"
	"zdl/internal/cluster/local/machine/boot"
)

// buildRoot leaves this process in a root of its own: memory at /, the disk at
// /var, the host's programs read-only beneath, and nothing else of the host.
//
// Everything taken from the host is first held by a file descriptor (a
// detached mount) and attached only after the pivot, so that no path in the
// machine, symbolic links included, can lead back to the host.
func buildRoot(runDir string, plan *boot.Plan, groups *cgroup.System) error {
	// Nothing mounted here may reach the host, and nothing unmounted there us.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	taken, err := takeFromHost(runDir, plan)
	if err != nil {
		return err
	}
	root := filepath.Join(runDir, boot.RootDir)
	if err := mountAll(root, []mount{{"", "tmpfs", 0, "mode=755,size=64m"}}); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(root, "var"), 0o755); err != nil {
		return err
	}
	if plan.Disk != "" {
		if err := disk.Mount(plan.Disk, filepath.Join(root, "var")); err != nil {
			return err
		}
	}
	if err := pivot(root); err != nil {
		return err
	}
	for _, t := range taken {
		if err := t.attach(); err != nil {
			return err
		}
	}
	if err := mountKernel(plan); err != nil {
		return err
	}
	if err := mountDev(); err != nil {
		return err
	}
	if err := mountCgroups(groups); err != nil {
		return err
	}
	// What kubelet mounts for a pod must show in the pod.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make mounts shared: %w", err)
	}
	return nil
}

// pivot makes root the root and lets go of everything else.
func pivot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot to %s: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the host's root: %w", err)
	}
	return unix.Chdir("/")
}

// hostDirs are the directories of programs and libraries. On a merged-usr host
// all but /usr are symbolic links, and stay that.
var hostDirs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// hostFiles are what programs from the host's /usr expect in /etc. None of
// them holds anything private.
var hostFiles = []string{
	"/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/ca-trust/extracted",
	"/etc/services", "/etc/protocols", "/etc/ethertypes", "/etc/netconfig", "/etc/rpc", "/etc/terminfo", "/etc/bash_completion",
}

func takeFromHost(runDir string, plan *boot.Plan) ([]taken, error) {
	empty := filepath.Join(runDir, "empty")
	if err := os.MkdirAll(empty, 0o555); err != nil {
		return nil, err
	}
	var all []taken
	take := func(source, target string, readOnly bool) error {
		t, err := takeTree(source, target, readOnly, empty)
		if err != nil {
			return fmt.Errorf("take %s from the host: %w", source, err)
		}
		all = append(all, t)
		return nil
	}
	for _, dir := range hostDirs {
		st, err := os.Lstat(dir)
		if err != nil || st.Mode()&fs.ModeSymlink != 0 {
			continue // links are made again by writeFiles
		}
		if err := take(dir, dir, true); err != nil {
			return nil, err
		}
	}
	for _, file := range hostFiles {
		if err := take(file, file, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for _, b := range plan.Binds {
		if err := take(b.Source, b.Target, b.ReadOnly); err != nil {
			return nil, err
		}
	}
	return all, nil
}

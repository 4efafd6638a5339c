package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// trial is a feature of the kernel that is found out by using it.
type trial struct {
	name, what string
	try        func() error
	fix        string
}

// checkKernel tries what a lab needs of the kernel. state is the directory
// below which node disks will lie.
func checkKernel(ctx context.Context, state string) []Check {
	trials := []trial{
		{"namespaces", "namespaces for mounts, processes, network, host name, IPC and cgroups", tryNamespaces,
			"use a kernel with all namespaces, or, in a container, more privileges"},
		{"disk-trial", "loop devices, ext4 and overlayfs (disks of the nodes)", func() error { return tryDisk(state) },
			"load the modules (modprobe -a loop ext4 overlay) or use a kernel that has them"},
		{"veth", "veth pairs and bridges (cables and switches)", tryCables, "load the modules (modprobe -a veth bridge) or use a kernel that has them"},
		{"nftables", "nftables with NAT, connection tracking and maps (Services)", tryServices,
			"load the modules (modprobe -a nf_tables nf_conntrack nft_ct nft_nat nft_masq nft_fib_inet nft_numgen nft_reject_inet) or use a kernel that has them"},
		{"cgroups", "cgroups, v1 or v2, with limits for CPU, memory, processes and disk", tryCgroups, cgroupFix},
		{"kmsg", "/dev/kmsg (kubelet watches it for the OOM killer)", tryKmsg, "mknod -m 600 /dev/kmsg c 1 11"},
		{"seccomp", "seccomp filters (containers are confined by them)", trySeccomp, "use a kernel with CONFIG_SECCOMP_FILTER"},
		{"inotify", "room for inotify watchers (each node needs about 25)", tryInotify, "sysctl fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=524288"},
	}
	var checks []Check
	for _, t := range trials {
		c := Check{Name: t.name, What: t.what, Status: OK, Detail: "works"}
		switch err := ctx.Err(); {
		case err != nil:
			c.Status, c.Detail = Skipped, err.Error()
		case os.Geteuid() != 0:
			c.Status, c.Detail = Skipped, "can only be tried as root"
		default:
			var note note
			if err := t.try(); errors.As(err, &note) {
				c.Detail = string(note)
			} else if err != nil {
				c.Status, c.Detail, c.Fix = Fail, fmt.Sprintf("this kernel or container does not let us use %s: %v", what(t.what), err), t.fix
			}
		}
		checks = append(checks, c)
	}
	return append(checks, checkFaultPaths()...)
}

// what is a description without its explanation in brackets.
func what(s string) string {
	s, _, _ = strings.Cut(s, " (")
	return s
}

// note is a success with something to say.
type note string

func (n note) Error() string { return string(n) }

func tryKmsg() error {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func trySeccomp() error {
	b, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
	if err != nil {
		return err
	}
	if !strings.Contains(string(b), "errno") {
		return fmt.Errorf("the actions are %s", strings.TrimSpace(string(b)))
	}
	return nil
}

// tryInotify checks that the limits can be raised; a lab does so while it runs.
func tryInotify() error {
	const file = "/proc/sys/fs/inotify/max_user_instances"
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	now := strings.TrimSpace(string(b))
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err == nil {
		// Writing what is there changes nothing and proves that we may.
		_, err = f.WriteString(now)
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("the limit is %s instances and cannot be raised: %w", now, err)
	}
	return note(now + " instances; raised while a lab runs, put back by the last zdl down")
}

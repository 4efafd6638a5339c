package vm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// tools are the programs that the host needs, and the packages they come in.
var tools = []struct{ program, pkg string }{
	{"qemu-system-x86_64", "qemu-system-x86"},
	{"mmdebstrap", "mmdebstrap"},
	{"depmod", "kmod"},
	{"modprobe", "kmod"},
	{"xz", "xz-utils"},
	{"mke2fs", "e2fsprogs"},
	{"dpkg-deb", "dpkg"},
}

// installTools installs what is missing through apt. Elsewhere it names it.
func installTools(ctx context.Context, log io.Writer) error {
	var programs, packages []string
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil {
			programs = append(programs, t.program)
			packages = append(packages, t.pkg)
		}
	}
	if len(packages) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%s missing; on Debian run as root: apt-get install --no-install-recommends %s",
			strings.Join(programs, ", "), strings.Join(packages, " "))
	}
	fmt.Fprintln(log, "installing", strings.Join(packages, " "))
	args := append([]string{"install", "-y", "--no-install-recommends"}, packages...)
	if _, err := output(ctx, "", "apt-get", args...); err == nil {
		return nil
	}
	// The lists may be absent or too old to point to files that still exist.
	if _, err := output(ctx, "", "apt-get", "update"); err != nil {
		return err
	}
	_, err := output(ctx, "", "apt-get", args...)
	return err
}

// output runs a program to its end in dir and returns its standard output; the
// error of a failure carries all that it printed. When ctx ends the program is
// asked to end and has ten seconds to clean up.
func output(ctx context.Context, dir, program string, args ...string) (string, error) {
	var out, all bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "PATH="+hostPath())
	cmd.Stdout = io.MultiWriter(&out, &all)
	cmd.Stderr = &all
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, strings.TrimSpace(all.String()))
	}
	return out.String(), nil
}

// hostPath is PATH with the directories of the administrator, where depmod and
// mke2fs lie.
func hostPath() string { return os.Getenv("PATH") + ":/usr/sbin:/sbin" }

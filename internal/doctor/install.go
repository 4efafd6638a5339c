package doctor

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Install installs packages through apt, with its output on w. Package lists
// are fetched only if apt does not know the packages or where they are. It is
// an error where there is no apt; the message names the packages.
func Install(ctx context.Context, packages []string, w io.Writer) error {
	if len(packages) == 0 {
		return nil
	}
	if !hasApt() {
		return fmt.Errorf("there is no apt on this machine; %s", installCommand(packages))
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("installing packages needs root; run: %s", installCommand(packages))
	}
	install := append([]string{"install", "-y", "--no-install-recommends"}, packages...)
	if apt(ctx, w, install...) != nil && ctx.Err() == nil {
		if err := apt(ctx, w, "update"); err != nil {
			return err
		}
		if err := apt(ctx, w, install...); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return quiet(ctx, packages, w)
}

// apt runs apt-get without questions.
func apt(ctx context.Context, w io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, lookAny("apt-get"), append([]string{"-q", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_MODE=l")
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w (its output is above)", strings.Join(args, " "), err)
	}
	return nil
}

// quiet stops the system services that Debian starts with two of the packages.
// The lab runs its own, inside its machines, and the host wants neither.
func quiet(ctx context.Context, packages []string, w io.Writer) error {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil
	}
	for _, p := range packages {
		if p != "haproxy" && p != "keepalived" {
			continue
		}
		cmd := exec.CommandContext(ctx, "systemctl", "disable", "--now", p)
		cmd.Stdout, cmd.Stderr = w, w
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("systemctl disable --now %s: %w", p, err)
		}
	}
	return nil
}

package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// boot runs qemu until the guest powers off and returns the exit code that the
// guest's init wrote to the second serial line.
func (img *image) boot(ctx context.Context, work, artifacts string, run Run) (int, error) {
	timeout := run.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the guest did not end within %v", timeout))
	defer cancel()

	o := order{Command: run.Command, Env: run.Env}
	for i, s := range run.Shares {
		o.Mounts = append(o.Mounts, mount{shareTag(i), s.Target})
	}
	if artifacts != "" {
		o.Disks = []mount{{"/dev/vdb", "/var/cache/zdl"}}
	}
	initrd := filepath.Join(work, "initrd")
	if err := img.writeInitrd(initrd, o); err != nil {
		return -1, fmt.Errorf("write the initrd: %w", err)
	}

	report := filepath.Join(work, "report")
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", img.qemuArgs(initrd, report, artifacts, run)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+work) // where snapshot=on writes
	cmd.Stdout, cmd.Stderr = run.Output, &errs
	// Its own group, so that Ctrl-C in a terminal reaches it through us only.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second

	// The signal of death follows the thread that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return -1, fmt.Errorf("start qemu: %w", err)
	}
	err := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return -1, fmt.Errorf("the virtual machine was ended: %w", context.Cause(ctx))
	case err != nil:
		return -1, fmt.Errorf("qemu: %w\n%s", err, strings.TrimSpace(errs.String()))
	}
	line, err := os.ReadFile(report)
	if err != nil {
		return -1, fmt.Errorf("read the guest's report: %w", err)
	}
	return parseReport(line)
}

func shareTag(i int) string { return "share" + strconv.Itoa(i) }

func (img *image) qemuArgs(initrd, report, artifacts string, run Run) []string {
	memory, cpus, accel := run.Memory, run.CPUs, run.Accel
	if memory == 0 {
		memory = DefaultMemory
	}
	if cpus == 0 {
		cpus = DefaultCPUs
	}
	cpu := "host"
	if accel == "" || accel == "tcg" {
		accel, cpu = "tcg,thread=multi", "Westmere"
	}
	args := []string{
		"-M", "q35", "-accel", accel, "-cpu", cpu, "-smp", strconv.Itoa(cpus), "-m", strconv.Itoa(memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
		"-kernel", img.vmlinux, "-initrd", initrd,
		// panic=-1 restarts at once, which -no-reboot turns into the end. Without
		// mitigations the kernel keeps its page tables over a system call: emulated,
		// a system call with page-table isolation takes 15 µs instead of 1.
		"-append", "console=ttyS0 loglevel=4 panic=-1 cgroup_no_v1=all mitigations=off",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "file,id=report,path=" + report, "-serial", "chardev:report",
		"-drive", "file=" + img.rootfs + ",if=virtio,format=raw,snapshot=on,cache=unsafe",
		"-device", "virtio-rng-pci",
	}
	if artifacts != "" {
		args = append(args, "-drive", "file="+artifacts+",if=virtio,format=raw,readonly=on")
	}
	for i, s := range run.Shares {
		args = append(args, "-virtfs", fmt.Sprintf(
			"local,path=%s,mount_tag=%s,security_model=none,readonly=on,multidevs=remap", s.Source, shareTag(i)))
	}
	return args
}

// parseReport reads "exit N" or "error SENTENCE".
func parseReport(data []byte) (int, error) {
	for line := range strings.Lines(string(data)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "exit":
			code, err := strconv.Atoi(rest)
			if err != nil {
				return -1, fmt.Errorf("the guest reported a strange exit code: %w", err)
			}
			return code, nil
		case "error":
			return -1, errors.New("the guest could not run the command: " + rest)
		}
	}
	return -1, ErrNoExit
}

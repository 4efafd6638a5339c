// Package vm boots a stock Debian 12 kernel under qemu and runs one command in
// it. The lab has to work on kernels unlike the one it is built on: cgroup v2
// alone, with netem and with every module that Debian ships. What the host's
// kernel cannot show is shown here.
//
// Everything comes from Debian packages: the kernel is downloaded and unpacked,
// never installed; the guest's root file system is made by mmdebstrap. Both are
// built once below CacheDir and named by the versions they were made of. Every
// run starts from the same image: what the guest writes is thrown away.
//
// The guest has no network card.
package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Share is a directory of the host that the guest sees read-only, through 9p.
type Share struct {
	Source string // directory on the host
	Target string // absolute path in the guest; made if it is missing
}

// Run is one boot of the machine, for one command.
type Run struct {
	Command []string // argv; the first element is looked up in the guest's PATH
	Env     []string // KEY=VALUE, added to HOME, PATH and TERM
	Shares  []Share
	// Artifacts puts what `zdl build` made, read-only, where the lab looks for
	// it in the guest: /var/cache/zdl.
	Artifacts bool

	Memory int    // MiB; 0 means DefaultMemory
	CPUs   int    // 0 means DefaultCPUs
	Accel  string // qemu's accelerator: "tcg" (default) or "kvm"

	// Timeout bounds the whole run, boot included; 0 means DefaultTimeout.
	Timeout time.Duration
	// Output receives the serial line as it comes: the kernel's messages and
	// the output of the command. nil discards it.
	Output io.Writer
}

// Defaults of Run. Software emulation is 4 to 45 times slower than the host,
// hence the patience.
const (
	DefaultMemory  = 4096 // MiB
	DefaultCPUs    = 2
	DefaultTimeout = 30 * time.Minute
)

// ErrNoExit means that the guest ended without reporting an exit code: its
// kernel panicked or qemu was ended by somebody.
var ErrNoExit = errors.New("the guest ended without an exit code (its last messages say why)")

// CacheDir is where kernel and root file system are kept: $ZDL_CACHE/vm, by
// default /var/cache/zdl/vm.
func CacheDir() string {
	if dir := os.Getenv("ZDL_CACHE"); dir != "" {
		return filepath.Join(dir, "vm")
	}
	return "/var/cache/zdl/vm"
}

// Boot prepares what is missing, boots the machine, runs the command and
// returns its exit code. One machine runs at a time on a host, others wait. It
// leaves nothing behind but the cache, also when ctx is cancelled.
func Boot(ctx context.Context, run Run, log io.Writer) (exit int, err error) {
	if len(run.Command) == 0 {
		return -1, errors.New("no command to run in the guest")
	}
	if err := checkShares(run.Shares); err != nil {
		return -1, err
	}
	cache := CacheDir()
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return -1, fmt.Errorf("make the cache of virtual machines: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(cache, "lock"), log)
	if err != nil {
		return -1, err
	}
	defer unlock()

	image, err := prepare(ctx, cache, log)
	if err != nil {
		return -1, err
	}
	var artifacts string
	if run.Artifacts {
		if artifacts, err = packArtifacts(ctx, cache, log); err != nil {
			return -1, err
		}
	}
	// Below the lock nobody else runs, so that what an earlier run that was
	// killed has left can be swept away.
	work := filepath.Join(cache, "run")
	if err := os.RemoveAll(work); err != nil {
		return -1, fmt.Errorf("sweep %s: %w", work, err)
	}
	if err := os.Mkdir(work, 0o700); err != nil {
		return -1, fmt.Errorf("make a directory for this run: %w", err)
	}
	defer os.RemoveAll(work)
	return image.boot(ctx, work, artifacts, run)
}

// lock takes an exclusive lock that dies with this process.
func lock(ctx context.Context, path string, log io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	for told := false; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			fmt.Fprintln(log, "waiting for another virtual machine to end")
			told = true
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another virtual machine: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

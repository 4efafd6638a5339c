package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/disk"
)

// WithDisk mounts the disk of a machine that is off and calls do with the
// directory of its root (the machine's /var). No start or stop of the machine
// can happen before do returns. The mount is in a namespace of its own: it ends
// with this program, however that ends.
func WithDisk(ctx context.Context, runDir, image string, do func(root string) error) error {
	if _, err := os.Stat(image); err != nil {
		return err
	}
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return err
	}
	lock, err := acquire(ctx, runDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := Find(runDir); !errors.Is(err, ErrOff) {
		return fmt.Errorf("the machine of %s was switched on meanwhile", runDir)
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: this thread is of no use to others
		result <- onOwnMount(runDir, image, do)
	}()
	return <-result
}

func onOwnMount(runDir, image string, do func(root string) error) (err error) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	at := filepath.Join(runDir, "disk")
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	defer os.Remove(at)
	if err := disk.Mount(image, at); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Unmount(at, 0)) }()
	root, err := os.Open(at)
	if err != nil {
		return err
	}
	defer root.Close()
	// By way of the descriptor other threads, which do not see the mount, can
	// work in it as well.
	return do(fmt.Sprintf("/proc/self/fd/%d", root.Fd()))
}

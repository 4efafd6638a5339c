package doctor

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/disk"
)

// trialDisk is the size of the disk that is tried, in bytes.
const trialDisk = 16 << 20

// tryDisk makes a disk as a node's: an image with ext4 on a loop device, and on
// it an overlay as a container's.
func tryDisk(state string) error {
	mkfs := lookAny("mkfs.ext4")
	if mkfs == "" {
		return fmt.Errorf("mkfs.ext4 is not installed, so it could not be tried")
	}
	dir, err := os.MkdirTemp(existing(state), ".zdl-doctor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	image, mount := filepath.Join(dir, "disk.img"), filepath.Join(dir, "mnt")
	if err := os.Mkdir(mount, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(image, trialDisk); err != nil {
		return err
	}
	if err := run("", mkfs, "-q", "-O", "^has_journal", image); err != nil {
		return err
	}
	return inPrivate(func() error {
		device, err := disk.Attach(image)
		if err != nil {
			return err
		}
		err = unix.Mount(device.Name(), mount, "ext4", 0, "")
		device.Close() // the mount holds it from here on; without one it lets go
		if err != nil {
			return fmt.Errorf("mount ext4: %w", err)
		}
		defer unix.Unmount(mount, unix.MNT_DETACH)
		return tryOverlay(mount)
	})
}

// tryOverlay stacks an overlay in a directory and writes through it.
func tryOverlay(dir string) error {
	sub := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(sub(d), 0o700); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", sub("lower"), sub("upper"), sub("work"))
	if err := unix.Mount("overlay", sub("merged"), "overlay", 0, options); err != nil {
		return fmt.Errorf("mount overlayfs: %w", err)
	}
	defer unix.Unmount(sub("merged"), unix.MNT_DETACH)
	if err := os.WriteFile(filepath.Join(sub("merged"), "file"), []byte("x"), 0o600); err != nil {
		return fmt.Errorf("write to overlayfs: %w", err)
	}
	return nil
}

// existing is the directory, or the nearest one above it that is there.
func existing(dir string) string {
	if dir == "" {
		return os.TempDir()
	}
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return up
		}
		dir = up
	}
}

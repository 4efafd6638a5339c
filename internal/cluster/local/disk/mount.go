package disk

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mount attaches the image and mounts it at dir. The loop device goes with the
// last mount of it.
func Mount(image, dir string) error {
	device, err := Attach(image)
	if err != nil {
		return err
	}
	defer device.Close()
	// noinit_itable: the kernel would otherwise zero the inode tables in the
	// background, and fill the sparse image with that.
	// nodelalloc: content reaches the disk with the journal's commit (every 5 s)
	// and not up to 30 s after the file itself, so that a power cut leaves old
	// files or whole files but, other than in rare cases, no empty ones.
	if err := unix.Mount(device.Name(), dir, "ext4", unix.MS_NOATIME, "noinit_itable,nodelalloc"); err != nil {
		return fmt.Errorf("mount %s (%s): %w", image, device.Name(), err)
	}
	return nil
}

// Shutdown stops all input and output of the ext4 file system that holds dir
// at once, as a power cut does: what was synced stays, what was not is lost,
// and the journal repairs the rest at the next mount. Without it the kernel
// writes everything back before it lets a dead machine's last process go.
func Shutdown(dir *os.File) error {
	// From fs/ext4/ext4.h: _IOR('X', 125, __u32), and EXT4_GOING_FLAGS_NOLOGFLUSH.
	const (
		ext4Shutdown = 0x8004587d
		noLogFlush   = 2
	)
	flags := uint32(noLogFlush)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&flags)))
	if errno != 0 {
		return fmt.Errorf("cut the power of the disk at %s: %w", dir.Name(), errno)
	}
	return nil
}

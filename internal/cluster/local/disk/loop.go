// Package disk gives a machine a disk of its own: an ext4 image on the host,
// copied sparsely from a template and attached as a loop device that vanishes
// with the last mount. So "disk full" and "slow disk" are real and stay on
// that machine.
package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// attachTries bounds how often Attach asks for a free device. Another process
// can take the one the kernel named in between, so machines that boot at the
// same time lose some rounds.
const attachTries = 200

// Attach binds the image to a free loop device with autoclear: the device
// lets go of the image when its last user (the returned file or a mount) is
// gone. The caller closes the file after mounting Name().
func Attach(image string) (*os.File, error) {
	backing, err := os.OpenFile(image, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("no loop devices on this host: %w", err)
	}
	defer control.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], image)
	for range attachTries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		device, err := openDevice(n)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("attach %s to %s: %w", image, device.Name(), err)
		}
	}
	return nil, fmt.Errorf("attach %s: every free loop device was taken by somebody else", image)
}

// openDevice opens /dev/loopN, and makes the node where no devtmpfs does.
func openDevice(n int) (*os.File, error) {
	path := fmt.Sprintf("/dev/loop%d", n)
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_CLOEXEC, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	const loopMajor = 7
	if err := unix.Mknod(path, unix.S_IFBLK|0o660, int(unix.Mkdev(loopMajor, uint32(n)))); err != nil && err != unix.EEXIST {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	return os.OpenFile(path, os.O_RDWR|unix.O_CLOEXEC, 0)
}

// Attached names the loop devices that hold the image, or that hold any image
// below the path when it ends in a slash.
func Attached(image string) ([]string, error) {
	want := image
	if real, err := filepath.EvalSymlinks(image); err == nil {
		want = real
		if strings.HasSuffix(image, "/") {
			want += "/"
		}
	}
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	var devices []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // detached while we looked
		}
		have := strings.TrimSuffix(strings.TrimSpace(string(b)), " (deleted)")
		if have == want || strings.HasSuffix(want, "/") && strings.HasPrefix(have, want) {
			devices = append(devices, "/dev/"+filepath.Base(filepath.Dir(filepath.Dir(file))))
		}
	}
	return devices, nil
}

// Detach lets the devices of an image go that a crash left attached. A device
// that is still mounted keeps the image until its last mount is gone.
func Detach(image string) error {
	devices, err := Attached(image)
	if err != nil {
		return err
	}
	for _, path := range devices {
		n, err := strconv.Atoi(strings.TrimPrefix(path, "/dev/loop"))
		if err != nil {
			continue
		}
		device, err := openDevice(n)
		if err != nil {
			return err
		}
		err = unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0)
		device.Close()
		if err != nil && err != unix.ENXIO {
			return fmt.Errorf("detach %s from %s: %w", path, image, err)
		}
	}
	return nil
}

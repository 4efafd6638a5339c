package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/machine/boot"
)

// mount is one file system, at a directory below some root.
type mount struct {
	at, kind string
	flags    uintptr
	data     string
}

func mountAll(root string, mounts []mount) error {
	for _, m := range mounts {
		at := filepath.Join(root, m.at)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, at, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s at %s: %w", m.kind, at, err)
		}
	}
	return nil
}

const plain = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mountKernel mounts /proc and /sys and hides in them what belongs to the host
// as a whole. The switches of the network stay writable: they are the
// machine's own.
func mountKernel(plan *boot.Plan) error {
	err := mountAll("/", []mount{
		{"proc", "proc", plain, ""},
		{"sys", "sysfs", plain, ""},
		{"run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755,size=256m"},
		{"tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777,size=256m"},
	})
	if err != nil {
		return err
	}
	network, err := cloneTree("/proc/sys/net", "/proc/sys/net", false)
	if err != nil {
		return err
	}
	for _, path := range []string{"/proc/sys", "/proc/sysrq-trigger"} {
		if _, err := os.Stat(path); os.IsNotExist(err) {
			continue // this kernel has none
		}
		if err := bind(path, path); err != nil {
			return err
		}
		if err := readOnly(path); err != nil {
			return err
		}
	}
	if err := network.attach(); err != nil {
		return err
	}
	if err := readOnly("/sys"); err != nil {
		return err
	}
	return coverFacts(plan)
}

// readOnly makes the mount at path read-only, but none below it.
func readOnly(path string) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, path, 0, &attr); err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}

// bind shows source at target, mounts below included.
func bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("show %s at %s: %w", source, target, err)
	}
	return nil
}

// mountDev makes the devices every machine has, and no others.
func mountDev() error {
	err := mountAll("/dev", []mount{
		{"", "tmpfs", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=755,size=1m"},
		{"pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{"shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777,size=64m"},
		{"mqueue", "mqueue", plain, ""},
	})
	if err != nil {
		return err
	}
	// Numbers from Documentation/admin-guide/devices.txt of the kernel.
	for _, d := range []struct {
		name         string
		major, minor uint32
		mode         uint32
	}{
		{"null", 1, 3, 0o666}, {"zero", 1, 5, 0o666}, {"full", 1, 7, 0o666}, {"random", 1, 8, 0o666},
		{"urandom", 1, 9, 0o666}, {"kmsg", 1, 11, 0o600}, {"tty", 5, 0, 0o666}, {"fuse", 10, 229, 0o666},
		{"net/tun", 10, 200, 0o666},
	} {
		path := filepath.Join("/dev", d.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := unix.Mknod(path, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("make %s: %w", path, err)
		}
		if err := os.Chmod(path, os.FileMode(d.mode)); err != nil { // against the umask
			return err
		}
	}
	for name, to := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2", "core": "/proc/kcore",
	} {
		if err := os.Symlink(to, filepath.Join("/dev", name)); err != nil {
			return err
		}
	}
	return nil
}

// mountCgroups mounts the hierarchies that the host has. This process stands
// at their roots already, so they show its machine's groups only.
func mountCgroups(s *cgroup.System) error {
	const top = "/sys/fs/cgroup"
	if s.Version == cgroup.V2 {
		if err := mountAll("/", []mount{{top, "cgroup2", plain, ""}}); err != nil {
			return err
		}
		return cgroup.Settle(top)
	}
	if err := mountAll("/", []mount{{top, "tmpfs", plain, "mode=755,size=1m"}}); err != nil {
		return err
	}
	for _, h := range s.Hierarchies {
		if h.Unified {
			continue // without controllers it is of no use inside
		}
		name := filepath.Base(h.Path)
		if err := mountAll(top, []mount{{name, "cgroup", plain, h.Options()}}); err != nil {
			return err
		}
		// cpu,cpuacct is also known as cpu and as cpuacct.
		for _, c := range h.Controllers {
			if c != name && strings.Contains(name, ",") {
				if err := os.Symlink(name, filepath.Join(top, c)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

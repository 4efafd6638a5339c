package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// taken is a part of the host's tree on its way into the machine.
type taken struct {
	fd     int    // a detached mount, or -1
	data   []byte // content of a file that is copied instead
	mode   os.FileMode
	target string
	dir    bool
}

// takeTree takes what is at source. What the machine may write is the host's
// own; of what it may only read, files are copied and directories are shown
// through an overlay without a writable layer. A read-only bind mount would not
// do: root in the machine has CAP_SYS_ADMIN and could make it writable again.
// empty is a directory with nothing in it.
func takeTree(source, target string, readOnly bool, empty string) (taken, error) {
	if readOnly {
		st, err := os.Stat(source)
		if err != nil {
			return taken{}, err
		}
		if !st.IsDir() {
			data, err := os.ReadFile(source)
			return taken{fd: -1, data: data, mode: st.Mode().Perm(), target: target}, err
		}
		fd, err := readOnlyOverlay(source, empty)
		if err == nil {
			return taken{fd: fd, target: target, dir: true}, nil
		}
		// Overlays stack two deep only (FILESYSTEM_MAX_STACK_DEPTH): on a host
		// whose own root is one, the bind mount has to do.
		if !errors.Is(err, unix.EINVAL) {
			return taken{}, err
		}
	}
	return cloneTree(source, target, readOnly)
}

// readOnlyOverlay gives a detached overlay of one directory that no remount can
// make writable (ovl_force_readonly in fs/overlayfs/super.c). Its files share
// the page cache of the originals.
func readOnlyOverlay(source, empty string) (int, error) {
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return -1, err
	}
	if strings.ContainsAny(source+empty, `:\,`) {
		return -1, unix.EINVAL // these separate the layers
	}
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open overlay: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "lowerdir", source+":"+empty); err != nil {
		return -1, fmt.Errorf("show %s through an overlay: %w", source, err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("show %s through an overlay: %w", source, err)
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
}

// cloneTree clones the mounts at source, read-only ones before anybody sees them.
func cloneTree(source, target string, readOnly bool) (taken, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return taken{}, err
	}
	if readOnly {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
			return taken{}, fmt.Errorf("make it read-only: %w", err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return taken{}, err
	}
	return taken{fd: fd, target: target, dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}, nil
}

// attach puts it in its place, which is made if it is missing.
func (t taken) attach() error {
	if t.fd < 0 {
		if err := os.MkdirAll(filepath.Dir(t.target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(t.target, t.data, t.mode)
	}
	defer unix.Close(t.fd)
	if err := makePlace(t.target, t.dir); err != nil {
		return err
	}
	if err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, t.target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s: %w", t.target, err)
	}
	return nil
}

func makePlace(path string, dir bool) error {
	if dir {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

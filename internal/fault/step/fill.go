package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local"
	"zdl/internal/fault"
)

// Fill takes room on a node's disk with a file of real blocks, in the machine or
// in the writable layer or volume of a container.
type Fill struct {
	w *World
	Place
	// Path of the file as the container sees it, "" outside of containers.
	Path string `json:"path,omitempty"`
	// NodePath of the same file, as the machine sees it, below /var.
	NodePath string `json:"nodePath"`
	Bytes    int64  `json:"bytes"` // how much to take; with Leave at least 0 it follows from that
	Leave    int64  `json:"leave"` // how much to leave free on the disk; -1: Bytes counts
	Free     int64  `json:"free"`  // what was free when it was planned
}

// NewNodeFill plans to leave only so many bytes of a node's disk free.
func (w *World) NewNodeFill(ctx context.Context, node string, leave int64, percent float64, id string) (fault.Step, error) {
	f := &Fill{w: w, Place: Place{Machine: node}, NodePath: "/var/.zdl-fill-" + id, Leave: leave}
	err := w.Local.WithFile(ctx, node, "/var", func(dir string) error {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return err
		}
		f.Free = int64(st.Bavail) * st.Bsize
		if percent > 0 {
			f.Leave = int64((1 - percent) * float64(int64(st.Blocks)*st.Bsize))
		}
		return nil
	})
	if err == nil && f.Free <= f.Leave {
		err = fault.Refuse(fmt.Sprintf("The disk of %s has only %s free.", node, mebibytes(f.Free)), "a smaller -p leave, or a larger -p percent")
	}
	return f, err
}

// NewPodFill plans to write a file into a directory of a container, of a size or,
// with size 0, of a share of what is free on its node.
func (w *World) NewPodFill(p Place, dir string, size int64, share float64, id string) (fault.Step, error) {
	f := &Fill{w: w, Place: p, Leave: -1, Bytes: size}
	_, pid, err := w.part(p)
	if err != nil {
		return nil, err
	}
	root := fmt.Sprintf("/proc/%d/root", pid)
	where, err := local.LocateIn(pid, dir)
	if err != nil && dir == DefaultFillDir {
		where, err = local.LocateVolume(pid)
	}
	if err != nil {
		return nil, fault.Refuse(fmt.Sprintf("Nothing can be written to %s of %v: %v.", dir, p, err),
			"-p path=DIRECTORY with one that is writable; if the root is read-only, mount an emptyDir at "+DefaultFillDir)
	}
	f.Path = filepath.Join(where.Inside, ".zdl-fill-"+id)
	f.NodePath = filepath.Join(where.OnNode, ".zdl-fill-"+id)
	var st unix.Statfs_t
	if err := unix.Statfs(root+where.Inside, &st); err == nil {
		f.Free = int64(st.Bavail) * st.Bsize
	}
	if size == 0 {
		f.Bytes = int64(share * float64(f.Free))
	}
	if f.Bytes > f.Free {
		return nil, fault.Refuse(fmt.Sprintf("%s do not fit: %s are free.", mebibytes(f.Bytes), mebibytes(f.Free)), "a smaller -p size")
	}
	return f, nil
}

// DefaultFillDir is where pods are filled unless another directory is named.
const DefaultFillDir = "/tmp"

// Mechanism is "fill".
func (f *Fill) Mechanism() string { return "fill" }

// Touches the file, and the room of the disk.
func (f *Fill) Touches() []string { return []string{"disk-room/" + f.key()} }

// Inject makes the file as large as it shall be.
func (f *Fill) Inject(ctx context.Context) error {
	if f.Pod == "" {
		return f.w.Local.WithFile(ctx, f.Machine, f.NodePath, func(path string) error {
			file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
			if err != nil {
				return err
			}
			return f.grow(file)
		})
	}
	file, err := f.openInside(unix.O_RDWR | unix.O_CREAT)
	if err != nil {
		return fmt.Errorf("make %s in %v: %w", f.Path, f.Place, err)
	}
	return f.grow(file)
}

// openInside opens the file by the container's own view, links included.
func (f *Fill) openInside(flags int) (*os.File, error) {
	_, pid, err := f.w.part(f.Place)
	if err != nil {
		return nil, err
	}
	return local.OpenIn(pid, f.Path, flags)
}

func (f *Fill) grow(file *os.File) (err error) {
	defer func() { err = errors.Join(err, file.Close()) }()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	size, want := st.Size(), f.Bytes
	if f.Leave >= 0 {
		var disk unix.Statfs_t
		if err := unix.Fstatfs(int(file.Fd()), &disk); err != nil {
			return err
		}
		want = size + int64(disk.Bavail)*disk.Bsize - f.Leave
	}
	// In smaller and smaller pieces: what the file system needs for itself is
	// not known beforehand.
	for step := int64(1 << 30); step >= 4096 && size < want; {
		n := min(step, want-size)
		err := unix.Fallocate(int(file.Fd()), 0, size, n)
		switch {
		case err == nil:
			size += n
		case err == unix.ENOSPC:
			step /= 2
		case err != unix.EINTR:
			return fmt.Errorf("fill the disk of %s: %w", f.Machine, err)
		}
	}
	return nil
}

// Verify counts the blocks of the file and what is free.
func (f *Fill) Verify(ctx context.Context) (string, error) {
	var free, blocks int64
	measure := func(file *os.File) error {
		defer file.Close()
		var disk unix.Statfs_t
		var st unix.Stat_t
		if err := errors.Join(unix.Fstatfs(int(file.Fd()), &disk), unix.Fstat(int(file.Fd()), &st)); err != nil {
			return err
		}
		free, blocks = int64(disk.Bavail)*disk.Bsize, st.Blocks*512
		return nil
	}
	err := f.w.Local.WithFile(ctx, f.Machine, f.NodePath, func(path string) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		return measure(file)
	})
	if err != nil {
		return "", err
	}
	const slack = 16 << 20 // others write and delete meanwhile
	if f.Leave >= 0 && free > f.Leave+slack || f.Leave < 0 && blocks < f.Bytes {
		return "", fmt.Errorf("the disk of %s has %s free, the file takes %s", f.Machine, mebibytes(free), mebibytes(blocks))
	}
	name := f.Path
	if name == "" {
		name = f.NodePath
	}
	return fmt.Sprintf("%s of %v takes %s; the disk of %s has %s free, %s before", name, f.Place, mebibytes(blocks), f.Machine, mebibytes(free), mebibytes(f.Free)), nil
}

// Undo removes the file: by the container's view while that is there, since the
// layer below must not change under it, and then by the node's.
func (f *Fill) Undo(ctx context.Context) error {
	if f.Pod != "" {
		if _, pid, err := f.w.part(f.Place); err == nil {
			_ = local.RemoveIn(pid, f.Path) // what is left is seen below
		}
	}
	return f.w.Local.WithFile(ctx, f.Machine, f.NodePath, func(path string) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// State tells whether the file is there.
func (f *Fill) State(ctx context.Context) (map[string]string, error) {
	state := "not there"
	err := f.w.Local.WithFile(ctx, f.Machine, f.NodePath, func(path string) error {
		st, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			state = fmt.Sprintf("%d bytes", st.Size())
		}
		return err
	})
	return map[string]string{"file " + f.NodePath + " of " + f.Machine: state}, err
}

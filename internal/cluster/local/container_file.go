package local

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Located is a directory of a container and the same directory as its node sees
// it.
type Located struct {
	Inside string // in the container, links resolved
	OnNode string // below /var of the machine
}

// openIn opens a path by the view of a process's root: no link in it, absolute
// ones and those with dots included, leads out of that.
func openIn(pid int, name string, flags int, mode uint64) (int, error) {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	return unix.Openat2(root, path.Join(".", name), &unix.OpenHow{
		Flags: uint64(flags | unix.O_CLOEXEC), Mode: mode, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// OpenIn opens or makes a file of the container of a process; mode 0600.
func OpenIn(pid int, name string, flags int) (*os.File, error) {
	mode := uint64(0)
	if flags&unix.O_CREAT != 0 {
		mode = 0o600
	}
	fd, err := openIn(pid, name, flags|unix.O_NOFOLLOW, mode)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// RemoveIn removes a file of the container of a process.
func RemoveIn(pid int, name string) error {
	dir, err := openIn(pid, path.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return unix.Unlinkat(dir, path.Base(name), 0)
}

// LocateIn finds where on the node's disk a directory of a container lies, which
// must be writable.
func LocateIn(pid int, dir string) (Located, error) {
	fd, err := openIn(pid, dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return Located{}, err
	}
	defer unix.Close(fd)
	inside, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return Located{}, err
	}
	id, err := mountOf(fd)
	if err != nil {
		return Located{}, err
	}
	mounts, err := mountsOf(pid)
	if err != nil {
		return Located{}, err
	}
	for _, m := range mounts {
		if m.id == id {
			return m.locate(inside)
		}
	}
	return Located{}, errors.New("its mount is not known")
}

// LocateVolume finds a writable volume of a container on the node's disk, such as
// an emptyDir.
func LocateVolume(pid int) (Located, error) {
	mounts, err := mountsOf(pid)
	if err != nil {
		return Located{}, err
	}
	for _, m := range mounts {
		if strings.Contains(m.root, "/volumes/") && m.at != "/" {
			if found, err := m.locate(m.at); err == nil {
				return found, nil
			}
		}
	}
	return Located{}, errors.New("its root is read-only and it has no writable volume")
}

// mounted is one line of mountinfo.
type mounted struct {
	id, root, at, kind string
	readOnly           bool
	options            string // of the file system
}

// locate translates a path in the container to one of the node.
func (m *mounted) locate(inside string) (Located, error) {
	rest := strings.TrimPrefix(inside, strings.TrimSuffix(m.at, "/"))
	switch {
	case m.readOnly:
		return Located{}, errors.New("it is read-only")
	case m.kind == "overlay":
		for _, o := range strings.Split(m.options, ",") {
			if upper, ok := strings.CutPrefix(o, "upperdir="); ok {
				return Located{Inside: inside, OnNode: filepath.Join(upper, m.root, rest)}, nil
			}
		}
		return Located{}, errors.New("it has no writable layer")
	case m.kind == "ext4": // the node's only disk, at its /var
		return Located{Inside: inside, OnNode: filepath.Join("/var", m.root, rest)}, nil
	}
	return Located{}, fmt.Errorf("it is on a %s, not on the node's disk", m.kind)
}

func mountsOf(pid int) ([]mounted, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMounts(f)
}

func parseMounts(r io.Reader) ([]mounted, error) {
	var out []mounted
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		front, back := strings.Fields(before), strings.Fields(after)
		if !ok || len(front) < 6 || len(back) < 3 {
			continue
		}
		isReadOnly := func(options string) bool { return strings.HasPrefix(options+",", "ro,") }
		out = append(out, mounted{
			id: front[0], root: front[3], at: front[4], kind: back[0], options: back[2],
			readOnly: isReadOnly(front[5]) || isReadOnly(back[2]),
		})
	}
	return out, lines.Err()
}

// mountOf is the ID of the mount that an open file is on.
func mountOf(fd int) (string, error) {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(info)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(id), nil
		}
	}
	return "", errors.New("the kernel does not tell its mount")
}

package step

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"zdl/internal/cluster/local"
	"zdl/internal/fault"
)

// maxFile bounds a file that can be replaced: the original lies in the journal.
const maxFile = 1 << 20

// File replaces or removes a file of a machine, or makes one that was not there.
// Undo puts content, mode and owner back exactly. The original is part of the
// step, so it is on the disk with the journal before the file is touched.
type File struct {
	w       *World
	Machine string `json:"machine"`
	Path    string `json:"path"` // absolute, in the machine
	// Original is what the file was; nil: there was none.
	Original *Content `json:"original,omitempty"`
	// Fault is what it becomes; nil: it is removed.
	Fault *Content `json:"fault,omitempty"`
	// InPlace keeps the inode, for files that are mounted into a container by
	// themselves. Otherwise the file is replaced as a whole.
	InPlace bool `json:"inPlace,omitempty"`
}

// Content is a file as it is restored.
type Content struct {
	Data []byte      `json:"data"`
	Mode os.FileMode `json:"mode"`
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
}

func (c *Content) String() string {
	if c == nil {
		return "not there"
	}
	sum := sha256.Sum256(c.Data)
	return fmt.Sprintf("%v %d:%d, %d bytes, sha256 %x", c.Mode, c.UID, c.GID, len(c.Data), sum[:8])
}

// NewFile plans to give a file new content, with the mode and owner it has; nil
// removes it. A file that is not there is made for root, mode 0600.
func (w *World) NewFile(ctx context.Context, machine, path string, content []byte) (*File, error) {
	f := &File{w: w, Machine: machine, Path: path}
	var err error
	if f.Original, err = f.now(ctx); err != nil {
		return nil, err
	}
	if content != nil {
		f.Fault = &Content{Mode: 0o600}
		if f.Original != nil {
			*f.Fault = *f.Original
		}
		f.Fault.Data = content
	}
	return f, nil
}

var _ fault.Step = (*File)(nil)

// Mechanism is "file".
func (f *File) Mechanism() string { return "file" }

// Touches the file.
func (f *File) Touches() []string { return []string{"file/" + f.Machine + f.Path} }

// Inject writes or removes the file.
func (f *File) Inject(ctx context.Context) error { return f.become(ctx, f.Fault) }

// Verify reads it again.
func (f *File) Verify(ctx context.Context) (string, error) {
	now, err := f.now(ctx)
	if err != nil {
		return "", err
	}
	if now.String() != f.Fault.String() {
		return "", fmt.Errorf("%s of %s is %v, not %v", f.Path, f.Machine, now, f.Fault)
	}
	return fmt.Sprintf("%s of %s is %v; it was %v", f.Path, f.Machine, f.Fault, f.Original), nil
}

// Undo puts back what was there.
func (f *File) Undo(ctx context.Context) error {
	err := f.become(ctx, f.Original)
	if errors.Is(err, local.ErrVolatile) {
		return nil // the machine's next boot writes it as it was
	}
	return err
}

// State is the file's content, mode and owner.
func (f *File) State(ctx context.Context) (map[string]string, error) {
	now, err := f.now(ctx)
	if errors.Is(err, local.ErrVolatile) {
		now, err = f.Original, nil
	}
	if err != nil {
		return nil, err
	}
	return map[string]string{"file " + f.Path + " of " + f.Machine: now.String()}, nil
}

func (f *File) now(ctx context.Context) (content *Content, err error) {
	err = f.w.Local.WithFile(ctx, f.Machine, f.Path, func(path string) error {
		content, err = readContent(path)
		return err
	})
	return content, err
}

func (f *File) become(ctx context.Context, content *Content) error {
	return f.w.Local.WithFile(ctx, f.Machine, f.Path, func(path string) error {
		// Unchanged files are left alone: whoever watches them need not wake up.
		if now, err := readContent(path); err == nil && now.String() == content.String() {
			return nil
		}
		return writeContent(path, content, f.InPlace)
	})
}

func readContent(path string) (*Content, error) {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, fmt.Errorf("%s is no regular file of at most %d bytes", path, maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	owner := st.Sys().(*syscall.Stat_t)
	return &Content{Data: data, Mode: st.Mode().Perm(), UID: int(owner.Uid), GID: int(owner.Gid)}, nil
}

// writeContent leaves the file as content says, on the disk. Its temporary file
// begins with a dot: kubelet does not take such a one for a manifest.
func writeContent(path string, content *Content, inPlace bool) error {
	if content == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return syncDir(filepath.Dir(path))
	}
	tmp := filepath.Join(filepath.Dir(path), ".zdl-"+filepath.Base(path))
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if inPlace {
		tmp = path
	}
	if err := writeAll(tmp, flags, content); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if !inPlace {
		if err := os.Rename(tmp, path); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(path))
}

func writeAll(path string, flags int, content *Content) (err error) {
	file, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW, content.Mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Chown(content.UID, content.GID); err != nil {
		return err
	}
	if err := file.Chmod(content.Mode); err != nil { // the umask took from it
		return err
	}
	if _, err := bytes.NewReader(content.Data).WriteTo(file); err != nil {
		return err
	}
	return file.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Image describes a machine's disk.
type Image struct {
	Path     string // the image file; its directory exists or is made
	Template string // ext4 image to copy; "" makes an empty file system
	Size     int64  // bytes the machine sees; 0 keeps the template's size
}

// emptySize is the size of a disk with neither template nor size.
const emptySize = 1 << 30

// Prepare makes the image unless it exists: an existing one is the machine's
// data and is never touched. It is safe to interrupt at any moment, for the
// image gets its name only when it is complete. Callers serialise per image.
func Prepare(ctx context.Context, d Image) error {
	if _, err := os.Stat(d.Path); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.Path), 0o700); err != nil {
		return err
	}
	partial := d.Path + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	var err error
	if d.Template == "" {
		err = makeEmpty(ctx, partial, d.Size)
	} else if err = CopySparse(d.Template, partial); err == nil {
		err = resize(ctx, partial, d.Size)
	}
	if err == nil {
		err = os.Rename(partial, d.Path)
	}
	if err != nil {
		_ = os.Remove(partial)
		return fmt.Errorf("prepare disk %s: %w", d.Path, err)
	}
	return nil
}

func makeEmpty(ctx context.Context, path string, size int64) error {
	if size == 0 {
		size = emptySize
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return run(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", path)
}

// resize changes the file system to size bytes. Growing a mounted one would be
// quicker, but the kernel wants CAP_SYS_RESOURCE for that, which a host may
// have withheld.
func resize(ctx context.Context, path string, size int64) error {
	st, err := os.Stat(path)
	if err != nil || size == 0 || size == st.Size() {
		return err
	}
	if size > st.Size() {
		if err := os.Truncate(path, size); err != nil {
			return err
		}
	}
	// -f: the template was never mounted, so there is nothing to check first.
	if err := run(ctx, "resize2fs", "-f", path, strconv.FormatInt(size/1024, 10)+"K"); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// CopySparse copies from to a new file to, holes staying holes. Where the file
// system can share blocks between files, nothing is copied at all.
func CopySparse(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())); err != nil {
		if err := copyData(dst, src, st.Size()); err != nil {
			dst.Close()
			return err
		}
	}
	return dst.Close()
}

func copyData(dst, src *os.File, size int64) error {
	if err := dst.Truncate(size); err != nil {
		return err
	}
	for end := int64(0); ; {
		start, err := unix.Seek(int(src.Fd()), end, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil // nothing but a hole up to the end
		}
		if err != nil {
			return fmt.Errorf("find data in %s: %w", src.Name(), err)
		}
		if end, err = unix.Seek(int(src.Fd()), start, unix.SEEK_HOLE); err != nil {
			return fmt.Errorf("find holes in %s: %w", src.Name(), err)
		}
		from, to := start, start
		for from < end {
			n, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, int(end-from), 0)
			if err == unix.EXDEV || err == unix.ENOSYS || err == unix.EOPNOTSUPP || err == unix.EINVAL {
				n64, copyErr := io.Copy(io.NewOffsetWriter(dst, to), io.NewSectionReader(src, from, end-from))
				from, to, n, err = from+n64, to+n64, int(n64), copyErr
			}
			if err != nil {
				return fmt.Errorf("copy %s: %w", src.Name(), err)
			}
			if n == 0 {
				return fmt.Errorf("copy %s: %w at byte %d", src.Name(), io.ErrUnexpectedEOF, from)
			}
		}
	}
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

package artifact

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/klauspost/compress/zstd"
)

// Archive is a file or directory with container images that has been read and
// checked in full: all parts are there and have the digests they should have.
type Archive struct {
	Path   string          `json:"path"`
	Format string          `json:"format"` // "oci" or "docker"
	Images []ArchivedImage `json:"images"`

	stream func(w io.Writer) error
	remove func() // scratch files, may be nil
}

// ArchivedImage is one image of an archive.
type ArchivedImage struct {
	Name     string `json:"name"`     // as pods refer to it in full, "docker.io/library/nginx:1.29"
	ID       string `json:"id"`       // digest of its configuration
	Platform string `json:"platform"` // "linux/amd64"
	Size     int64  `json:"size"`     // bytes of its layers as they are in the archive
}

// OpenArchive opens what path holds: an OCI image layout as a directory, or
// an OCI or docker archive as a tar, which may be compressed by gzip or zstd.
// The images must be for linux/ARCH; of an image for several platforms that
// one is taken. rename gives an archive's only image that name, "" keeps the
// names in the archive. The caller must Close it.
func OpenArchive(path, arch, rename string) (*Archive, error) {
	if rename != "" {
		full, err := fullName(rename)
		if err != nil {
			return nil, fmt.Errorf("image name %q: %w", rename, err)
		}
		rename = full
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open image archive: %w", err)
	}
	if info.IsDir() {
		if _, err := os.Stat(filepath.Join(path, "oci-layout")); err != nil {
			return nil, fmt.Errorf("%s is a directory but no OCI image layout: it has no file oci-layout", path)
		}
		return openLayout(path, path, arch, rename)
	}
	plain, remove, err := decompressed(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	a, err := openTar(path, plain, arch, rename)
	if err != nil {
		remove()
		return nil, err
	}
	inner := a.remove
	a.remove = func() {
		if inner != nil {
			inner()
		}
		remove()
	}
	return a, nil
}

// Close removes scratch files.
func (a *Archive) Close() error {
	if a.remove != nil {
		a.remove()
	}
	return nil
}

// Stream writes the images as a tar that `ctr images import -` reads. It may
// be called several times, also at the same time.
func (a *Archive) Stream(w io.Writer) error { return a.stream(w) }

func openTar(path, plain, arch, rename string) (*Archive, error) {
	names, err := tarNames(plain)
	if err != nil {
		return nil, fmt.Errorf("%s is not an image archive: %w", path, err)
	}
	switch {
	case names["oci-layout"]:
		dir, err := os.MkdirTemp("", "zdl-image-")
		if err != nil {
			return nil, err
		}
		remove := func() { os.RemoveAll(dir) }
		if err := extractLayout(plain, dir); err != nil {
			remove()
			return nil, fmt.Errorf("unpack %s: %w", path, err)
		}
		a, err := openLayout(path, dir, arch, rename)
		if err != nil {
			remove()
			return nil, err
		}
		a.remove = remove
		return a, nil
	case names["manifest.json"]:
		return openDockerArchive(path, plain, arch, rename)
	}
	return nil, fmt.Errorf("%s is a tar but no image archive: it has neither oci-layout (OCI) nor manifest.json (docker save)", path)
}

// decompressed returns the path of the file's content without compression:
// the file itself, or a scratch file.
func decompressed(path string) (plain string, remove func(), err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	content, err := uncompressed(file)
	if err != nil {
		return "", nil, err
	}
	if _, ok := content.(*bufio.Reader); ok {
		return path, func() {}, nil
	}
	scratch, err := os.CreateTemp("", "zdl-image-*.tar")
	if err != nil {
		return "", nil, err
	}
	defer scratch.Close()
	remove = func() { os.Remove(scratch.Name()) }
	if _, err := io.Copy(scratch, content); err != nil {
		remove()
		return "", nil, fmt.Errorf("decompress: %w", err)
	}
	return scratch.Name(), remove, nil
}

// uncompressed undoes gzip or zstd, told by the first bytes; anything else
// comes back as a *bufio.Reader.
func uncompressed(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(r)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1))
	}
	return buffered, nil
}

// tarNames lists the names of the entries at the top of a tar.
func tarNames(path string) (map[string]bool, error) {
	names := map[string]bool{}
	err := eachEntry(path, func(h *tar.Header, _ io.Reader) error {
		names[strings.TrimPrefix(h.Name, "./")] = true
		return nil
	})
	if err == nil && len(names) == 0 {
		return nil, errors.New("it is empty")
	}
	return names, err
}

func eachEntry(path string, do func(h *tar.Header, content io.Reader) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	t := tar.NewReader(file)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(h, t); err != nil {
			return err
		}
	}
}

// extractLayout unpacks the files of an OCI layout, and nothing else that a
// tar might bring.
func extractLayout(path, dir string) error {
	return eachEntry(path, func(h *tar.Header, content io.Reader) error {
		entry := strings.TrimPrefix(h.Name, "./")
		blob, isBlob := strings.CutPrefix(entry, "blobs/sha256/")
		known := entry == "oci-layout" || entry == "index.json" || isBlob && len(blob) == 64 && !strings.ContainsAny(blob, "/.")
		if h.Typeflag != tar.TypeReg || !known {
			return nil
		}
		target := filepath.Join(dir, entry)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		file, err := os.Create(target)
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err := io.Copy(file, content); err != nil {
			return err
		}
		return file.Close()
	})
}

// fullName is the name by which containerd knows an image that a pod or a
// person calls by a shorter one: nginx:1.29 → docker.io/library/nginx:1.29.
func fullName(reference string) (string, error) {
	parsed, err := name.ParseReference(reference)
	if err != nil {
		return "", err
	}
	full := parsed.Name()
	if rest, ok := strings.CutPrefix(full, name.DefaultRegistry+"/"); ok {
		full = "docker.io/" + rest
	}
	return full, nil
}

package artifact

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// entry is a file in a layer: a directory when none of source, data and link
// is given.
type entry struct {
	path   string // absolute
	mode   int64
	source string // a file on the host that gives the content, or …
	data   []byte // … the content itself
	link   string // target of a symbolic link
}

// layerFile is an image layer that has been written to a file, compressed. It
// implements partial.CompressedLayer.
type layerFile struct {
	path   string
	digest v1.Hash // of the compressed file
	diffID v1.Hash // of the tar inside
	size   int64
}

func (l *layerFile) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *layerFile) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *layerFile) Size() (int64, error)                { return l.size, nil }
func (l *layerFile) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }
func (l *layerFile) Compressed() (io.ReadCloser, error)  { return os.Open(l.path) }
func (l *layerFile) Uncompressed() (io.ReadCloser, error) {
	file, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	d, err := zstd.NewReader(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{d, closers{d.IOReadCloser(), file}}, nil
}

type closers []io.Closer

func (c closers) Close() (err error) {
	for _, one := range c {
		if e := one.Close(); err == nil {
			err = e
		}
	}
	return err
}

// writeLayer writes entries to a compressed tar at path. The same entries give
// the same digest: owners are root, times are zero, the order is by path.
func writeLayer(path string, entries []entry) (*layerFile, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	compressed := &counted{w: file, h: sha256.New()}
	z, err := zstd.NewWriter(compressed, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	plain := &counted{w: z, h: sha256.New()}
	if err := writeTar(plain, entries); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return &layerFile{path: path, digest: compressed.hash(), diffID: plain.hash(), size: compressed.n}, file.Close()
}

func writeTar(w io.Writer, entries []entry) error {
	t := tar.NewWriter(w)
	for _, e := range withParents(entries) {
		if err := writeEntry(t, e); err != nil {
			return fmt.Errorf("layer entry %s: %w", e.path, err)
		}
	}
	return t.Close()
}

func writeEntry(t *tar.Writer, e entry) error {
	h := &tar.Header{Name: strings.TrimPrefix(e.path, "/"), Mode: e.mode, Format: tar.FormatPAX}
	var content io.Reader
	switch {
	case e.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
	case e.source != "":
		file, err := os.Open(e.source)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		h.Typeflag, h.Size, content = tar.TypeReg, info.Size(), file
	case e.data != nil:
		h.Typeflag, h.Size, content = tar.TypeReg, int64(len(e.data)), bytes.NewReader(e.data)
	default:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if content == nil {
		return nil
	}
	_, err := io.Copy(t, content)
	return err
}

// withParents sorts entries by path and adds the directories they lie in.
func withParents(entries []entry) []entry {
	all := map[string]entry{}
	for _, e := range entries {
		for dir := path.Dir(e.path); dir != "/"; dir = path.Dir(dir) {
			if _, ok := all[dir]; !ok {
				all[dir] = entry{path: dir, mode: 0o755}
			}
		}
		all[e.path] = e
	}
	sorted := make([]entry, 0, len(all))
	for _, e := range all {
		sorted = append(sorted, e)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].path < sorted[j].path })
	return sorted
}

// counted passes on what is written, counts it and hashes it.
type counted struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.h.Write(p[:n])
	c.n += int64(n)
	return n, err
}

func (c *counted) hash() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(c.h.Sum(nil))}
}

// tarDirectory writes the regular files below dir to w.
func tarDirectory(w io.Writer, dir string) error {
	t := tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return writeEntry(t, entry{path: name, mode: 0o644, source: path})
	})
	if err != nil {
		return err
	}
	return t.Close()
}

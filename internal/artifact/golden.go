package artifact

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// unpackImages imports the OCI layout at images into a fresh containerd and
// leaves that one's root directory at root.
func (b *builder) unpackImages(s *Set, images, root string) (err error) {
	b.report(Event{Phase: "start"})
	dir := filepath.Join(b.tmp, "c")
	c, err := startContainerd(b.ctx, s.Bin, dir, s.Images["pause"])
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			c.stop()
		}
	}()
	b.report(Event{Phase: "import", Detail: fmt.Sprintf("%d images", len(s.Images))})
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(tarDirectory(writer, images)) }()
	_, err = c.ctr(b.ctx, reader, "images", "import", "-")
	reader.Close()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, c.lastWords())
	}
	b.report(Event{Phase: "import", Detail: "names by ID"})
	if err := c.wait(b.ctx, 30*time.Second, func() (bool, error) { return namedByID(b.ctx, c, s.Images) }); err != nil {
		return fmt.Errorf("wait for containerd to name the images by ID: %w\n%s", err, c.lastWords())
	}
	stopped = true
	if err := c.stop(); err != nil {
		return fmt.Errorf("stop containerd: %w", err)
	}
	return os.Rename(filepath.Join(dir, "root"), root)
}

// namedByID tells whether every image is there under its reference and under
// the digest of its configuration.
func namedByID(ctx context.Context, c *privateContainerd, images map[string]string) (bool, error) {
	output, err := c.ctr(ctx, nil, "images", "list", "-q")
	if err != nil {
		return false, err
	}
	names := strings.Fields(string(output))
	ids := 0
	for _, name := range names {
		if strings.HasPrefix(name, "sha256:") {
			ids++
		}
	}
	for _, reference := range images {
		if !slices.Contains(names, reference) {
			return false, fmt.Errorf("%s is not there", reference)
		}
	}
	if ids < len(images) {
		return false, fmt.Errorf("%d of %d images have a name by ID", ids, len(images))
	}
	return true, nil
}

// shareLimit is the size in bytes above which a content blob is shared by all
// nodes; smaller ones are cheaper to copy than to follow a link to.
const shareLimit = 64 << 10

// splitGolden divides the root directory of a containerd in two: what never
// changes goes to golden, and tree gets what a node writes to (the databases
// and small blobs) with symbolic links to where golden will be mounted.
// Removing an image on a node removes the links.
func splitGolden(root, golden, tree string) error {
	const (
		overlay  = "io.containerd.snapshotter.v1.overlayfs"
		metadata = "io.containerd.metadata.v1.bolt"
		content  = "io.containerd.content.v1.content"
	)
	for _, file := range []string{overlay + "/metadata.db", metadata + "/meta.db"} {
		if err := copyFile(filepath.Join(root, file), filepath.Join(tree, file), 0o600); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(tree, content, "ingest"), 0o755); err != nil {
		return err
	}
	move := func(from, to string) error {
		target := filepath.Join(golden, to)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(root, from), target); err != nil {
			return err
		}
		link := filepath.Join(tree, from)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		return os.Symlink(filepath.Join(GoldenMount, to), link)
	}
	snapshots, err := os.ReadDir(filepath.Join(root, overlay, "snapshots"))
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		if err := move(filepath.Join(overlay, "snapshots", s.Name()), filepath.Join("snapshots", s.Name())); err != nil {
			return err
		}
	}
	blobs, err := os.ReadDir(filepath.Join(root, content, "blobs", "sha256"))
	if err != nil {
		return err
	}
	for _, blob := range blobs {
		from := filepath.Join(content, "blobs", "sha256", blob.Name())
		info, err := blob.Info()
		if err != nil {
			return err
		}
		if info.Size() > shareLimit {
			err = move(from, filepath.Join("blobs", "sha256", blob.Name()))
		} else {
			err = copyFile(filepath.Join(root, from), filepath.Join(tree, from), 0o444)
		}
		if err != nil {
			return err
		}
	}
	return os.RemoveAll(root)
}

// shareInodes replaces each program inside the unpacked images by a hard link
// to the same program in the cache: a node's kubelet and its API server's pod
// then run from one copy in memory.
func shareInodes(golden string, plans []plan) error {
	programs := map[string][]string{} // base name → paths in the cache
	for _, p := range plans {
		files, err := os.ReadDir(p.dir)
		if err != nil {
			return err
		}
		for _, file := range files {
			if file.Type().IsRegular() {
				programs[file.Name()] = append(programs[file.Name()], p.program(file.Name()))
			}
		}
	}
	return filepath.WalkDir(filepath.Join(golden, "snapshots"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		for _, program := range programs[e.Name()] {
			if same, err := sameContent(path, program); err != nil {
				return err
			} else if same {
				fresh := path + ".zdl"
				if err := os.Link(program, fresh); err != nil {
					return err
				}
				return os.Rename(fresh, path)
			}
		}
		return nil
	})
}

// sameContent tells whether two files have the same bytes and mode.
func sameContent(a, b string) (bool, error) {
	infoA, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	infoB, err := os.Stat(b)
	if err != nil {
		return false, err
	}
	if infoA.Size() != infoB.Size() || infoA.Mode() != infoB.Mode() {
		return false, nil
	}
	fileA, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer fileA.Close()
	fileB, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer fileB.Close()
	bufA, bufB := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, errA := io.ReadFull(fileA, bufA)
		m, errB := io.ReadFull(fileB, bufB)
		if n != m || !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		if errA != nil || errB != nil {
			end := func(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
			if !end(errA) || !end(errB) {
				return false, fmt.Errorf("compare %s with %s: %v, %v", a, b, errA, errB)
			}
			return true, nil
		}
	}
}

func copyFile(from, to string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, mode)
}

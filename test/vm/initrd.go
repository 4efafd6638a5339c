package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// bootModules are what it takes to find the root file system and the shares;
// everything else the guest loads by itself from its own /lib/modules.
var bootModules = []string{"virtio_pci", "virtio_blk", "ext4", "9pnet_virtio", "9p"}

// order is what the guest's init is told; the init declares the same fields.
type order struct {
	Command []string
	Env     []string
	Mounts  []mount // 9p shares
	Disks   []mount // ext4
}

type mount struct{ Source, Target string }

// writeModules packs bootModules and all they depend on into an archive, in the
// order in which they must be loaded.
func writeModules(ctx context.Context, root, release, target string) error {
	f, err := os.Create(target)
	if err != nil {
		return err
	}
	defer f.Close()
	archive := newArchive(f)
	archive.dir("modules")
	seen := map[string]bool{}
	for _, module := range bootModules {
		out, err := output(ctx, "", "modprobe", "--show-depends", "--dirname", filepath.Join(root, "usr"), "--set-version", release, module)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			fields := strings.Fields(line)
			if len(fields) < 2 || fields[0] != "insmod" || seen[fields[1]] {
				continue
			}
			path := fields[1]
			if !strings.HasSuffix(path, ".ko") {
				return fmt.Errorf("module %s is packed; only plain modules can be loaded", path)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			archive.file(fmt.Sprintf("modules/%02d-%s", len(seen), filepath.Base(path)), 0o644, data)
			seen[path] = true
		}
	}
	return errors.Join(archive.close(), f.Close())
}

// withInitrd builds our init, which may be newer than the cached image, and
// puts it in front of the modules.
func (img *image) withInitrd(ctx context.Context) (*image, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return nil, errors.New("where the source lies is unknown")
	}
	dir := filepath.Dir(img.initrd)
	binary := filepath.Join(dir, "init")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./init")
	cmd.Dir = filepath.Dir(here)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest's init: %w\n%s", err, out)
	}
	init, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	f, err := os.Create(img.initrd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	archive := newArchive(f)
	archive.file("init", 0o755, init)
	if err := archive.close(); err != nil {
		return nil, fmt.Errorf("write the initrd: %w", err)
	}
	// The kernel unpacks any number of archives, one after another.
	if err := appendFile(f, filepath.Join(dir, "modules.cpio")); err != nil {
		return nil, fmt.Errorf("write the initrd: %w", err)
	}
	return img, f.Close()
}

// writeInitrd writes the initrd of one run: the image's and the order.
func (img *image) writeInitrd(target string, o order) error {
	f, err := os.Create(target)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := appendFile(f, img.initrd); err != nil {
		return err
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	archive := newArchive(f)
	archive.file("order.json", 0o600, data)
	return errors.Join(archive.close(), f.Close())
}

func appendFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

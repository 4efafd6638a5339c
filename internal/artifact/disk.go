package artifact

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// varDirectories are what a node expects below /var besides containerd's own.
var varDirectories = []struct {
	path string
	mode os.FileMode
}{
	{"cache", 0o755},
	{"lib/containerd", 0o711},
	{"lib/cni", 0o700},
	{"lib/etcd", 0o700},
	{"lib/kubelet", 0o750},
	{"lib/kubelet/pods", 0o750},
	{"log", 0o755},
	{"log/containers", 0o755},
	{"log/pods", 0o755},
	{"opt", 0o755},
	{"spool", 0o755},
	{"tmp", 0o777 | os.ModeSticky},
}

// makeDisk makes the disk template at path, holding tree. It is written so
// that a sparse copy is a few MiB and a kernel that mounts the copy has
// nothing left to initialise: a node's disk then grows only by what the node
// writes.
func (b *builder) makeDisk(tree, path string) error {
	for _, dir := range varDirectories {
		full := filepath.Join(tree, dir.path)
		if err := os.MkdirAll(full, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(full, dir.mode); err != nil {
			return err
		}
	}
	mkfs, err := lookSystem("mkfs.ext4")
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(DiskSize); err != nil {
		return err
	}
	// One inode for 64 KiB: 160,000 files, with tables that take 40 MB when
	// all are in use. The journal is small because nobody mounts this over a
	// real power cut of the host's disk: the host's page cache outlives a node.
	args := []string{
		"-q", "-F", "-m", "0", "-L", "zdl-node", "-i", "65536", "-J", "size=16",
		"-O", "^resize_inode",
		"-E", strings.Join(b.extOptions(mkfs), ","),
		"-d", tree, path,
	}
	if output, err := exec.CommandContext(b.ctx, mkfs, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", mkfs, strings.Join(args, " "), err, tail(output, 2000))
	}
	return nil
}

// extOptions says that a new sparse file is all zeros, which spares writing
// them and spares the kernel the background initialisation of inode tables.
// Before e2fsprogs 1.47 there is no such option: the kernel then initialises
// lazily, which is right too, only the disks grow by 40 MB in their first
// minutes.
func (b *builder) extOptions(mkfs string) []string {
	output, err := exec.CommandContext(b.ctx, mkfs, "-V").CombinedOutput()
	if err == nil && e2fsprogsAtLeast(string(output), 1, 47) {
		return []string{"nodiscard", "assume_storage_prezeroed=1"}
	}
	return []string{"nodiscard", "lazy_itable_init=1", "lazy_journal_init=1"}
}

// e2fsprogsAtLeast reads "mke2fs 1.47.0 (5-Feb-2023)".
func e2fsprogsAtLeast(banner string, major, minor int) bool {
	fields := strings.Fields(banner)
	if len(fields) < 2 {
		return false
	}
	parts := strings.Split(strings.SplitN(fields[1], "-", 2)[0], ".")
	if len(parts) < 2 {
		return false
	}
	a, errA := strconv.Atoi(parts[0])
	b, errB := strconv.Atoi(parts[1])
	return errA == nil && errB == nil && (a > major || a == major && b >= minor)
}

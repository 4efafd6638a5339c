package vm

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// packArtifacts writes the current set of artifacts into a disk image, once per
// set. A share would not do: overlayfs, sparse copies and the page cache work
// on a disk as they do on a user's machine, and 9p has none of them.
func packArtifacts(ctx context.Context, cache string, log io.Writer) (string, error) {
	const current = "current-amd64"
	set, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(cache), current))
	if err != nil {
		return "", fmt.Errorf("find the programs and images of the lab (run: zdl build): %w", err)
	}
	disk := filepath.Join(cache, "artifacts-"+filepath.Base(set)+".ext4")
	if _, err := os.Stat(disk); err == nil {
		return disk, nil
	}
	fmt.Fprintln(log, "packing", set, "into a disk for the guest")
	outdated, err := filepath.Glob(filepath.Join(cache, "artifacts-*"))
	if err != nil {
		return "", err
	}
	staging := filepath.Join(cache, "packing")
	for _, path := range append(outdated, staging) {
		if err := os.RemoveAll(path); err != nil {
			return "", fmt.Errorf("remove what is outdated: %w", err)
		}
	}
	defer os.RemoveAll(staging)
	sets := filepath.Join(staging, "sets")
	if err := os.MkdirAll(sets, 0o755); err != nil {
		return "", err
	}
	// Hard links cost neither time nor space; mke2fs only reads.
	if _, err := output(ctx, "", "cp", "--archive", "--link", set, sets); err != nil {
		return "", err
	}
	if err := os.Symlink(filepath.Join("sets", filepath.Base(set)), filepath.Join(staging, current)); err != nil {
		return "", err
	}
	used, files, err := usage(staging)
	if err != nil {
		return "", fmt.Errorf("measure %s: %w", set, err)
	}
	size := used + used/8 + 64<<20
	partial := disk + ".partial"
	if _, err := output(ctx, "", "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-b", "4096", "-m", "0",
		"-N", strconv.FormatInt(files+files/8+1024, 10), "-d", staging, partial,
		strconv.FormatInt(size>>10, 10)+"k"); err != nil {
		return "", fmt.Errorf("pack the artifacts: %w", err)
	}
	return disk, os.Rename(partial, disk)
}

// usage counts the bytes that the files below dir occupy, holes left out, and
// the files.
func usage(dir string) (bytes, files int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += st.Blocks * 512
		}
		files++
		return nil
	})
	return bytes, files, err
}

// checkShares turns a mistake into a sentence; qemu's own would be a riddle.
func checkShares(shares []Share) error {
	for _, s := range shares {
		info, err := os.Stat(s.Source)
		switch {
		case err != nil:
			return fmt.Errorf("share with the guest: %w", err)
		case !info.IsDir():
			return fmt.Errorf("share with the guest: %s is no directory", s.Source)
		case strings.Contains(s.Source, ","):
			return fmt.Errorf("share with the guest: %s: qemu cannot share a path with a comma", s.Source)
		case !filepath.IsAbs(s.Target):
			return fmt.Errorf("share with the guest: %s is not an absolute path", s.Target)
		}
	}
	return nil
}

package artifact

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Export writes everything that a lab needs at run time into the tar file at
// path: zdl, zdl-init and the set, below one directory. Unpacked by root on a
// machine of the same architecture, it works without Go, without a network and
// without a build:
//
//	tar -xf zdl-lab.tar && zdl-lab/zdl up
//
// A name that ends with .gz, .tgz, .zst or .xz is compressed. It needs GNU
// tar. The file appears when it is complete.
func Export(ctx context.Context, s *Set, path string) (err error) {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for _, name := range []string{"zdl", "zdl-init"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(exe), name)); err != nil {
			return fmt.Errorf("export: %s must lie beside zdl: %w", name, err)
		}
	}
	return exportFrom(ctx, s, path, filepath.Dir(exe))
}

// exportFrom takes zdl and zdl-init from the directory programs.
func exportFrom(ctx context.Context, s *Set, path, programs string) error {
	if s.Golden == "" {
		return fmt.Errorf("export: %s holds programs for %s only, no images", s.Dir, s.Arch)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	cache := filepath.Dir(filepath.Dir(s.Dir))
	// The suffix decides on the compression, so it must stay at the end.
	partial := filepath.Join(filepath.Dir(path), fmt.Sprintf(".partial-%d-%s", os.Getpid(), filepath.Base(path)))
	defer os.Remove(partial)
	cmd := exec.CommandContext(ctx, "tar", "--create", "--auto-compress", "--file", partial,
		"--sparse", "--numeric-owner", "--owner=0", "--group=0", "--exclude=holders",
		// The flag S spares the targets of symbolic links.
		`--transform=s,^zdl\(-init\)\?$,`+exportDir+`/&,S`,
		`--transform=s,^\(sets/\|current-\),`+exportDir+`/`+exportCache+`/\1,S`,
		"-C", programs, "zdl", "zdl-init",
		"-C", cache, filepath.Base(currentLink(cache, s.Arch)), filepath.Join("sets", filepath.Base(s.Dir)))
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("export: %s: %w\n%s", cmd.Path, err, tail(output, 2000))
	}
	if err := os.Rename(partial, path); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

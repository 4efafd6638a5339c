package artifact

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// prune removes what matches one of the patterns of path.Match from the tree at
// root. A pattern is relative to root; one that begins with "**/" matches at any
// depth.
func prune(root string, patterns []string) error {
	for _, pattern := range patterns {
		if name, ok := strings.CutPrefix(pattern, "**/"); ok {
			if err := pruneAnywhere(root, name); err != nil {
				return err
			}
			continue
		}
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, name := range found {
			if err := os.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func pruneAnywhere(root, name string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ok, _ := filepath.Match(name, e.Name()); !ok || path == root {
			return nil
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// linkUsr gives a tree the directories of libraries at its top that the loader is
// named by, where the packages of the release have them below /usr only.
func linkUsr(root string) error {
	for _, name := range []string{"lib", "lib64"} {
		top := filepath.Join(root, name)
		if _, err := os.Lstat(top); err == nil {
			continue
		}
		if _, err := os.Lstat(filepath.Join(root, "usr", name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.Symlink("usr/"+name, top); err != nil {
			return err
		}
	}
	return nil
}

// missingLibraries lists the shared libraries that programs and libraries below
// root are linked against and that are not there, as "NAME (for PATH)".
func missingLibraries(root string) ([]string, error) {
	there := map[string]bool{}
	needed := map[string]string{} // library → who needs it
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if strings.Contains(e.Name(), ".so") {
			there[e.Name()] = true
		}
		if !e.Type().IsRegular() {
			return nil
		}
		file, err := elf.Open(path)
		if err != nil {
			return nil // no program
		}
		defer file.Close()
		libraries, err := file.ImportedLibraries()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, name := range libraries {
			needed[name], _ = filepath.Rel(root, path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var missing []string
	for name, by := range needed {
		if !there[name] {
			missing = append(missing, fmt.Sprintf("%s (for /%s)", name, by))
		}
	}
	slices.Sort(missing)
	return missing, nil
}

// treeEntries are the entries of a layer that hold the tree at root. Files keep
// their permissions; owners and times are those of every layer.
func treeEntries(root string) ([]entry, error) {
	var out []entry
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		one := entry{path: "/" + name, mode: int64(info.Mode().Perm())}
		if info.Mode()&fs.ModeSticky != 0 {
			one.mode |= 0o1000
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if one.link, err = os.Readlink(path); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			one.source = path
		case !info.IsDir():
			return nil // devices and the like have no place in an image
		}
		out = append(out, one)
		return nil
	})
	return out, err
}

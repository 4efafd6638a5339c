package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Hold keeps this generation from being removed by later builds for as long
// as the file or directory at path exists: a lab passes the place where its
// disks are, since they are of no use without the golden root that they were
// made from. Holding twice is holding once.
func (s *Set) Hold(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("hold %s: %w", s.Dir, err)
	}
	dir := filepath.Join(s.Dir, "holders")
	if err := os.MkdirAll(dir, 0o755); err != nil && !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("hold %s: %w", s.Dir, err)
	}
	sum := sha256.Sum256([]byte(path))
	name := filepath.Join(dir, hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	// By rename: a holder that is half written would hold nothing.
	fresh := fmt.Sprintf("%s.%d", name, os.Getpid())
	err = os.WriteFile(fresh, []byte(path), 0o644)
	if errors.Is(err, syscall.EROFS) {
		return nil // what lies on a read-only file system is removed by nobody
	}
	if err != nil {
		return fmt.Errorf("hold %s: %w", s.Dir, err)
	}
	if err := os.Rename(fresh, name); err != nil {
		return fmt.Errorf("hold %s: %w", s.Dir, err)
	}
	return nil
}

// held tells whether anything that holds the generation at dir still exists.
// Files of holders that are gone are removed.
func held(dir string) (bool, error) {
	holders, err := os.ReadDir(filepath.Join(dir, "holders"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	found := false
	for _, holder := range holders {
		name := filepath.Join(dir, "holders", holder.Name())
		path, err := os.ReadFile(name)
		if err != nil {
			return false, err
		}
		_, err = os.Stat(string(path))
		switch {
		case err == nil:
			found = true
		case errors.Is(err, os.ErrNotExist):
			if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return false, err
			}
		default:
			return false, err
		}
	}
	return found, nil
}

// mounted tells whether a process has something of dir mounted, as every node
// of a running lab has.
func mounted(dir string) bool {
	tables, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		return false
	}
	// The field with the root of a mount is relative to its file system.
	within := "/" + filepath.Join("sets", filepath.Base(dir)) + "/"
	for _, table := range tables {
		// Processes end while we look.
		if data, err := os.ReadFile(table); err == nil && strings.Contains(string(data), within) {
			return true
		}
	}
	return false
}

// collect removes generations and programs of this architecture that are
// neither current nor held by a lab.
func (b *builder) collect(plans []plan, current *Set) error {
	sets, err := os.ReadDir(filepath.Join(b.o.CacheDir, "sets"))
	if err != nil {
		return err
	}
	for _, set := range sets {
		dir := filepath.Join(b.o.CacheDir, "sets", set.Name())
		if dir == current.Dir || !strings.HasPrefix(set.Name(), b.o.Arch+"-") {
			continue
		}
		inUse, err := held(dir)
		if err != nil {
			return err
		}
		if inUse || mounted(dir) {
			continue
		}
		if err := b.discard(dir); err != nil {
			return err
		}
	}
	// A held generation has its own links to its programs.
	wanted := map[string]bool{}
	for _, p := range plans {
		wanted[p.dir] = true
	}
	programs, err := os.ReadDir(filepath.Join(b.o.CacheDir, "programs"))
	if err != nil {
		return err
	}
	for _, program := range programs {
		dir := filepath.Join(b.o.CacheDir, "programs", program.Name())
		if wanted[dir] || !strings.Contains(program.Name(), "-"+b.o.Arch+"-") {
			continue
		}
		if err := b.discard(dir); err != nil {
			return err
		}
	}
	return nil
}

// discard removes dir so that no half of it is ever seen in its place.
func (b *builder) discard(dir string) error {
	b.log.Info("remove old artifacts", "dir", dir)
	gone := filepath.Join(b.tmp, "old-"+filepath.Base(dir))
	if err := os.Rename(dir, gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/parser"
	"go/token"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// key collects what goes into an artifact and names it by a hash.
type key struct{ h hash.Hash }

func newKey(parts ...string) *key {
	k := &key{h: sha256.New()}
	for _, p := range parts {
		k.add(p)
	}
	return k
}

func (k *key) add(part string) { fmt.Fprintf(k.h, "%d:%s\n", len(part), part) }

// addFile adds a name and the content of the file at path.
func (k *key) addFile(name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	k.add(name)
	fmt.Fprintf(k.h, "%d:", info.Size())
	_, err = io.Copy(k.h, file)
	return err
}

// addDir adds every regular file below dir, in order of their names.
func (k *key) addDir(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return k.addFile(name, path)
	})
}

// String is the first 48 bits of the hash in hexadecimal: short enough for a
// directory name, long enough for the handful of generations in a cache.
func (k *key) String() string { return hex.EncodeToString(k.h.Sum(nil)[:6]) }

// addPackage adds the Go package in dir of the module at root, and the
// packages of the same module that it imports, all files of their
// directories. Imports of other modules add the module's go.sum.
func (k *key) addPackage(root, module, dir string) error {
	seen := map[string]bool{}
	foreign := false
	var visit func(dir string) error
	visit = func(dir string) error {
		if seen[dir] {
			return nil
		}
		seen[dir] = true
		imports, err := importsOf(filepath.Join(root, dir))
		if err != nil {
			return err
		}
		k.add(dir)
		if err := k.addDir(filepath.Join(root, dir)); err != nil {
			return err
		}
		for _, path := range imports {
			switch inner, ok := strings.CutPrefix(path, module+"/"); {
			case ok:
				if err := visit(inner); err != nil {
					return err
				}
			case strings.Contains(strings.SplitN(path, "/", 2)[0], "."):
				foreign = true
			}
		}
		return nil
	}
	if err := visit(dir); err != nil {
		return err
	}
	if foreign {
		return k.addFile("go.sum", filepath.Join(root, "go.sum"))
	}
	return nil
}

// importsOf returns the import paths of the non-test files in dir, sorted.
func importsOf(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return nil, err
		}
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

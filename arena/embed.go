// Package levels holds the levels of the arena: one YAML file each, and its text
// beside it. docs/arena.md says how to write one.
package levels

import (
	"embed"
	"io/fs"
)

//go:embed levels
var files embed.FS

// Files are the levels' files.
func Files() fs.FS {
	dir, err := fs.Sub(files, "levels")
	if err != nil {
		panic(err) // the embedded tree is part of this program
	}
	return dir
}

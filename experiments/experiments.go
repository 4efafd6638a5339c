// Package experiments is the library of chaos experiments: one file each.
package experiments

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// Names lists the library, in the order of the alphabet.
func Names() []string {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		panic(err) // the embedded tree is part of this program
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return out
}

// File is the text of one experiment of the library.
func File(name string) ([]byte, error) { return files.ReadFile(name + ".yaml") }

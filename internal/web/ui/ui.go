// Package ui is the page. Its source is in src (Svelte), its build in dist; the
// build is committed, so that Go needs no Node.js. `make ui` builds it anew, and
// `make ui-check` proves that the build is what the source makes.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files is the page: index.html and what it loads.
func Files() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the embedded tree is part of this program
	}
	return sub
}

// Package docs is the documentation itself, for programs that show it.
package docs

import "embed"

// Files are the documents, NAME.md.
//
//go:embed *.md
var Files embed.FS

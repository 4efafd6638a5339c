// Package incidents is the library of incidents: a scenario and a runbook each.
package incidents

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.yaml *.md
var files embed.FS

// Names lists the library, in the order of the alphabet. Names tell what is felt,
// not what is wrong.
func Names() []string {
	entries, err := fs.Glob(files, "*.yaml")
	if err != nil {
		panic(err) // the pattern is part of this program
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e, ".yaml"))
	}
	return out
}

// File is the text of one scenario of the library.
func File(name string) ([]byte, error) { return files.ReadFile(name + ".yaml") }

// Runbook is the text with which a scenario ends: how such an incident is found,
// why it came about, first aid, and prevention. Markdown.
func Runbook(name string) ([]byte, error) { return files.ReadFile(name + ".md") }

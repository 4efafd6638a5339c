package main

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"zdl/internal/artifact"
)

type versions struct {
	ZDL       string            `json:"zdl"` // commit of the sources, or "unknown"
	Go        string            `json:"go"`
	Platform  string            `json:"platform"`
	Artifacts map[string]string `json:"artifacts,omitempty"` // what a lab is made of, if it is built
}

func (a *app) versionCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of zdl and of what a lab is made of",
		Example: "  zdl version\n  zdl version -o json",
		Args:    args(cobra.NoArgs, "zdl version"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := versions{ZDL: commit(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
		if set, err := artifact.Open(a.dirs.Cache); err == nil {
			v.Artifacts = set.Versions
		}
		if *output == "json" {
			return a.printJSON(v)
		}
		return a.table(func(w io.Writer) {
			fmt.Fprintf(w, "zdl\t%s, %s, %s\n", v.ZDL, v.Go, v.Platform)
			for _, name := range slices.Sorted(maps.Keys(v.Artifacts)) {
				fmt.Fprintf(w, "%s\t%s\n", name, v.Artifacts[name])
			}
		})
	}
	return cmd
}

// revision is the source's commit; the Makefile sets it.
var revision string

// commit is the source's commit, from the Makefile or from the Go toolchain.
func commit() string {
	if revision != "" {
		return revision
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, modified := "unknown", ""
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			commit = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-dirty"
		}
	}
	return commit + modified
}

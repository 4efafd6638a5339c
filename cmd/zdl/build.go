package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/artifact"
	"zdl/internal/lab"
)

// buildFlags say what to build, from what, and where to.
type buildFlags struct{ arch, source, export string }

func buildCmd() *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build what a lab is made of, once",
		Long: `Builds the upstream programs (Kubernetes, etcd, containerd, runc, …), the
container images, the containerd root that all nodes share and the disk they
start from, into the cache: ` + artifact.EnvCache + ` or /var/cache/zdl. Each part is built
once and built again only when its sources change; what is there is found in a
fraction of a second. The first time takes about ten minutes on two cores.

For another architecture only the programs are built.`,
		Example: `  zdl build
  zdl build --arch arm64
  zdl build --export zdl-lab.tar   one file that runs on machines without Go and network`,
		Args: args(cobra.NoArgs, "zdl build"),
	}
	output := outputFlag(cmd)
	cmd.Flags().StringVar(&f.arch, "arch", runtime.GOARCH, "architecture: amd64 or arm64")
	cmd.Flags().StringVar(&f.source, "source", "", "the project's source tree (default: found from the current directory or from where zdl lies)")
	cmd.Flags().StringVar(&f.export, "export", "", "write everything that a lab needs into this tar file")
	_ = cmd.RegisterFlagCompletionFunc("arch", cobra.FixedCompletions([]string{"amd64", "arm64"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.arch != "amd64" && f.arch != "arm64" {
			return &usageError{fmt.Sprintf("--arch %q: must be amd64 or arm64", f.arch), "zdl build --arch arm64"}
		}
		if f.export != "" && f.arch != runtime.GOARCH {
			return &usageError{"--export needs the images, which can be built only for " + runtime.GOARCH + " here", "zdl build --export zdl-lab.tar"}
		}
		a := &app{stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), dirs: lab.DefaultDirs()}
		return a.build(cmd, f, *output)
	}
	return cmd
}

// built is what zdl build -o json prints.
type built struct {
	*artifact.Set
	Dir    string        `json:"dir"`
	Took   time.Duration `json:"took"` // nanoseconds
	Export string        `json:"export,omitempty"`
}

func (a *app) build(cmd *cobra.Command, f buildFlags, output string) error {
	source, err := sourceTree(f.source)
	if err != nil {
		return err
	}
	began, fresh := time.Now(), false
	display := newProgress(a.stderr)
	set, err := artifact.Build(cmd.Context(), artifact.Options{
		CacheDir:  a.dirs.Cache,
		SourceDir: source,
		Arch:      f.arch,
		Progress: func(e artifact.Event) {
			if !e.Cached { // what is there is not worth a line
				fresh = true
				display.step(buildStep(e, time.Since(began)))
			}
		},
	})
	if err == nil && f.export != "" {
		display.step(lab.Progress{Phase: "export", Detail: f.export, Elapsed: time.Since(began)})
		if err = artifact.Export(cmd.Context(), set, f.export); err == nil {
			display.step(lab.Progress{Phase: "export", Elapsed: time.Since(began), Done: true})
		}
	}
	display.close()
	if err != nil {
		return err
	}
	if output == "json" {
		return a.printJSON(built{Set: set, Dir: set.Dir, Took: time.Since(began), Export: f.export})
	}
	if fresh {
		fmt.Fprintf(a.stderr, "built: %s\n", set.Dir)
	} else {
		fmt.Fprintf(a.stderr, "nothing to build: %s\n", set.Dir)
	}
	return nil
}

// buildStep puts an event of the builder into the words of the display.
func buildStep(e artifact.Event, elapsed time.Duration) lab.Progress {
	p := lab.Progress{Phase: e.Name, Elapsed: elapsed, Done: e.Done}
	name := strings.TrimSpace(e.Name + " " + e.Version)
	switch {
	case e.Done && e.Detail != "": // an image that was left out
		p.Detail = e.Name + " " + e.Detail
	case e.Done && e.Version != "":
		p.Detail = e.Version
	case e.Done:
		p.Detail = map[string]string{
			"images": "container images",
			"golden": "the containerd root that all nodes share",
			"disk":   "the disk that nodes start from",
		}[e.Name]
	default:
		p.Detail = fmt.Sprintf("%d/%d %s %s", e.Step, e.Steps, name, e.Phase)
		if e.Detail != "" {
			p.Detail += ": " + e.Detail
		}
	}
	return p
}

// sourceTree finds the project's sources: where the user says, above the
// current directory, or above the directory of this program.
func sourceTree(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	var starts []string
	if dir, err := os.Getwd(); err == nil {
		starts = append(starts, dir)
	}
	if exe, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(exe))
	}
	for _, dir := range starts {
		for {
			if _, err := os.Stat(filepath.Join(dir, "upstream", "kubernetes", "go.mod")); err == nil {
				return dir, nil
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return "", errors.New("the project's sources are not here; run zdl build inside its directory, or say where it is with --source DIR")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/artifact"
	"zdl/internal/cluster"
	"zdl/internal/lab"
)

func imageCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image",
		Short:   "Bring container images into the lab",
		Example: "  zdl image load shop.tar",
		RunE:    subcommandOnly,
	}
	cmd.AddCommand(imageLoadCmd())
	return cmd
}

func imageLoadCmd() *cobra.Command {
	var rename string
	cmd := &cobra.Command{
		Use:   "load FILE|DIR",
		Short: "Load an image archive onto all nodes",
		Long: `Loads the images of an OCI layout (a directory, or a tar of one) or of a docker
archive (docker save, also compressed) onto all nodes of the lab. The archive is
checked in full first. There is no registry in the way, so a pod that uses such
an image must not pull it: give it a version, or imagePullPolicy: IfNotPresent.`,
		Example: `  docker save shop:1.4 | gzip > shop.tar.gz && zdl image load shop.tar.gz
  zdl image load ./layout --as example.com/shop:1.4
  zdl image load shop.tar -o json | jq -r '.nodes[] | select(.loaded | not) | .node'`,
		Args: args(cobra.ExactArgs(1), "zdl image load shop.tar"),
	}
	output := outputFlag(cmd)
	cmd.Flags().StringVar(&rename, "as", "", "name for the archive's only image, where it has none or another")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, err := cmd.Flags().GetString("name")
		if err != nil {
			return err
		}
		a := &app{stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), dirs: lab.DefaultDirs(), name: name}
		return a.loadImage(cmd, args[0], rename, *output)
	}
	return cmd
}

// loaded is what zdl image load -o json prints.
type loaded struct {
	*artifact.Archive
	Nodes []artifact.LoadResult `json:"nodes"`
}

func (a *app) loadImage(cmd *cobra.Command, path, rename, output string) error {
	client, err := a.connect(cmd)
	if err != nil {
		return err
	}
	var s cluster.Snapshot
	if err := client.Do(cmd.Context(), http.MethodGet, "/api/v1/snapshot", nil, &s); err != nil {
		return err
	}
	var nodes []string
	for _, n := range s.Nodes() {
		nodes = append(nodes, n.Name)
	}
	if len(nodes) == 0 {
		return fmt.Errorf("lab %q shows no nodes yet; see zdl status", a.name)
	}
	archive, err := artifact.OpenArchive(path, runtime.GOARCH, rename)
	if err != nil {
		return err
	}
	defer archive.Close()
	results, err := artifact.Load(cmd.Context(), archive, nodeRunner{a.dirs, a.name}, nodes)
	if output == "json" {
		return errors.Join(a.printJSON(loaded{archive, results}), err)
	}
	for _, i := range archive.Images {
		fmt.Fprintf(a.stdout, "%s (%s, %.1f MB)\n", i.Name, i.Platform, float64(i.Size)/1e6)
		if strings.HasSuffix(i.Name, ":latest") {
			fmt.Fprintln(a.stderr, "  a pod pulls :latest always, and there is no registry: set imagePullPolicy: IfNotPresent")
		}
	}
	for _, r := range results {
		if r.Loaded {
			fmt.Fprintf(a.stdout, "  %s: loaded in %s\n", r.Node, seconds(r.Took.Round(100*time.Millisecond)))
		}
	}
	return err
}

// nodeRunner runs commands inside the nodes of a lab.
type nodeRunner struct {
	dirs lab.Dirs
	name string
}

func (r nodeRunner) Run(ctx context.Context, node string, stdin io.Reader, argv ...string) ([]byte, error) {
	cmd, err := lab.OpenShell(ctx, r.dirs, r.name, node, argv)
	if err != nil {
		return nil, err
	}
	cmd.Stdin = stdin
	output, err := cmd.CombinedOutput()
	if err != nil {
		return output, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, strings.TrimSpace(string(output)))
	}
	return output, nil
}

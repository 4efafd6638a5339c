package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zdl/experiments"
	"zdl/internal/experiment"
	"zdl/internal/lab"
	"zdl/internal/report"
	"zdl/internal/topology"
	"zdl/internal/web"
)

// reportsDir is where reports go unless told otherwise.
const reportsDir = "reports"

type runFlags struct {
	repeat int
	seed   uint64
	dir    string
}

func (a *app) runCmd() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run FILE|NAME",
		Short: "Carry out a chaos experiment and write a report",
		Long: `Carries out an experiment: waits until the lab is steady, breaks what the file
says, watches what users and cluster go through, puts everything right again, and
gives a verdict on each expectation. NAME is one of zdl experiments.

Whatever happens, the lab is healed: by this command at its end or when it is
interrupted, by the lab itself if this command is killed. The exit code is 99 when
the hypothesis did not hold, or when the run proves nothing.`,
		Example: `  zdl run pod-deleted
  zdl run my-experiment.yaml --repeat 5
  zdl run worker-power-cut -o json`,
		Args: args(cobra.ExactArgs(1), "zdl run pod-deleted"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return experiments.Names(), cobra.ShellCompDirectiveDefault
		},
	}
	output := outputFlag(cmd)
	cmd.Flags().IntVar(&f.repeat, "repeat", 0, "how often, 1 to 100; default: as the file says")
	cmd.Flags().Uint64Var(&f.seed, "seed", 0, "of everything that is left to chance; default: as the file says")
	cmd.Flags().StringVar(&f.dir, "reports", reportsDir, "folder that the report's folder is made in")
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		e, err := readExperiment(words[0])
		if err != nil {
			return err
		}
		if f.repeat < 0 || f.repeat > 100 {
			return &usageError{fmt.Sprintf("--repeat %d: want 1 to 100", f.repeat), "zdl run " + words[0] + " --repeat 5"}
		}
		if f.repeat > 0 {
			e.Repeat = f.repeat
		}
		if f.seed > 0 {
			e.Seed = f.seed
		}
		// Before anything is broken: is there room for what comes of it?
		if err := os.MkdirAll(f.dir, 0o755); err != nil {
			return fmt.Errorf("the report could not be written, so nothing was done: %w", err)
		}
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		d, err := a.carryOut(cmd.Context(), client, e)
		if err != nil {
			return err
		}
		d.Command = fmt.Sprintf("zdl run %s --repeat %d --seed %d", words[0], e.Repeat, e.Seed)
		path, err := d.Write(f.dir)
		if err != nil {
			return err
		}
		if *output == "json" {
			err = a.printJSON(d)
		} else {
			a.printDocument(d)
			fmt.Fprintf(a.stdout, "\nreport  %s\n", filepath.Join(path, "report.html"))
		}
		if err == nil && d.Outcome != experiment.Pass {
			return &exitError{exitThreshold}
		}
		return err
	}
	return cmd
}

// readExperiment reads a file, or one of the library by its name.
func readExperiment(word string) (*experiment.Experiment, error) {
	base := "http://" + topology.UserVIP.String()
	data, err := os.ReadFile(word)
	if err == nil {
		return experiment.Read(data, word, base)
	}
	if !errors.Is(err, fs.ErrNotExist) || strings.ContainsRune(word, filepath.Separator) || strings.HasSuffix(word, ".yaml") {
		return nil, err
	}
	if data, err = experiments.File(word); err != nil {
		return nil, &usageError{fmt.Sprintf("there is no experiment %q, and no file of that name", word), "zdl experiments"}
	}
	return experiment.Read(data, word+".yaml", base)
}

func (a *app) carryOut(ctx context.Context, client *lab.Client, e *experiment.Experiment) (*report.Document, error) {
	subject := lab.NewSubject(client, a.dirs, a.name)
	begin := time.Now()
	say := func(text string) { fmt.Fprintf(a.stderr, "%8s  %s\n", seconds(time.Since(begin)), text) }
	say(e.Title)
	var runs []experiment.Run
	for n := 1; n <= e.Repeat; n++ {
		if e.Repeat > 1 {
			say(fmt.Sprintf("run %d of %d", n, e.Repeat))
		}
		r, err := experiment.Carry(ctx, subject, e, n, say)
		if err != nil {
			return nil, err
		}
		runs = append(runs, *r)
		if ctx.Err() != nil {
			break
		}
	}
	d := report.New(e, runs)
	d.Environment = a.environment(context.WithoutCancel(ctx), client)
	return d, nil
}

// environment says where an experiment ran. What cannot be found out is left
// out: it must not cost the report.
func (a *app) environment(ctx context.Context, client *lab.Client) report.Environment {
	env := report.Environment{Lab: a.name, ZDL: commit(), Versions: map[string]string{}}
	var status struct {
		web.Status
		Lab lab.Status `json:"lab"`
	}
	if client.Do(ctx, http.MethodGet, "/api/v1/status", nil, &status) == nil {
		env.Timing, env.Versions = status.Lab.Timing, status.Lab.Versions
		env.Machines = plural(status.Nodes.Total, "node")
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	env.Host = fmt.Sprintf("Linux %s %s, %s", strings.TrimSpace(string(kernel)), runtime.GOARCH, plural(runtime.NumCPU(), "core"))
	return env
}

func (a *app) printDocument(d *report.Document) {
	for i := range d.Runs {
		r := &d.Runs[i]
		if len(d.Runs) > 1 {
			fmt.Fprintf(a.stdout, "\nrun %d: %s\n", r.Repetition, r.Outcome)
		}
		for _, v := range r.Verdicts {
			mark, colour := "✓", green
			if v.Outcome != experiment.Pass {
				mark, colour = "✗", red
			}
			fmt.Fprintf(a.stdout, "%s %s: %s\n", paint(a.stdout, colour, mark), v.Expected, v.Observed)
			if v.Outcome != experiment.Pass && v.Improve != "" {
				fmt.Fprintf(a.stdout, "  to improve: %s\n", v.Improve)
			}
		}
		if r.Seen.Aborted != "" {
			fmt.Fprintf(a.stdout, "%s\n", paint(a.stdout, yellow, "It was ended early: "+r.Seen.Aborted))
		}
		if r.Seen.Void != "" {
			fmt.Fprintf(a.stdout, "%s\n", paint(a.stdout, yellow, "This run proves nothing: "+r.Seen.Void))
		}
	}
	colour := map[experiment.Outcome]string{experiment.Pass: green, experiment.Fail: red, experiment.Void: yellow}[d.Outcome]
	fmt.Fprintf(a.stdout, "\n%s\n", paint(a.stdout, colour, d.Headline()))
}

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
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zdl/experiments"
	"zdl/internal/experiment"
	"zdl/internal/lab"
	"zdl/internal/niceness"
	"zdl/internal/report"
	"zdl/internal/web"
)

// reportsDir is where reports go unless told otherwise.
const reportsDir = "reports"

type runFlags struct {
	repeat  int
	seed    uint64
	dir     string
	rescue  string
	short   bool
	compare bool
}

func (a *app) runCmd() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run FILE|NAME [FILE|NAME]",
		Short: "Carry out a chaos experiment and write a report",
		Long: `Carries out an experiment: waits until the lab is steady, breaks what the file
says, watches what users and cluster go through, puts everything right again, and
gives a verdict on each expectation. NAME is one of zdl experiments.

With --compare it carries out two experiments in turn, A B A B, which differ in
what you want to know about, and tells whether that made a difference.

Whatever happens, the lab is healed: by this command at its end or when it is
interrupted; if it is killed, at once by a process that waits for that; and if that
is killed as well, by the lab itself when the time of each fault is over. The exit
code is 99 when the hypothesis did not hold, or when the run proves nothing.`,
		Example: `  zdl run pod-deleted
  zdl run my-experiment.yaml --repeat 5
  zdl run worker-power-cut -o json
  zdl run --compare prestop-race prestop-pause --repeat 5`,
		Args: func(cmd *cobra.Command, words []string) error {
			n := 1
			switch {
			case f.rescue != "":
				n = 0
			case f.compare:
				n = 2
			}
			return args(cobra.ExactArgs(n), "zdl run pod-deleted, or zdl run --compare A B")(cmd, words)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return experiments.Names(), cobra.ShellCompDirectiveDefault
		},
	}
	output := outputFlag(cmd)
	cmd.Flags().IntVar(&f.repeat, "repeat", 0, "how often, 1 to 100; default: as the file says")
	cmd.Flags().Uint64Var(&f.seed, "seed", 0, "of everything that is left to chance; default: as the file says")
	cmd.Flags().StringVar(&f.dir, "reports", reportsDir, "folder that the report's folder is made in")
	cmd.Flags().BoolVar(&f.short, "short", false, "the short form: pauses are cut, what is done and expected stays the same")
	cmd.Flags().BoolVar(&f.compare, "compare", false, "carry out two experiments in turn and compare them")
	cmd.Flags().StringVar(&f.rescue, "rescue", "", "")
	_ = cmd.Flags().MarkHidden("rescue") // it exists
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		if f.rescue != "" {
			client, err := a.connect(cmd)
			if err != nil {
				return err
			}
			return a.rescue(client, f.rescue)
		}
		return a.runExperiments(cmd, &f, words, *output)
	}
	return cmd
}

// runExperiments carries out one experiment, or two in turn.
func (a *app) runExperiments(cmd *cobra.Command, f *runFlags, words []string, output string) error {
	if f.repeat < 0 || f.repeat > 100 {
		return &usageError{fmt.Sprintf("--repeat %d: want 1 to 100", f.repeat), "zdl run " + words[0] + " --repeat 5"}
	}
	var all []*experiment.Experiment
	for _, word := range words {
		e, err := readExperiment(word)
		if err != nil {
			return err
		}
		f.change(e)
		all = append(all, e)
	}
	// Before anything is broken: is there room for what comes of it?
	if err := writable(f.dir); err != nil {
		return err
	}
	client, err := a.connect(cmd)
	if err != nil {
		return err
	}
	documents, err := a.carryOut(cmd.Context(), client, all)
	if err != nil {
		return err
	}
	var paths []string
	for i, d := range documents {
		d.Command = f.command(words[i], d.Experiment)
		path, err := d.Write(f.dir)
		if err != nil {
			return err
		}
		paths = append(paths, path)
	}
	failed := slices.ContainsFunc(documents, func(d *report.Document) bool { return d.Outcome != experiment.Pass })
	if err := a.printRuns(f, documents, paths, output); err != nil {
		return err
	}
	if failed {
		return &exitError{exitThreshold}
	}
	return nil
}

// change makes an experiment what the flags say.
func (f *runFlags) change(e *experiment.Experiment) {
	if f.repeat > 0 {
		e.Repeat = f.repeat
	}
	if f.seed > 0 {
		e.Seed = f.seed
	}
	if f.short {
		e.Shorten()
	}
}

// command repeats an experiment.
func (f *runFlags) command(word string, e *experiment.Experiment) string {
	text := fmt.Sprintf("zdl run %s --repeat %d --seed %d", word, e.Repeat, e.Seed)
	if f.short {
		text += " --short"
	}
	return text
}

// writable makes the folder for reports and proves that something can be written
// into it.
func writable(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".writable-"); err == nil {
			probe.Close()
			err = os.Remove(probe.Name())
		}
	}
	if err != nil {
		return fmt.Errorf("a report could not be written to %s, so nothing was done: %w; name another folder with --reports", dir, err)
	}
	return nil
}

func (a *app) printRuns(f *runFlags, documents []*report.Document, paths []string, output string) error {
	if output == "json" {
		if !f.compare {
			return a.printJSON(documents[0])
		}
		return a.printJSON(map[string]any{"a": documents[0], "b": documents[1], "comparison": report.Compare(documents[0], documents[1])})
	}
	for i, d := range documents {
		if f.compare {
			fmt.Fprintf(a.stdout, "\n%s: %s\n", string(rune('A'+i)), d.Experiment.Title)
		}
		a.printDocument(d)
	}
	if f.compare {
		fmt.Fprintln(a.stdout)
		if err := a.printComparison(report.Compare(documents[0], documents[1])); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.stdout)
	for _, path := range paths {
		fmt.Fprintf(a.stdout, "report  %s\n", filepath.Join(path, "report.html"))
	}
	return nil
}

// readExperiment reads a file, or one of the library by its name.
func readExperiment(word string) (*experiment.Experiment, error) {
	base := strings.TrimSuffix(experiment.ServiceURL, "/")
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

// carryOut carries out experiments in turn, each as often as the first says.
func (a *app) carryOut(ctx context.Context, client *lab.Client, all []*experiment.Experiment) ([]*report.Document, error) {
	subject := lab.NewSubject(client, a.dirs, a.name)
	restore, _ := niceness.Raise() // the load is made in this process; without the right to, it is only less punctual
	defer restore()
	begin := time.Now()
	say := func(text string) { fmt.Fprintf(a.stderr, "%8s  %s\n", seconds(time.Since(begin)), text) }
	runs := make([][]experiment.Run, len(all))
	for n := 1; n <= all[0].Repeat && ctx.Err() == nil; n++ {
		for i, e := range all {
			if ctx.Err() != nil {
				break
			}
			say(e.Title)
			if all[0].Repeat > 1 {
				say(fmt.Sprintf("run %d of %d", n, all[0].Repeat))
			}
			rope, err := a.throw(e.By())
			if err != nil {
				return nil, err
			}
			r, err := experiment.Carry(ctx, subject, e, experiment.Options{Repetition: n, Say: say, Rope: rope})
			rope.release()
			if err != nil {
				return nil, err
			}
			runs[i] = append(runs[i], *r)
		}
	}
	var out []*report.Document
	for i, e := range all {
		d := report.New(e, runs[i])
		d.Environment = a.environment(context.WithoutCancel(ctx), client)
		out = append(out, d)
	}
	return out, nil
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

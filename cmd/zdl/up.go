package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"zdl/internal/doctor"
	"zdl/internal/lab"
	"zdl/internal/labfile"
)

// upFlags say which lab to boot and how.
type upFlags struct {
	profile, file, timing                string
	listen                               lab.Listen
	foreground, printConfig, printSchema bool
}

func (a *app) upCmd() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Boot a lab, or bring back one that was stopped",
		Long: `Boots a lab and returns when it is usable, leaving a daemon behind that watches
over it. What it boots: the lab file of -f, or a profile, or, if the lab of this
name exists already, that one with its data.

Profiles:` + profileList(),
		Example: `  zdl up
  zdl up --profile small
  zdl up -f lab.yaml
  zdl up --profile shop --timing fast --name second
  zdl up --profile ha --print-config > lab.yaml   a file to begin with
  zdl up --public 0.0.0.0:8420                    others can play, too: see docs/public.md`,
		Args: args(cobra.NoArgs, "zdl up --profile small"),
	}
	output := outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.profile, "profile", "", "built-in lab: small, ha or shop (default "+labfile.DefaultProfile+")")
	flags.StringVarP(&f.file, "file", "f", "", "lab file; - is standard input")
	flags.StringVar(&f.timing, "timing", "", "failure clock: realistic (Kubernetes' defaults), fast (short leases and grace periods), or patient (long ones, for emulated machines)")
	listenFlags(cmd, &f.listen)
	flags.BoolVar(&f.foreground, "foreground", false, "stay and watch over the lab instead of leaving a daemon behind")
	flags.BoolVar(&f.printConfig, "print-config", false, "print the complete lab file and boot nothing")
	flags.BoolVar(&f.printSchema, "print-schema", false, "print the JSON Schema of lab files and boot nothing")
	_ = cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(labfile.Profiles(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("timing", cobra.FixedCompletions(labfile.Timings(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.printSchema {
			_, err := a.stdout.Write(labfile.Schema())
			return err
		}
		if err := f.listen.Check(); err != nil {
			return &usageError{err.Error(), "zdl up --public 0.0.0.0:8420"}
		}
		wanted, err := a.wantedLab(f)
		if err != nil {
			return err
		}
		if f.printConfig {
			return a.printConfig(wanted)
		}
		return a.up(cmd.Context(), wanted, f, *output)
	}
	return cmd
}

func profileList() string {
	s := ""
	for _, p := range labfile.Profiles() {
		s += fmt.Sprintf("\n  %-6s %s", p, labfile.About(p))
		if p == labfile.DefaultProfile {
			s += " (default)"
		}
	}
	return s
}

// wantedLab is the lab that the flags describe, nil if they say nothing.
func (a *app) wantedLab(f upFlags) (*labfile.Lab, error) {
	if f.timing != "" && !slices.Contains(labfile.Timings(), f.timing) {
		return nil, &usageError{fmt.Sprintf("--timing %q: must be %s", f.timing, strings.Join(labfile.Timings(), ", ")), "zdl up --timing fast"}
	}
	if f.file != "" && f.profile != "" {
		return nil, &usageError{"-f and --profile exclude each other", "a lab file may begin with: profile: " + f.profile}
	}
	var l *labfile.Lab
	var err error
	switch {
	case f.file != "":
		l, err = a.readLabFile(f.file)
	case f.profile != "":
		if l, err = labfile.Profile(f.profile); err != nil {
			return nil, &usageError{err.Error(), "zdl up --profile " + labfile.DefaultProfile}
		}
	case f.timing != "":
		l, err = labfile.Profile(labfile.DefaultProfile)
	}
	if err != nil {
		return nil, err
	}
	if f.timing != "" {
		l.Timing = labfile.Timing(f.timing)
	}
	return l, nil
}

func (a *app) readLabFile(path string) (*labfile.Lab, error) {
	var data []byte
	var err error
	if path == "-" {
		path = "standard input"
		data, err = io.ReadAll(io.LimitReader(a.stdin, labfile.MaxFile+1))
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the lab file: %w", err)
	}
	return labfile.Parse(data, path)
}

// printConfig prints the file that `up` would boot: the wanted one, or the
// stored one, or the default.
func (a *app) printConfig(l *labfile.Lab) error {
	if l == nil {
		stored, err := os.ReadFile(filepath.Join(a.dirs.State, a.name, "lab.yaml"))
		if err == nil {
			_, err = a.stdout.Write(stored)
			return err
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if l, err = labfile.Profile(labfile.DefaultProfile); err != nil {
			return err
		}
	}
	_, err := a.stdout.Write(labfile.Print(l))
	return err
}

func (a *app) up(ctx context.Context, l *labfile.Lab, f upFlags, output string) error {
	// A lab that runs already needs nothing more of its host.
	if _, err := lab.Connect(a.dirs, a.name); err != nil {
		if err := doctor.Require(ctx, doctor.Options{Cache: a.dirs.Cache, State: a.dirs.State, Lab: l}); err != nil {
			return err
		}
	}
	show := newProgress(a.stderr)
	info, err := lab.Up(ctx, a.dirs, lab.UpOptions{
		Name: a.name, Lab: l, Listen: f.listen, Foreground: f.foreground, Progress: show.step,
	})
	show.close()
	if err != nil {
		return err
	}
	if info == nil { // --foreground, ended by a signal
		return nil
	}
	if output == "json" {
		return a.printJSON(info)
	}
	a.printInfo(info)
	if info.Public != "" {
		return a.printPublic(ctx, info)
	}
	return nil
}

// printInfo says where to look and what to try.
func (a *app) printInfo(i *lab.Info) {
	w := a.stdout
	suffix := ""
	if a.name != lab.DefaultName {
		suffix = " --name " + a.name
	}
	fmt.Fprintf(w, "\nThe lab %q is up: it served users after %s, everything was redundant after %s.\n\n", i.Name, seconds(i.Serving), seconds(i.Took))
	fmt.Fprintf(w, "  page        %s\n", paint(w, bold, i.Page))
	fmt.Fprintf(w, "  service     %s   (as its users reach it)\n", i.Users)
	fmt.Fprintf(w, "  kubectl     export KUBECONFIG=%s\n", i.Kubeconfig)
	fmt.Fprintf(w, "\nTry:\n")
	for _, line := range [][2]string{
		{"zdl open" + suffix, "the page, to attack pods by hand"},
		{"zdl watch" + suffix, "what the users see, live"},
		{"zdl attack pod --random" + suffix, "really delete a pod"},
		{"zdl kubectl" + suffix + " -- get pods -A -o wide", "look around"},
		{"zdl node power-off worker-1" + suffix, "pull a plug"},
		{"zdl down" + suffix, "remove everything"},
	} {
		fmt.Fprintf(w, "  %-46s %s\n", line[0], paint(w, faint, line[1]))
	}
}

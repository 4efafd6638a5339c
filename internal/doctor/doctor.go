// Package doctor finds out whether this host can carry a lab, by trying: it
// makes a namespace, a switch, a rule, a disk, and removes them again. For
// everything that is missing it knows the command that mends it.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"zdl/internal/labfile"
)

// Status is the outcome of one check.
type Status string

const (
	OK      Status = "ok"
	Info    Status = "info"    // good to know, nothing to do
	Warn    Status = "warn"    // works, but something will be slower, smaller or missing
	Fail    Status = "fail"    // no lab without it
	Skipped Status = "skipped" // could not be found out; Detail says why
)

// Check is one thing that was looked at.
type Check struct {
	Name     string   `json:"name"` // stable, for scripts: "disk-trial"
	What     string   `json:"what"` // for people, with what it is needed for
	Status   Status   `json:"status"`
	Detail   string   `json:"detail"`             // what was found
	Fix      string   `json:"fix,omitempty"`      // the command or the act that mends it
	Packages []string `json:"packages,omitempty"` // Debian packages that mend it
}

// Options say what the host is wanted for.
type Options struct {
	Cache string       // artifacts, /var/cache/zdl
	State string       // disks of the nodes, /var/lib/zdl
	Lab   *labfile.Lab // how big the lab will be; nil: the default profile
	Build bool         // it shall build artifacts, even if there are some already
	Test  bool         // it shall run the project's own tests
}

func (o Options) lab() *labfile.Lab {
	if o.Lab != nil {
		return o.Lab
	}
	l, err := labfile.Profile(labfile.DefaultProfile)
	if err != nil {
		panic(err) // the default profile is built in
	}
	return l
}

// Run makes all checks. It leaves nothing behind, and without root it says
// what it could not try.
func Run(ctx context.Context, o Options) []Check {
	checks := []Check{checkSystem(), checkRoot()}
	checks = append(checks, checkPrograms(programs, o.Test)...)
	checks = append(checks, checkKernel(ctx, o.State)...)
	checks = append(checks, checkResources(o)...)
	checks = append(checks, checkBuild(ctx, o)...)
	return checks
}

// Require makes the checks that no lab can do without and returns nil or one
// clear sentence about the first thing that is missing, with what mends it.
// It is quick enough to precede every boot.
func Require(ctx context.Context, o Options) error {
	for _, c := range []Check{checkSystem(), checkRoot()} {
		if err := c.err(); err != nil {
			return err
		}
	}
	if err := missingPrograms(checkPrograms(programs, false)); err != nil {
		return err
	}
	for _, c := range append(checkKernel(ctx, o.State), checkResources(o)...) {
		if err := c.err(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// err is the failed check as one sentence.
func (c Check) err() error {
	if c.Status != Fail {
		return nil
	}
	if c.Fix == "" {
		return errors.New(c.Detail)
	}
	return fmt.Errorf("%s; %s", c.Detail, c.Fix)
}

// missingPrograms puts everything that a package manager can mend into one
// sentence.
func missingPrograms(checks []Check) error {
	var names []string
	for _, c := range checks {
		if c.Status == Fail {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s not found on this machine; %s", strings.Join(names, ", "), installCommand(Packages(checks)))
}

// Failed tells whether something that is needed is missing.
func Failed(checks []Check) bool {
	for _, c := range checks {
		if c.Status == Fail {
			return true
		}
	}
	return false
}

func checkRoot() Check {
	c := Check{Name: "root", What: "root (a lab is made of namespaces, mounts and cgroups)", Status: OK, Detail: "running as root"}
	if os.Geteuid() != 0 {
		c.Status, c.Detail, c.Fix = Fail, "this needs root", "run it again with: sudo "+strings.Join(append([]string{"zdl"}, arguments()...), " ")
	}
	return c
}

// arguments are those of the command that is running, for a hint to repeat it.
func arguments() []string {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		return os.Args[1:]
	}
	return []string{"up"}
}

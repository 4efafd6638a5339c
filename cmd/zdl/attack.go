package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/fault"
	"zdl/internal/fault/attackfile"
	"zdl/internal/lab"
)

func (a *app) attackCmd() *cobra.Command {
	var r fault.Request
	var file, mode string
	var params []string
	var wait bool
	cmd := &cobra.Command{
		Use:   "attack KIND [TARGET]",
		Short: "Break something, and prove that it is broken",
		Long: `Injects a fault and returns when it is proven at its target. zdl faults lists the
kinds, zdl faults KIND says what one does and what a target looks like.

What undoes the fault is written to disk before anything is touched. It is undone
after --for, or by zdl heal, also when the lab's daemon was killed in between.`,
		Example: `  zdl attack pod-network-delay any -p delay=50ms --for 30s
  zdl attack node-power-off worker-1
  zdl attack pod-freeze any --mode fixed-percent --value 50 --for 1m --wait
  zdl attack -f storm.yaml          several faults as one
  zdl attack pod --random           delete a pod and follow what replaces it`,
		Args:              args(cobra.MaximumNArgs(2), "zdl attack pod-kill any"),
		ValidArgsFunction: a.completeAttack,
	}
	output := outputFlag(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&params, "param", "p", nil, "parameter of the kind, NAME=VALUE; can be repeated")
	f.DurationVar(&r.For, "for", 0, "undo it after this time; 0: when it is healed")
	f.StringVar(&mode, "mode", "", "how many of the targets: one (default), all, fixed, fixed-percent or random-max-percent")
	f.IntVar(&r.Value, "value", 0, "number or percentage, of the modes that need one")
	f.Uint64Var(&r.Seed, "seed", 0, "repeats every choice that is left to chance; 0: a new one")
	f.BoolVar(&r.Force, "force", false, "also what the guard refuses")
	f.StringVarP(&file, "file", "f", "", "read the attack from a YAML file, - is standard input")
	f.BoolVar(&wait, "wait", false, "return when the fault is undone; an interrupt undoes it")
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		r.Mode = fault.Mode(mode)
		if err := a.readRequest(cmd, &r, words, params, file); err != nil {
			return err
		}
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		r.By = "zdl attack"
		var done fault.Attack
		if err := client.Do(cmd.Context(), http.MethodPost, "/api/v1/attacks", r, &done); err != nil {
			return err
		}
		if !wait || done.State.Over() {
			return a.tell(&done, *output)
		}
		if *output != "json" {
			a.printInjected(&done)
		}
		if err := waitOver(cmd.Context(), client, &done); err != nil {
			return err
		}
		if *output == "json" {
			return a.printJSON(done)
		}
		a.printEnd(&done)
		return problem(&done)
	}
	cmd.AddCommand(a.attackPodCmd())
	return cmd
}

// readRequest fills in what the command line says.
func (a *app) readRequest(cmd *cobra.Command, r *fault.Request, words, params []string, file string) error {
	const hint = "zdl attack pod-kill any; zdl faults lists the kinds"
	if r.For < 0 {
		return &usageError{fmt.Sprintf("--for %v: a fault cannot last less than nothing", r.For), "--for 30s, or leave it out: until zdl heal"}
	}
	if file == "" {
		if len(words) == 0 {
			return &usageError{"say what to do: a kind of fault and its target", hint}
		}
		r.Kind = words[0]
		if len(words) > 1 {
			r.Target = words[1]
		}
		var err error
		r.Params, err = pairs(params)
		return err
	}
	for _, flag := range []string{"param", "mode", "value"} {
		if cmd.Flags().Changed(flag) {
			return &usageError{"--" + flag + " does not go with -f: the file says it", "zdl attack -f storm.yaml --for 1m"}
		}
	}
	if len(words) > 0 {
		return &usageError{"a kind does not go with -f: the file says it", "zdl attack -f storm.yaml"}
	}
	data, err := a.readFile(file)
	if err != nil {
		return err
	}
	if file == "-" {
		file = "standard input"
	}
	got, err := attackfile.Parse(data, file)
	if err != nil {
		return err
	}
	// Flags that were given overrule the file.
	if !cmd.Flags().Changed("for") {
		r.For = got.For
	}
	if !cmd.Flags().Changed("seed") {
		r.Seed = got.Seed
	}
	got.For, got.Seed, got.Force = r.For, r.Seed, r.Force || got.Force
	*r = got
	return nil
}

// readFile reads a file, or standard input for "-".
func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		return attackfile.Read(a.stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return attackfile.Read(f)
}

// pairs reads -p NAME=VALUE.
func pairs(params []string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range params {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, &usageError{fmt.Sprintf("-p %s: it is not NAME=VALUE", p), "-p delay=50ms"}
		}
		if _, twice := out[name]; twice {
			return nil, &usageError{fmt.Sprintf("-p %s is given twice", name), "give it once"}
		}
		out[name] = value
	}
	return out, nil
}

// waitOver follows an attack until it is undone. When ctx ends it is healed.
func waitOver(ctx context.Context, client *lab.Client, done *fault.Attack) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done.State.Over() {
		select {
		case <-ctx.Done():
			return client.Do(context.WithoutCancel(ctx), http.MethodPost, "/api/v1/attacks/"+done.ID+"/heal", struct{}{}, done)
		case <-tick.C:
		}
		err := client.Do(ctx, http.MethodGet, "/api/v1/attacks/"+done.ID, nil, done)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%w; the fault %s is undone by itself or with: zdl heal %s", err, done.ID, done.ID)
		}
	}
	return nil
}

// tell prints an attack that was just made.
func (a *app) tell(done *fault.Attack, output string) error {
	if output == "json" {
		return a.printJSON(done)
	}
	a.printInjected(done)
	return nil
}

func (a *app) printInjected(x *fault.Attack) {
	fmt.Fprintf(a.stdout, "%s  %s on %s: proven after %s\n", x.ID, x.Kind, targets(x.Targets), milliseconds(x.VerifyMS))
	for _, line := range x.Evidence {
		fmt.Fprintf(a.stdout, "    %s\n", line)
	}
	switch {
	case x.State == fault.Happened:
		fmt.Fprintln(a.stdout, "It is over; what it struck is mended by the cluster. See: zdl watch")
	case x.For > 0:
		fmt.Fprintf(a.stdout, "It is undone in %v, or now with: zdl heal %s\n", x.For, x.ID)
	default:
		fmt.Fprintf(a.stdout, "It lasts until: zdl heal %s\n", x.ID)
	}
}

// printEnd says how an attack ended.
func (a *app) printEnd(x *fault.Attack) {
	switch {
	case !x.State.Over():
		fmt.Fprintf(a.stdout, "%s  %s on %s: %s\n", x.ID, x.Kind, targets(x.Targets), stateWord(x))
	case x.State == fault.Happened:
		fmt.Fprintf(a.stdout, "%s  %s on %s was over already: nothing to undo\n", x.ID, x.Kind, targets(x.Targets))
	default:
		fmt.Fprintf(a.stdout, "%s  %s on %s: undone after %s\n", x.ID, x.Kind, targets(x.Targets), milliseconds(x.UndoMS))
	}
	for _, line := range x.Residue {
		fmt.Fprintf(a.stdout, "    %s\n", paint(a.stdout, red, "left behind: "+line))
	}
}

// problem is an error for an attack that did not end as it should.
func problem(x *fault.Attack) error {
	if len(x.Residue) > 0 {
		return errors.New("not everything is as it was before; see above")
	}
	return nil
}

// targets names what an attack strikes, shortened when it is much.
func targets(all []fault.Target) string {
	names := make([]string, 0, len(all))
	for _, t := range all {
		name := t.Name
		if t.Node != "" && t.Node != t.Name {
			name += " (" + t.Node + ")"
		}
		names = append(names, name)
	}
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:2], ", "), len(names)-2)
	}
	return strings.Join(names, ", ")
}

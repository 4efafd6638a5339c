package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/load"
	"zdl/internal/niceness"
	"zdl/internal/topology"
)

// exitThreshold is the code of a run whose thresholds do not hold or that is not
// valid, as k6 has it (go.k6.io/k6/errext/exitcodes, ThresholdsHaveFailed).
const exitThreshold = 99

type loadFlags struct {
	file, base, output, body, method string
	rate                             float64
	users, maxUsers                  int
	length, timeout                  time.Duration
	fresh, insecure, poisson, inside bool
	headers, thresholds              []string
	seed                             uint64
}

func (a *app) loadCmd() *cobra.Command {
	var f loadFlags
	cmd := &cobra.Command{
		Use:   "load [URL]",
		Short: "Make load on a service and measure it",
		Long: `Sends requests at a given rate whatever the answers (--rate, open loop), or from
users that wait for theirs (--users, closed loop), and measures latency from the
moment at which each request was due. Without a URL the service of the lab is
loaded, from the machine "outside", through its virtual IP.

A run that the generator could not keep up with is not valid. The exit code is
99 when a threshold does not hold or the run is not valid.`,
		Example: `  zdl load --rate 500 --for 30s
  zdl load http://127.0.0.1:8080/ --rate 5000 --for 30s --threshold 'http_req_duration: p(99)<300'
  zdl load --users 100 --for 1m -o json
  zdl load -f journeys.yaml --base http://127.0.0.1:8080`,
		Args: args(cobra.MaximumNArgs(1), "zdl load http://127.0.0.1:8080/ --rate 100"),
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "journeys, schedule and thresholds in YAML")
	flags.StringVar(&f.base, "base", "", "with -f: what stands before URLs that begin with a slash; default: the lab's service")
	flags.Float64Var(&f.rate, "rate", 0, "requests a second, 0.001 to 1000000 (default 100)")
	flags.IntVar(&f.users, "users", 0, "users that each wait for their answer, instead of --rate")
	flags.DurationVar(&f.length, "for", 10*time.Second, "how long, up to 24h")
	flags.DurationVar(&f.timeout, "timeout", load.DefaultTimeout, "of a request, 1ms to 10m")
	flags.IntVar(&f.maxUsers, "max-users", load.DefaultMaxUsers, "requests that may be under way at once; one that is due beyond that is dropped")
	flags.BoolVar(&f.fresh, "new-connections", false, "a new connection for each request")
	flags.BoolVar(&f.insecure, "insecure", false, "accept any certificate")
	flags.BoolVar(&f.poisson, "poisson", false, "arrivals by chance, as independent users make them, not evenly spaced")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "a header, as in 'Name: value'")
	flags.StringVarP(&f.body, "data", "d", "", "a body; the method is then POST")
	flags.StringVarP(&f.method, "method", "X", "", "the method")
	flags.StringArrayVar(&f.thresholds, "threshold", nil, "what must hold, as in 'http_req_failed: rate<0.001'; may be repeated")
	flags.Uint64Var(&f.seed, "seed", 1, "of everything that is left to chance")
	flags.StringVarP(&f.output, "output", "o", "text", "output format: text, json, csv or prometheus")
	flags.BoolVar(&f.inside, "inside", false, "")
	_ = flags.MarkHidden("inside") // it exists
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains([]string{"text", "json", "csv", "prometheus"}, f.output) {
			return &usageError{fmt.Sprintf("output format %q: must be text, json, csv or prometheus", f.output), "zdl load -o json"}
		}
		ofLab := len(args) == 0 && f.base == ""
		p, err := f.plan(args)
		if err != nil {
			return &usageError{err.Error(), "zdl load --help"}
		}
		if ofLab && !f.inside {
			return a.loadFromOutside(cmd)
		}
		return a.load(cmd.Context(), p, f.output)
	}
	return cmd
}

// plan makes a plan of flags and file.
func (f *loadFlags) plan(args []string) (*load.Plan, error) {
	service := "http://" + topology.UserVIP.String()
	if f.file != "" {
		if len(args) > 0 || f.rate != 0 || f.users != 0 || f.body != "" || f.method != "" {
			return nil, errors.New("a file says itself what to request and how often: leave URL, --rate, --users, --data and --method out")
		}
		data, err := os.ReadFile(f.file)
		if err != nil {
			return nil, err
		}
		base := f.base
		if base == "" {
			base = service
		}
		p, err := load.Read(data, f.file, base)
		if err == nil {
			p.Insecure = f.insecure
		}
		return p, err
	}
	step := load.Step{Name: "request", URL: service + "/", Method: f.method, Body: f.body, Headers: http.Header{}}
	if len(args) > 0 {
		step.URL = args[0]
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("header %q: want 'Name: value'", h)
		}
		step.Headers.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	p := &load.Plan{
		Journeys: []load.Journey{{Steps: []load.Step{step}}},
		Timeout:  f.timeout, MaxUsers: f.maxUsers, NewConnections: f.fresh, Insecure: f.insecure, Seed: f.seed,
	}
	switch {
	case f.rate != 0 && f.users != 0:
		return nil, errors.New("want either --rate (open loop) or --users (closed loop)")
	case f.users != 0:
		p.Closed = load.Constant(float64(f.users), f.length)
	default:
		if f.rate == 0 {
			f.rate = 100
		}
		p.Open = load.Constant(f.rate, f.length)
		p.Open.Poisson, p.Open.Seed = f.poisson, f.seed
	}
	for _, text := range f.thresholds {
		metric, bound, _ := strings.Cut(text, ": ")
		t, err := load.ParseThreshold(strings.TrimSpace(metric), bound)
		if err != nil {
			return nil, err
		}
		p.Thresholds = append(p.Thresholds, t)
	}
	return p, p.Check()
}

// loadFromOutside runs the same command in the network of the lab's machine
// "outside": its connections then start where the users are.
func (a *app) loadFromOutside(cmd *cobra.Command) error {
	if _, err := a.connect(cmd); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	argv := append([]string{"--net=" + a.dirs.Network(a.name, "outside"), self}, a.args...)
	inside := exec.CommandContext(cmd.Context(), "nsenter", append(argv, "--inside")...)
	inside.Stdin, inside.Stdout, inside.Stderr = a.stdin, a.stdout, a.stderr
	inside.Cancel = func() error { return inside.Process.Signal(os.Interrupt) }
	inside.WaitDelay = 15 * time.Second
	err = inside.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &exitError{exit.ExitCode()}
	}
	return err
}

func (a *app) load(ctx context.Context, p *load.Plan, output string) error {
	if len(p.Open.Stages) > 0 {
		restore, _ := niceness.Raise() // without the right to, it is only less punctual, and says so
		defer restore()
	}
	s := newScreen(a.stderr)
	result, err := load.Run(ctx, p, func(r *load.Result) {
		line := fmt.Sprintf("%s  %d requests, %d failed, %d late, p50 %s, p99 %s", seconds(r.Elapsed), r.All.Requests, r.All.Failed, r.Late, milliseconds(r.All.Took.Med), milliseconds(r.All.Took.P99))
		s.draw([]string{fit(line, s.width())})
	})
	s.erase()
	if err != nil {
		return err
	}
	switch output {
	case "json":
		err = a.printJSON(result)
	case "csv":
		err = result.WriteCSV(a.stdout)
	case "prometheus":
		err = result.WritePrometheus(a.stdout)
	default:
		a.printLoad(result)
	}
	if err == nil && !result.Passed() {
		return &exitError{exitThreshold}
	}
	return err
}

func (a *app) printLoad(r *load.Result) {
	out := func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	steps := r.Steps
	if len(steps) > 1 {
		steps = append(slices.Clip(steps), r.All)
	}
	_ = a.table(func(w io.Writer) { // a broken pipe is seen at the next line
		fmt.Fprintln(w, "STEP\tREQUESTS\tPER SECOND\tFAILED\tP50\tP90\tP99\tP99.9\tMAX")
		for _, s := range steps {
			fmt.Fprintf(w, "%s\t%d\t%.0f\t%d\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.Requests, s.Rate, s.Failed,
				precise(s.Took.Med), precise(s.Took.P90), precise(s.Took.P99), precise(s.Took.P999), precise(s.Took.Max))
		}
	})
	out("")
	out("answers    %s", answers(&r.All))
	out("generator  %.2f cores, %d of %d requests sent late, lag p99 %s, %d users at most, %d dropped", r.Cores, r.Late, r.All.Requests, precise(r.Lag.P99), r.MostUsers, r.Dropped)
	for _, t := range r.Thresholds {
		switch {
		case !t.Known:
			out("%s", paint(a.stdout, red, fmt.Sprintf("✗ %s: no data", t.Threshold)))
		case !t.Holds:
			out("%s", paint(a.stdout, red, fmt.Sprintf("✗ %s: it is %.4g", t.Threshold, t.Value)))
		default:
			out("%s", paint(a.stdout, green, fmt.Sprintf("✓ %s: it is %.4g", t.Threshold, t.Value)))
		}
	}
	if r.Aborted != "" {
		out("%s", paint(a.stdout, yellow, "The run ended early: "+r.Aborted))
	}
	if r.Invalid != "" {
		out("%s", paint(a.stdout, red, "The run is not valid: "+r.Invalid))
	}
}

// answers lists results by how often they came.
func answers(s *load.StepResult) string {
	var out []string
	for _, code := range slices.Sorted(maps.Keys(s.Status)) {
		out = append(out, fmt.Sprintf("%d × %d", code, s.Status[code]))
	}
	for _, class := range slices.Sorted(maps.Keys(s.Class)) {
		out = append(out, fmt.Sprintf("%s × %d", class, s.Class[class]))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// precise prints milliseconds with three significant digits below a second.
func precise(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return milliseconds(ms)
}

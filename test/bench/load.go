package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"zdl/test/harness"
)

// What the generator is measured with.
const (
	loadRate   = 2000 // requests a second, for the cost of one
	loadLength = 8 * time.Second
	loadUsers  = 16 // of the closed loops that are compared with wrk
	stallRate  = 500
	// vegetaEnv names a program of vegeta; without it the one in test/bench/vegeta is
	// built.
	vegetaEnv = "ZDL_VEGETA"
)

// load compares zdl load with wrk, hey and vegeta, against the same server on this
// machine, in turn.
func (b *bench) load(ctx context.Context) error {
	for _, program := range []string{"wrk", "hey"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is missing: apt-get install wrk hey", program)
		}
	}
	vegeta, clean, err := vegetaProgram(ctx)
	if err != nil {
		return err
	}
	defer clean()
	address, stop, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer stop()
	tools := []struct {
		name string
		run  func(context.Context) (requests, cpu float64, err error)
	}{
		{"zdl load", func(ctx context.Context) (float64, float64, error) {
			out, cpu, err := timed(ctx, harness.Binary(), "load", address+"/", "--rate", fmt.Sprint(loadRate), "--for", loadLength.String(), "-o", "json")
			r, parseErr := zdlResult(out)
			return r.All.Requests, cpu, first(parseErr, allow99(err))
		}},
		{"vegeta", func(ctx context.Context) (float64, float64, error) { return runVegeta(ctx, vegeta, address) }},
		{"hey", func(ctx context.Context) (float64, float64, error) {
			const workers = 50
			out, cpu, err := timed(ctx, "hey", "-z", loadLength.String(), "-c", fmt.Sprint(workers), "-q", fmt.Sprint(loadRate/workers), address+"/")
			return heyRequests(out), cpu, err
		}},
	}
	each := map[string][]float64{}
	for range b.runs {
		for _, t := range tools {
			requests, cpu, err := t.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			each[t.name] = append(each[t.name], requests/cpu)
		}
	}
	ours := median(slices.Sorted(slices.Values(each["zdl load"])))
	for _, t := range tools {
		note := fmt.Sprintf("%d a second for %v, histograms on", loadRate, loadLength)
		if t.name != "zdl load" {
			ratio := ours / median(slices.Sorted(slices.Values(each[t.name])))
			goal := map[string]float64{"vegeta": 1.5, "hey": 3}[t.name]
			verdict := "met"
			if ratio < goal {
				verdict = "MISSED"
			}
			note = fmt.Sprintf("zdl load needs %.2f times less CPU; goal ≥ %g: %s", ratio, goal, verdict)
		}
		b.report.add("requests per CPU second: "+t.name, "no lab", "requests", 0, note, each[t.name]...)
	}
	if err := b.agreement(ctx, address); err != nil {
		return err
	}
	return b.stalls(ctx, vegeta, address)
}

// agreement compares p99 with wrk's in a closed loop, on answers that take 5 to 50 ms.
func (b *bench) agreement(ctx context.Context, address string) error {
	var off []float64
	note := ""
	for range b.runs {
		out, _, err := timed(ctx, "wrk", "-t1", "-c"+fmt.Sprint(loadUsers), "-d"+fmt.Sprint(int(loadLength.Seconds()))+"s", "--latency", address+"/spread")
		if err != nil {
			return fmt.Errorf("wrk: %w", err)
		}
		theirs, err := wrkP99(out)
		if err != nil {
			return err
		}
		out, _, err = timed(ctx, harness.Binary(), "load", address+"/spread", "--users", fmt.Sprint(loadUsers), "--for", loadLength.String(), "-o", "json")
		r, parseErr := zdlResult(out)
		if err := first(parseErr, allow99(err)); err != nil {
			return err
		}
		off = append(off, 100*abs(r.All.Took.P99-theirs)/theirs)
		note = fmt.Sprintf("closed loop of %d users, answers of 5 to 50 ms; last %.2f ms, wrk %.2f ms, %.0f late", loadUsers, r.All.Took.P99, theirs, r.Late)
	}
	b.report.add("difference between p99 and wrk's", "no lab", "%", 5, note, off...)
	return nil
}

// stalls lets the server stand still for a second, and sees who tells.
func (b *bench) stalls(ctx context.Context, vegeta, address string) error {
	var ours, wrks, heys []float64
	for range b.runs {
		for _, run := range []func() error{
			func() error {
				out, _, err := timed(ctx, harness.Binary(), "load", address+"/stall", "--rate", fmt.Sprint(stallRate), "--for", loadLength.String(), "-o", "json")
				r, parseErr := zdlResult(out)
				ours = append(ours, r.All.Took.P99)
				return first(parseErr, allow99(err))
			},
			func() error {
				out, _, err := timed(ctx, "wrk", "-t1", "-c4", "-d"+fmt.Sprint(int(loadLength.Seconds()))+"s", "--latency", address+"/stall")
				if err != nil {
					return err
				}
				p99, err := wrkP99(out)
				wrks = append(wrks, p99)
				return err
			},
			func() error {
				out, _, err := timed(ctx, "hey", "-z", loadLength.String(), "-c", "4", "-q", fmt.Sprint(stallRate/4), address+"/stall")
				heys = append(heys, heyP99(out))
				return err
			},
		} {
			if err := stallIn(ctx, address, 3*time.Second); err != nil {
				return err
			}
			if err := run(); err != nil {
				return err
			}
		}
	}
	b.report.add("p99 while the server stands still for 1 s: zdl load", "no lab", "ms", 0, fmt.Sprintf("%d a second, open loop, from when each was due", stallRate), ours...)
	b.report.add("p99 while the server stands still for 1 s: wrk", "no lab", "ms", 0, "closed loop of 4: it waits, and leaves out who would have come", wrks...)
	b.report.add("p99 while the server stands still for 1 s: hey", "no lab", "ms", 0, "closed loop of 4, limited to the same rate", heys...)
	return nil
}

// timed runs a program and returns what it printed and its CPU time in seconds.
func timed(ctx context.Context, program string, args ...string) (string, float64, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		return "", 0, err
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return string(out), cpu.Seconds(), err
}

// allow99 takes the exit code of a run that is not valid for none: the machine may
// be too busy, and the figures say so.
func allow99(err error) error {
	if err != nil && strings.HasPrefix(err.Error(), "exit status 99") {
		return nil
	}
	return err
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func abs(v float64) float64 { return max(v, -v) }

// zdlOutput is what matters of zdl load -o json.
type zdlOutput struct {
	Late float64
	All  struct {
		Requests float64
		Took     struct{ P99 float64 }
	}
}

func zdlResult(out string) (r zdlOutput, err error) {
	if err = json.Unmarshal([]byte(out), &r); err == nil && r.All.Requests == 0 {
		err = fmt.Errorf("zdl load made no request")
	}
	return r, err
}

func runVegeta(ctx context.Context, vegeta, address string) (requests, cpu float64, err error) {
	dir, err := os.MkdirTemp("", "vegeta")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	targets, results := filepath.Join(dir, "targets"), filepath.Join(dir, "results")
	if err := os.WriteFile(targets, []byte("GET "+address+"/\n"), 0o600); err != nil {
		return 0, 0, err
	}
	_, attack, err := timed(ctx, vegeta, "attack", "-targets", targets, "-rate", fmt.Sprint(loadRate), "-duration", loadLength.String(), "-output", results)
	if err != nil {
		return 0, 0, err
	}
	// Its histogram is made by a second program.
	out, report, err := timed(ctx, vegeta, "report", "-type", "json", results)
	var r struct{ Requests float64 }
	err = first(err, json.Unmarshal([]byte(out), &r))
	return r.Requests, attack + report, err
}

// vegetaProgram builds vegeta, pinned by test/bench/vegeta/go.mod.
func vegetaProgram(ctx context.Context) (path string, clean func(), err error) {
	if path := os.Getenv(vegetaEnv); path != "" {
		return path, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "vegeta")
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "vegeta")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "github.com/tsenart/vegeta/v12")
	cmd.Dir = filepath.Join(harness.Root(), "test", "bench", "vegeta")
	if out, err := cmd.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return "", nil, fmt.Errorf("build vegeta: %w\n%s", err, out)
	}
	return path, func() { os.RemoveAll(dir) }, nil
}

var (
	wrkLine = regexp.MustCompile(`(?m)^\s*99%\s+([0-9.]+)(us|ms|s)`)
	heyLine = regexp.MustCompile(`99%+ in ([0-9.]+) secs`)
	heyCode = regexp.MustCompile(`(?m)^\s*\[\d+\]\s+(\d+) responses`)
)

func wrkP99(out string) (float64, error) {
	m := wrkLine.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("wrk printed no p99:\n%s", out)
	}
	d, err := time.ParseDuration(m[1] + m[2])
	return float64(d.Microseconds()) / 1000, err
}

func heyP99(out string) float64 {
	m := heyLine.FindStringSubmatch(out)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(m[1], 64) // the expression allows numbers only
	return v * 1000
}

func heyRequests(out string) float64 {
	sum := 0.0
	for _, m := range heyCode.FindAllStringSubmatch(out, -1) {
		n, _ := strconv.ParseFloat(m[1], 64) // likewise
		sum += n
	}
	return sum
}

// stallIn makes the server stand still for a second, a while from now.
func stallIn(ctx context.Context, address string, d time.Duration) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/stall-in?d="+d.String(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// startServer starts this program again as the server under load, in a process of
// its own, so that its CPU time is not the generator's.
func startServer(ctx context.Context) (address string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return "", nil, err
	}
	address = "http://" + listener.Addr().String()
	listener.Close()
	serving, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(serving, "/proc/self/exe")
	cmd.Env = append(os.Environ(), serveEnv+"=1")
	cmd.ExtraFiles = []*os.File{file}
	if err := cmd.Start(); err != nil {
		cancel()
		return "", nil, err
	}
	file.Close()
	return address, func() { cancel(); _ = cmd.Wait() }, nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"zdl/internal/probe"
	"zdl/internal/probe/proving"
)

// burnEnv makes this program a process that keeps a core busy.
const burnEnv = "ZDL_BENCH_BURN"

// probes measures the prober: how closely it bounds outages of known length, and
// what it costs. It needs no lab.
func (b *bench) probes(ctx context.Context) error {
	both := []probe.Lane{{}, {Reuse: true}}
	four := []probe.Lane{{}, {Reuse: true}, {Write: true}, {Reuse: true, Write: true}}
	protocols := []probe.Lane{{}, {Reuse: true}, {HTTP2: true}, {Reuse: true, HTTP2: true}}
	for _, c := range []struct {
		name  string
		lanes []probe.Lane
	}{{"HTTP/1.1, {new, reused} × {read, write}", four}, {"read, {new, reused} × {HTTP/1.1, HTTP/2}", protocols}} {
		var core []float64
		note := ""
		for range b.runs {
			cost, err := proving.Cost(ctx, c.lanes, 200, 20*time.Second)
			if err != nil {
				return err
			}
			core = append(core, cost.Core)
			note = fmt.Sprintf("%.0f µs of CPU per request, %d missed, p99 of the lateness %.1f ms", cost.Each, cost.Missed, cost.LagMS)
		}
		b.report.add("CPU of the prober, 4 lanes × 200/s: "+c.name, "no lab", "% of a core", 10, note, core...)
	}
	trial := proving.Trial{Outages: 1000, Shortest: time.Millisecond, Longest: 10 * time.Second, Lanes: both, Rate: 200, Servers: 8, Seed: 4}
	if err := b.trial(ctx, "1,000 outages of 1 ms to 10 s", trial); err != nil {
		return err
	}
	burn, stop := context.WithCancel(ctx)
	defer stop()
	for range 2 {
		busy := exec.CommandContext(burn, "/proc/self/exe")
		busy.Env = append(os.Environ(), burnEnv+"=1")
		if err := busy.Start(); err != nil {
			return err
		}
		defer func() { stop(); busy.Wait() }()
	}
	trial.Outages, trial.Longest, trial.Servers = 100, 2*time.Second, 2
	return b.trial(ctx, "100 outages of 1 ms to 2 s, two processes keep the CPU busy", trial)
}

func (b *bench) trial(ctx context.Context, name string, t proving.Trial) error {
	o, err := t.Run(ctx)
	if err != nil {
		return err
	}
	for _, c := range o.Complaints {
		fmt.Fprintln(os.Stderr, "  ", c)
	}
	note := fmt.Sprintf("half the distance of the bounds, p95 %.1f, p99 %.1f ms; %d found, %d fell between two requests (the longest %.1f ms), %d complaints, %d slots missed",
		o.Percentile(95), o.Percentile(99), o.Found, o.Unmet, o.LongestMS, len(o.Complaints), o.Missed)
	b.report.add("error bound of "+name, "no lab", "ms", 5, note, o.Percentile(50))
	if len(o.Complaints) > 0 {
		return fmt.Errorf("%d outages were not measured as they were", len(o.Complaints))
	}
	return nil
}

// helper turns this process into one that the bench started as its helper.
func helper() {
	proving.ServeIfAsked()
	serveIfAsked()
	if os.Getenv(burnEnv) == "" {
		return
	}
	for begin := time.Now(); time.Since(begin) < 5*time.Minute && os.Getppid() != 1; {
	}
	os.Exit(0)
}

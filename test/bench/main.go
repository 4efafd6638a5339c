// Command bench measures what the lab promises: how long it takes to boot and
// to go, what it costs while nothing happens, and how quickly it survives a
// power cut. Each figure is printed with the machine, the profile and the
// versions it was taken with.
//
//	make bench                          everything, some minutes
//	go run ./test/bench -parts up -profiles small -runs 5
//	go run ./test/bench -markdown docs/benchmarks.md
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"zdl/test/harness"
)

// Parts of the measurement, in the order in which they are made.
var parts = []string{"up", "idle", "worker", "power", "etcd", "faults", "visitors", "probe", "load"}

func main() {
	helper()
	runs := flag.Int("runs", 3, "how often each is repeated")
	chosen := flag.String("parts", strings.Join(parts, ","), "what to measure")
	profiles := flag.String("profiles", "small,ha", "profiles to boot for the part up (with down)")
	joined := flag.String("lab", "", "measure on this lab of profile ha, which is up, instead of one that is booted for it")
	markdown := flag.String("markdown", "", "also replace the section between <!-- bench --> and <!-- /bench --> of this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *runs, strings.Split(*chosen, ","), strings.Split(*profiles, ","), *joined, *markdown); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, runs int, chosen, profiles []string, joined, markdown string) error {
	for _, p := range chosen {
		if !slices.Contains(parts, p) {
			return fmt.Errorf("no part %q: there are %s", p, strings.Join(parts, ", "))
		}
	}
	os.Setenv("ZDL_TEST_ROOT", "1") // whoever calls this means it
	if reason := harness.Missing(); reason != "" {
		return fmt.Errorf("%s", reason)
	}
	report := &report{machine: machine()}
	b := &bench{runs: runs, report: report, joined: joined}
	var err error
	for _, part := range parts {
		if !slices.Contains(chosen, part) || err != nil {
			continue
		}
		switch part {
		case "up":
			for _, profile := range profiles {
				if err == nil {
					err = b.upAndDown(ctx, profile)
				}
			}
		case "idle":
			err = b.idle(ctx)
		case "worker":
			err = b.furtherWorker(ctx)
		case "power":
			err = b.power(ctx)
		case "etcd":
			err = b.etcd(ctx)
		case "probe":
			err = b.probes(ctx)
		case "load":
			err = b.load(ctx)
		case "faults":
			err = b.faults(ctx)
		case "visitors":
			err = b.visitors(ctx)
		}
	}
	// What was measured is worth something even if the rest failed.
	report.print(os.Stdout)
	if markdown != "" && err == nil {
		err = report.writeMarkdown(markdown)
	}
	if downErr := b.close(); err == nil {
		err = downErr
	}
	return err
}

package proving

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"zdl/internal/probe"
)

// serverEnv makes a program whose main calls ServeIfAsked a server.
const serverEnv = "ZDL_PROVING_SERVER"

// ServeIfAsked turns this process into a server for Cost, if it was started as
// one. Programs and tests that use Cost call it first.
func ServeIfAsked() {
	if os.Getenv(serverEnv) == "" {
		return
	}
	s, err := Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.URL())
	bufio.NewReader(os.Stdin).ReadByte() // until the parent is gone
	os.Exit(0)
}

// CPU is what a prober has used.
type CPU struct {
	Requests int64
	Missed   int64
	Core     float64 // percent of one core
	Each     float64 // µs of CPU per request, user and system
	LagMS    float64 // p99 of the lateness, of the worst lane
}

// Cost measures the CPU time that a prober in this very process uses, in lanes at
// a rate, with a server in a process of its own. Nothing else should go on here.
func Cost(ctx context.Context, lanes []probe.Lane, rate float64, length time.Duration) (*CPU, error) {
	child := exec.CommandContext(ctx, "/proc/self/exe")
	child.Env = append(os.Environ(), serverEnv+"=1")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	defer func() { in.Close(); child.Wait() }()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the server says nothing: %w", err)
	}
	var configs []probe.Config
	for _, l := range lanes {
		configs = append(configs, probe.Config{URL: strings.TrimSpace(url), Rate: rate, Reuse: l.Reuse, HTTP2: l.HTTP2, Write: l.Write, Expect: Right})
	}
	g, err := probe.NewGroup(configs...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	before, begin := used(), time.Now()
	g.Run(ctx)
	span, cpu := time.Since(begin), used()-before
	c := &CPU{Core: 100 * cpu.Seconds() / span.Seconds()}
	for _, p := range g.Lanes() {
		s := p.Summary()
		c.Requests += s.Sent - s.Missed
		c.Missed += s.Missed
		c.LagMS = max(c.LagMS, s.LagMS)
		if s.Failed > 0 {
			return nil, fmt.Errorf("%d requests failed in the lane %s: %+v", s.Failed, s.Lane, s.Outage)
		}
	}
	c.Each = float64(cpu.Microseconds()) / float64(max(c.Requests, 1))
	return c, nil
}

// used is the CPU time of this process.
func used() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

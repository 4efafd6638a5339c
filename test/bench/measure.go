package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zdl/internal/labfile"
	"zdl/internal/topology"
	"zdl/test/harness"
)

// patience bounds each boot and each wait.
const patience = 5 * time.Minute

// bench measures; labs of the profile ha are kept for the parts that follow.
type bench struct {
	runs   int
	report *report
	ha     *harness.Lab
	joined string // name of a lab to measure on that is up already, and stays; "": one is booted
}

// close takes down what is still up.
func (b *bench) close() error {
	if b.ha == nil || b.joined != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := b.ha.Down(ctx)
	return err
}

// upAndDown boots a profile again and again.
func (b *bench) upAndDown(ctx context.Context, profile string) error {
	goal := map[string]float64{"ha": 18, "small": 8}[profile]
	var serving, whole, down []float64
	phases, order := map[string][]float64{}, []string{}
	residue := 0
	for range b.runs {
		l := harness.New("bench-" + profile)
		before, err := l.Take()
		if err != nil {
			return err
		}
		upCtx, cancel := context.WithTimeout(ctx, patience)
		begin := time.Now()
		err = l.Up(upCtx, "--profile", profile)
		took := time.Since(begin)
		cancel()
		if err != nil {
			return err
		}
		serving = append(serving, l.Info.Serving.Seconds()+(took-l.Info.Took).Seconds())
		whole = append(whole, took.Seconds())
		for _, p := range l.Info.Phases {
			if p.Done {
				if phases[p.Phase] == nil {
					order = append(order, p.Phase)
				}
				phases[p.Phase] = append(phases[p.Phase], p.Elapsed.Seconds())
			}
		}
		r, err := l.Down(ctx)
		if err != nil {
			return err
		}
		down = append(down, r.Took.Seconds())
		after, err := l.Take()
		if err != nil {
			return err
		}
		left := after.Since(before)
		residue += len(left)
		for _, line := range left {
			fmt.Fprintln(os.Stderr, "  residue:", line)
		}
	}
	b.report.add("zdl up until a 200 through the users' virtual IP and all nodes Ready", profile, "s", goal, "realistic timings", serving...)
	b.report.add("zdl up until it returns", profile, "s", 0, "with standby controllers, policies, metrics, storage", whole...)
	for _, name := range order {
		b.report.add("- phase complete: "+name, profile, "s", 0, "since zdl's daemon began", phases[name]...)
	}
	b.report.add("zdl down", profile, "s", 3, fmt.Sprintf("residue: %d things", residue), down...)
	return nil
}

// haLab is a lab of the profile ha that has come to rest.
func (b *bench) haLab(ctx context.Context) (*harness.Lab, error) {
	if b.ha == nil && b.joined != "" {
		b.ha = harness.New(b.joined)
		if err := b.ha.Join(ctx); err != nil {
			return nil, err
		}
	}
	if b.ha == nil {
		l := harness.New("bench")
		b.ha = l // so that close takes it down even if it does not come up
		upCtx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := l.Up(upCtx, "--profile", "ha"); err != nil {
			return nil, err
		}
	}
	return b.ha, harness.Until(ctx, "the lab is healthy", patience, b.ha.Healthy)
}

// idle measures memory and CPU of a lab on which nobody works, its own prober
// at 100 requests a second included.
func (b *bench) idle(ctx context.Context) error {
	l, err := b.haLab(ctx)
	if err != nil {
		return err
	}
	if err := rest(ctx, 60*time.Second); err != nil {
		return err
	}
	total, byProgram, err := memory(l)
	if err != nil {
		return err
	}
	cpu, programs, err := cpuUse(ctx, l, 60*time.Second)
	if err != nil {
		return err
	}
	b.report.add("memory of the idle lab, sum of PSS", "ha", "MB", 2000, "2 min after up; "+byProgram, total/1e6)
	b.report.add("CPU of the idle lab", "ha", "% of a core", 40, "over 60 s, 100 probes a second included; "+programs, cpu)
	return nil
}

// furtherWorker boots the profile ha with one worker more and compares.
func (b *bench) furtherWorker(ctx context.Context) error {
	l, err := b.haLab(ctx)
	if err != nil {
		return err
	}
	if err := rest(ctx, 30*time.Second); err != nil {
		return err
	}
	without, _, err := memory(l)
	if err != nil {
		return err
	}
	if err := b.close(); err != nil {
		return err
	}
	b.ha = nil
	shape, err := labfile.Profile("ha")
	if err != nil {
		return err
	}
	more := shape.Nodes[len(shape.Nodes)-1]
	more.Name, more.Zone = "worker-4", shape.Zones[0]
	shape.Nodes = append(shape.Nodes, more)
	dir, err := os.MkdirTemp("", "zdl-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "lab.yaml")
	if err := os.WriteFile(path, labfile.Print(shape), 0o600); err != nil {
		return err
	}
	bigger := harness.New("bench-worker")
	upCtx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = bigger.Up(upCtx, "-f", path)
	var with float64
	if err == nil {
		err = harness.Until(ctx, "the lab is healthy", patience, bigger.Healthy)
	}
	if err == nil {
		err = rest(ctx, 90*time.Second)
	}
	if err == nil {
		with, _, err = memory(bigger)
	}
	if _, downErr := bigger.Down(context.WithoutCancel(ctx)); err == nil {
		err = downErr
	}
	if err == nil {
		b.report.add("memory of a further worker", "ha + 1 worker", "MB", 120, "difference of two labs' sums of PSS", (with-without)/1e6)
	}
	return err
}

// power cuts and restores the power of a worker.
func (b *bench) power(ctx context.Context) error {
	l, err := b.haLab(ctx)
	if err != nil {
		return err
	}
	var off, on []float64
	for i := range b.runs {
		victim := fmt.Sprintf("worker-%d", 1+i%3)
		if err := harness.Until(ctx, "the lab is healthy", patience, l.Healthy); err != nil {
			return err
		}
		r, err := l.Try(ctx, "node", "power-off", victim, "-o", "json")
		if err == nil && r.Code != 0 {
			err = fmt.Errorf("power-off: %s", r.Stderr)
		}
		var replies []struct{ TookMS float64 }
		if err == nil {
			err = json.Unmarshal([]byte(r.Stdout), &replies)
		}
		if err != nil {
			return err
		}
		if left, err := l.Processes(victim); err != nil || len(left) > 0 || len(replies) != 1 {
			return fmt.Errorf("after power-off %v live on %s, %v", left, victim, err)
		}
		off = append(off, replies[0].TookMS)
		// With realistic timings the node is still called Ready, so what counts
		// is that the kubelet of the new boot says so.
		old, err := bootID(ctx, l, victim)
		if err != nil {
			return err
		}
		begin := time.Now()
		if r, err := l.Try(ctx, "node", "power-on", victim); err != nil || r.Code != 0 {
			return fmt.Errorf("power-on: %v %s", err, r.Stderr)
		}
		err = harness.Until(ctx, victim+" is Ready", patience, func(ctx context.Context) error {
			now, err := bootID(ctx, l, victim)
			if err == nil && now == old {
				err = fmt.Errorf("its status is that of the boot before")
			}
			if err != nil {
				return err
			}
			return l.NodeReady(ctx, victim)
		})
		if err != nil {
			return err
		}
		on = append(on, time.Since(begin).Seconds())
	}
	b.report.add("power off a worker until all its processes are gone", "ha", "ms", 100, "as zdl reports", off...)
	b.report.add("power on a worker until it is Ready", "ha", "s", 5, "Ready reported by the kubelet of the new boot", on...)
	return nil
}

// etcd cuts the power of the node with the etcd leader.
func (b *bench) etcd(ctx context.Context) error {
	l, err := b.haLab(ctx)
	if err != nil {
		return err
	}
	shape, err := labfile.Profile("ha")
	if err != nil {
		return err
	}
	var planes []string
	for _, m := range topology.New(shape).Of(topology.KindControlPlane) {
		planes = append(planes, m.Name)
	}
	var gaps, back []float64
	for range b.runs {
		if err := harness.Until(ctx, "the lab is healthy", patience, l.Healthy); err != nil {
			return err
		}
		victim, err := l.EtcdLeader(ctx, planes...)
		if err != nil {
			return err
		}
		writes, err := l.Writes(ctx)
		if err != nil {
			return err
		}
		err = harness.Until(ctx, "writes succeed", patience, func(context.Context) error {
			if writes.Succeeded(time.Now().Add(-2*time.Second)) < 20 {
				return fmt.Errorf("too few; %v", writes.Trouble())
			}
			return nil
		})
		cut := time.Now()
		if err == nil {
			var r harness.Result
			if r, err = l.Try(ctx, "node", "power-off", victim); err == nil && r.Code != 0 {
				err = fmt.Errorf("power-off: %s", r.Stderr)
			}
		}
		if err == nil {
			err = harness.Until(ctx, "writes succeed again", patience, func(context.Context) error {
				if time.Since(cut) < 15*time.Second || writes.Succeeded(time.Now().Add(-3*time.Second)) < 20 {
					return fmt.Errorf("not for 3 s without a break; %v", writes.Trouble())
				}
				return nil
			})
		}
		gaps = append(gaps, writes.Gap(cut).Seconds())
		writes.Stop()
		if err != nil {
			return err
		}
		begin := time.Now()
		if r, err := l.Try(ctx, "node", "power-on", victim); err != nil || r.Code != 0 {
			return fmt.Errorf("power-on: %v %s", err, r.Stderr)
		}
		if err := harness.Until(ctx, "the member rejoins", patience, func(ctx context.Context) error { return l.EtcdHasLeader(ctx, victim) }); err != nil {
			return err
		}
		back = append(back, time.Since(begin).Seconds())
	}
	b.report.add("power off the etcd leader's node until writes succeed", "ha", "s", 5, "longest gap between two writes; one every 50 ms", gaps...)
	b.report.add("power it on until its etcd member has rejoined", "ha", "s", 0, "", back...)
	return nil
}

// rest waits for a lab to come to rest: a time, not a condition, is what is
// meant here.
func rest(ctx context.Context, d time.Duration) error {
	fmt.Fprintf(os.Stderr, "  waiting %s for the lab to come to rest\n", d)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func trimmed(b []byte) string { return strings.TrimSpace(string(b)) }

package experiments

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zdl/internal/experiment"
	"zdl/internal/fault"
	"zdl/internal/report"
	"zdl/test/harness"
)

// Context is short for what most functions here take first.
type Context = context.Context

// endless breaks two things, one by a fault and one by kubectl, and then waits for
// longer than any test.
const endless = `apiVersion: zdl/v1
kind: Experiment
title: It is ended before its time
hypothesis: Nothing is left behind.
setup:
- apply: |
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: of-a-setup, namespace: web}
before: 1s
method:
- attack: {kind: node-network-delay, target: worker-3, params: {latency: 20ms}}
- kubectl: cordon worker-1
  undo: uncordon worker-1
- after: 30m
  heal: all
expect:
- failed: {atMost: 100%}
`

// begin starts the endless run and returns when everything is broken.
func begin(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(dir, "endless.yaml")
	if err := os.WriteFile(path, []byte(endless), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := theLab.Command(context.WithoutCancel(t.Context()), "run", path, "--reports", dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	harness.Eventually(t, "the method is under way", 3*time.Minute, func(ctx Context) error {
		if active(ctx, t) == 0 {
			return fmt.Errorf("no attack is active")
		}
		return cordoned(ctx, true)
	})
	return cmd
}

// active counts attacks that are not over.
func active(ctx Context, t *testing.T) int {
	var all []fault.Attack
	theLab.ZdlJSON(t, &all, "attacks", "--all")
	n := 0
	for i := range all {
		if !all[i].State.Over() {
			n++
		}
	}
	return n
}

func cordoned(ctx Context, want bool) error {
	r := theLab.TryKubectl(ctx, nil, "get", "node", "worker-1", "-o", "jsonpath={.spec.unschedulable}")
	if got := strings.TrimSpace(r.Stdout) == "true"; r.Code != 0 || got != want {
		return fmt.Errorf("worker-1 cordoned: %v, want %v (exit %d %s)", got, want, r.Code, r.Stderr)
	}
	return nil
}

// The process that carries out an experiment is killed by SIGKILL. What it broke is
// put right at once, not when the time of its faults is over.
func TestAKilledRunLeavesTheLabHealthy(t *testing.T) {
	harness.Require(t)
	theLab.WaitHealthy(t, 2*time.Minute)
	before, err := theLab.Condition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd := begin(t, t.TempDir())
	killed := time.Now()
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	harness.Eventually(t, "everything is undone", 30*time.Second, func(ctx Context) error {
		if n := active(ctx, t); n > 0 {
			return fmt.Errorf("%d attacks are still active", n)
		}
		r := theLab.TryKubectl(ctx, nil, "get", "configmap", "of-a-setup", "-n", "web", "--ignore-not-found", "-o", "name")
		if r.Code != 0 || strings.TrimSpace(r.Stdout) != "" {
			return fmt.Errorf("the setup's object is still there: %q", r.Stdout)
		}
		return cordoned(ctx, false)
	})
	t.Logf("put right %v after the kill", time.Since(killed).Round(100*time.Millisecond))
	nothingLeft(t, before)
}

// An interrupt ends a run early: it heals, undoes, and still leaves its report.
func TestAnInterruptedRunHealsAndReports(t *testing.T) {
	harness.Require(t)
	theLab.WaitHealthy(t, 2*time.Minute)
	before, err := theLab.Condition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := begin(t, dir)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 99 {
		t.Errorf("exit code %d, want 99", code)
	}
	if n := active(t.Context(), t); n > 0 {
		t.Errorf("%d attacks are active when the run is over", n)
	}
	rows, err := report.List(dir)
	if err != nil || len(rows) != 1 || rows[0].Outcome != experiment.Fail && rows[0].Outcome != experiment.Void {
		t.Errorf("reports: %+v %v", rows, err)
	}
	nothingLeft(t, before)
}

package cgroup

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// sleeper is a process in a fresh group g; both go with the test.
func sleeper(t *testing.T, g *Group) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "infinity")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	for _, dir := range g.Dirs() {
		if err := write(dir, "cgroup.procs", strconv.Itoa(cmd.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	return cmd
}

func realGroup(t *testing.T) *Group {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: making control groups needs the host's cgroup file systems")
	}
	s, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	g := s.Group("cgroup-test", "m")
	t.Cleanup(func() {
		if err := g.Kill(); err != nil {
			t.Error(err)
		}
		_ = g.Thaw(context.Background())
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := g.RemoveAll(ctx); err != nil {
			t.Error(err)
		}
		if left := s.Leftovers("cgroup-test"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGroupHoldsFreezesAndKillsItsProcesses(t *testing.T) {
	g := realGroup(t)
	if err := g.SetLimits(Limits{Memory: 64 << 20, CPUs: 1, PIDs: 50}); err != nil {
		t.Fatal(err)
	}
	cmd := sleeper(t, g)
	// A child group of each kind, as kubelet makes them.
	for _, dir := range g.Dirs() {
		if err := os.MkdirAll(filepath.Join(dir, "kubepods", "pod1"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	pids, err := g.Procs()
	if err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Fatalf("processes %v, %v, want %d alone", pids, err, cmd.Process.Pid)
	}
	if err := g.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if frozen, err := g.Frozen(); err != nil || !frozen {
		t.Errorf("frozen = %v, %v", frozen, err)
	}
	if err := g.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if frozen, err := g.Frozen(); err != nil || frozen {
		t.Errorf("after the thaw: frozen = %v, %v", frozen, err)
	}
	if len(g.System.Leftovers("cgroup-test")) < 3*len(g.System.Hierarchies) {
		t.Error("existing groups are not listed as left over")
	}
}

func TestRemoveAllTellsWhoIsStillThere(t *testing.T) {
	g := realGroup(t)
	sleeper(t, g)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := g.RemoveAll(ctx); err == nil {
		t.Error("a group with a process was removed")
	}
}

func TestRemoveAllTakesWhatAnInterruptedCreateLeft(t *testing.T) {
	g := realGroup(t)
	for _, dir := range g.Dirs() {
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.RemoveAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := g.System.Leftovers("cgroup-test"); len(left) > 0 {
		t.Errorf("the lab's empty directories are left: %v", left)
	}
}

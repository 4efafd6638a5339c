// Package lifecycle holds what must be true of beginnings and ends: of labs
// that are interrupted while they boot, taken down, adopted after a reboot of
// the host, or refused. Most labs here are small and live for one test.
package lifecycle

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"zdl/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m, nil, nil)) }

// start makes a lab of the test's own, taken down when the test ends, and the
// trace of the host before it.
func start(t *testing.T, name string, env ...string) (*harness.Lab, harness.Trace) {
	t.Helper()
	harness.Require(t)
	l := harness.New(name, env...)
	before, err := l.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if r, err := l.Try(ctx, "down"); err != nil || r.Code != 0 && !strings.Contains(r.Stderr, "no lab") {
			t.Errorf("zdl down at the end: exit %d %v %s", r.Code, err, r.Stderr)
		}
	})
	return l, before
}

// mustLeaveNothing compares the host with what it was.
func mustLeaveNothing(t *testing.T, l *harness.Lab, before harness.Trace) {
	t.Helper()
	after, err := l.Take()
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range after.Since(before) {
		t.Errorf("not as before: %s", change)
	}
}

// up boots a small lab or fails the test.
func up(t *testing.T, l *harness.Lab, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := l.Up(ctx, args...); err != nil {
		t.Fatal(err)
	}
}

// down takes the lab down or fails the test.
func down(t *testing.T, l *harness.Lab, args ...string) harness.Result {
	t.Helper()
	r, err := l.Down(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serves checks that the lab is what it should be.
func serves(t *testing.T, l *harness.Lab) {
	t.Helper()
	l.WaitHealthy(t, time.Minute)
	if nodes := l.Nodes(t); len(nodes) != 3 {
		t.Errorf("%d nodes, want the 3 of the profile small", len(nodes))
	}
}

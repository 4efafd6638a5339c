package proving

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"zdl/internal/probe"
)

var both = []probe.Lane{{}, {Reuse: true}}

func check(t *testing.T, trial Trial) *Outcome {
	t.Helper()
	begin := time.Now()
	o, err := trial.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range o.Complaints {
		if i == 10 {
			t.Errorf("… and %d more", len(o.Complaints)-i)
			break
		}
		t.Error(c)
	}
	t.Logf("%d outages, %d found, %d met no request (the longest %.2f ms); error bound p50 %.2f, p95 %.2f, p99 %.2f, max %.2f ms; %d requests, %d missed, lag %.1f ms; %v",
		o.Outages, o.Found, o.Unmet, o.LongestMS, o.Percentile(50), o.Percentile(95), o.Percentile(99), o.Percentile(100), o.Requests, o.Missed, o.LagMS, time.Since(begin).Round(time.Second))
	if o.Found < o.Outages/3 {
		t.Errorf("only %d of %d outages were found", o.Found, o.Outages)
	}
	return o
}

func TestOutagesOfKnownLengthAreFoundAndBounded(t *testing.T) {
	check(t, Trial{Outages: 60, Shortest: time.Millisecond, Longest: time.Second, Lanes: both, Rate: 200, Servers: 4, Seed: 1})
}

func TestBoundsHoldInAllLanesTogether(t *testing.T) {
	check(t, Trial{Outages: 30, Shortest: time.Millisecond, Longest: 300 * time.Millisecond, Lanes: probe.Lanes(), Rate: 100, Servers: 2, Seed: 2})
}

func TestBoundsHoldWithTheCPUBusy(t *testing.T) {
	for range 2 {
		busy := exec.CommandContext(t.Context(), os.Args[0], "-test.run=TestBurn")
		busy.Env = append(os.Environ(), "ZDL_TEST_BURN=1")
		if err := busy.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { busy.Process.Kill(); busy.Wait() })
	}
	check(t, Trial{Outages: 40, Shortest: time.Millisecond, Longest: time.Second, Lanes: both, Rate: 200, Servers: 2, Seed: 3})
}

// TestBurn is a helper process that keeps a core busy.
func TestBurn(t *testing.T) {
	if os.Getenv("ZDL_TEST_BURN") == "" {
		t.Skip("it is the helper of another test")
	}
	for begin := time.Now(); time.Since(begin) < time.Minute; {
	}
}

// TestAThousandOutages is the measure that docs/benchmarks.md states.
func TestAThousandOutages(t *testing.T) {
	if os.Getenv("ZDL_TEST_LONG") == "" {
		t.Skip("it takes three minutes; set ZDL_TEST_LONG=1")
	}
	check(t, Trial{Outages: 1000, Shortest: time.Millisecond, Longest: 10 * time.Second, Lanes: both, Rate: 200, Servers: 8, Seed: 4})
}

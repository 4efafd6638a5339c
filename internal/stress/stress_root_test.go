package stress

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"zdl/internal/cluster/local/cgroup"
)

// TestMain lets this program be the stress itself: Keep starts it again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "stress-inside" {
		if err := Run(os.Stdin); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// group is a fresh control group, which must be empty in the end.
func group(t *testing.T) *cgroup.Group {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: a stress needs control groups and a PID namespace")
	}
	s, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	g := s.Group("stress-test", strings.ToLower(t.Name()[4:]))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := g.RemoveAll(ctx); err != nil {
			t.Errorf("the stress outlived its keeper: %v", err)
			_ = g.Kill()
		}
	})
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	return g
}

// kept keeps a stress until stop is called, which returns how Keep ended.
func kept(t *testing.T, c Config) (stop func() error) {
	t.Helper()
	c.PIDNS = "/proc/self/ns/pid"
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- Keep(ctx, data, func() { close(ready) }, "stress-inside", "-") }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("it did not start: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("it did not start within 10 s")
	}
	return func() error { cancel(); return <-ended }
}

func TestProcessorTimeIsUsedInTheGroupAndBoundByItsQuota(t *testing.T) {
	g := group(t)
	part := g.Part("")
	if err := part.SetQuota("20000 100000"); err != nil {
		t.Fatal(err)
	}
	stop := kept(t, Config{Groups: part.JoinDirs(), Workers: 2, Load: 1})
	deadline := time.Now().Add(10 * time.Second)
	for {
		used, err := part.CPUTime()
		if err != nil {
			t.Fatal(err)
		}
		throttled, _, err := part.Throttled()
		if err != nil {
			t.Fatal(err)
		}
		if used > 50*time.Millisecond && throttled > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it used %v and was throttled %d times", used, throttled)
		}
		time.Sleep(5 * time.Millisecond)
	}
	begin := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	t.Logf("ended in %v", time.Since(begin))
}

func TestMemoryIsTakenAndHeldUntilTheEnd(t *testing.T) {
	g := group(t)
	part := g.Part("")
	const size = 24 << 20
	stop := kept(t, Config{Groups: part.JoinDirs(), Memory: size, Rate: 256 << 20})
	held := func() int64 {
		n, err := part.SharedMemory()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for deadline := time.Now().Add(10 * time.Second); held() < size; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it holds %d bytes of %d", held(), size)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := held(); n > 1<<20 {
		t.Errorf("%d bytes are still held", n)
	}
}

func TestKeeperTellsThatTheKernelKilledIt(t *testing.T) {
	g := group(t)
	part := g.Part("")
	if err := g.SetLimits(cgroup.Limits{Memory: 16 << 20, PIDs: 100, CPUs: 1}); err != nil {
		t.Fatal(err)
	}
	// Nothing else lives in the group, so the kernel ends the stress itself, and
	// its keeper must say so.
	data, err := json.Marshal(Config{Groups: part.JoinDirs(), PIDNS: "/proc/self/ns/pid", Memory: 64 << 20, Rate: 512 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := Keep(ctx, data, func() {}, "stress-inside", "-"); err == nil || !strings.Contains(err.Error(), "killed for memory") {
		t.Errorf("the stress in a full group: %v", err)
	}
}

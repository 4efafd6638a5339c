package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zdl/internal/fault"
	"zdl/test/harness"
)

// crashed are faults of every mechanism that is quick to undo.
var crashed = []scenario{
	{kind: "pod-freeze", target: "any", for_: time.Hour},
	{kind: "node-link-down", target: "worker-2", for_: time.Hour},
	{kind: "node-network-delay", target: "worker-3", for_: time.Hour},
	{kind: "zone-isolate", target: "zone-c", for_: time.Hour},
	{kind: "node-cordon", target: "worker-1", for_: time.Hour},
	{kind: "node-power-off", target: "lb-2", for_: time.Hour},
	{kind: "kubelet-stop", target: "worker-3", for_: time.Hour},
	{kind: "apiserver-freeze", for_: time.Hour},
	{kind: "certificate-expired", for_: time.Hour, target: "cp-2"},
}

// The daemon is killed by SIGKILL while it injects or undoes. The next one ends
// what it finds in the journal; that nothing is left says the kernel, not the lab.
// ZDL_FAULT_KILLS says how often.
func TestTheDaemonMayBeKilledAtAnyMoment(t *testing.T) {
	lab := healthy(t)
	kills := 12
	if n, err := strconv.Atoi(os.Getenv("ZDL_FAULT_KILLS")); err == nil {
		kills = n
	}
	before := condition(t, lab)
	for i := range kills {
		s := crashed[i%len(crashed)]
		kind := kindOf(t, lab, s.kind)
		if kind.Unavailable != "" {
			continue
		}
		if s.target == "" && kind.DefaultTarget == "" && kind.Targets != "" {
			s.target = "any"
		}
		t.Run(fmt.Sprintf("%d_%s", i+1, s.kind), func(t *testing.T) { crash(t, lab, s, i%2 == 1, before) })
	}
}

// crash kills the daemon within the injection of a fault, or within its undo.
func crash(t *testing.T, lab *harness.Lab, s scenario, undo bool, before harness.Trace) {
	daemon, err := lab.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var verbs sync.WaitGroup
	act := func(args ...string) { verbs.Go(func() { _, _ = lab.Try(ctx, args...) }) }
	if undo {
		attack(t, lab, s)
		act("heal", "--all")
	} else {
		act(s.args()...)
	}
	moment := time.Duration(rand.Int64N(int64(300 * time.Millisecond)))
	time.Sleep(moment) // the point of the test is that it does not matter when
	if err := syscall.Kill(daemon.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	verbs.Wait()
	up := make(chan error, 1)
	go func() { up <- lab.Up(ctx) }()
	// Faults can be healed before the lab is up again, and may have to be.
	harness.Eventually(t, "the new daemon heals", 2*time.Minute, func(ctx context.Context) error {
		r, err := lab.Try(ctx, "heal", "--all")
		if err == nil && r.Code != 0 {
			err = errors.New(strings.TrimSpace(r.Stderr))
		}
		return err
	})
	if err := <-up; err != nil {
		t.Fatal(err)
	}
	all := attacks(t, lab)
	for _, a := range all {
		if !a.State.Over() || len(a.Residue) > 0 {
			t.Errorf("%s (%s) is %s, residue %q, error %q", a.ID, a.Kind, a.State, a.Residue, a.Error)
		}
	}
	if n := len(all); n > 0 {
		last := all[n-1]
		t.Logf("killed after %v while %s: %s ended as %s", moment.Round(time.Millisecond), map[bool]string{false: "injecting", true: "undoing"}[undo], last.Kind, last.State)
		if undo && last.State == fault.Failed {
			t.Errorf("%s was proven, and ended as failed: %s", last.Kind, last.Error)
		}
	}
	lab.WaitHealthy(t, 2*time.Minute)
	harness.Eventually(t, "nothing is left behind", time.Minute, func(ctx context.Context) error {
		now, err := lab.Condition(ctx)
		if err != nil {
			return err
		}
		if left := now.Since(before); len(left) > 0 {
			return errors.New(strings.Join(left, "\n"))
		}
		return nil
	})
}

func condition(t *testing.T, lab *harness.Lab) harness.Trace {
	t.Helper()
	trace, err := lab.Condition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

// Bad input is one sentence that says what is allowed, and touches nothing.
func TestBadInputIsRefusedWithWhatIsAllowed(t *testing.T) {
	lab := healthy(t)
	before := condition(t, lab)
	refused(t, lab, "perhaps pod-kill", "attack", "pod-kil", "any")
	refused(t, lab, "a target is", "attack", "pod-kill", "nobody")
	refused(t, lab, "the machines are", "attack", "node-link-down", "worker-9")
	refused(t, lab, "from 1ms to", "attack", "node-network-delay", "worker-1", "-p", "latency=99h")
	refused(t, lab, "has no parameter", "attack", "pod-kill", "any", "-p", "speed=9")
	refused(t, lab, "less than nothing", "attack", "node-link-down", "worker-1", "--for", "-3s")
	refused(t, lab, "fixed-percent", "attack", "pod-kill", "any", "--mode", "some")
	refused(t, lab, "outside", "attack", "node-power-off", "outside")
	a := attack(t, lab, scenario{kind: "node-link-down", target: "worker-1"})
	refused(t, lab, "zdl heal "+a.ID, "attack", "node-link-down", "worker-1")
	heal(t, lab, a.ID)
	lab.WaitHealthy(t, time.Minute)
	if left := condition(t, lab).Since(before); len(left) > 0 {
		t.Errorf("something was touched: %q", left)
	}
}

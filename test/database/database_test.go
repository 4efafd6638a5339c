// Package database kills the PostgreSQL of a real cluster in every way that the
// catalogue knows while rows are written to it: who leads then, how long writes
// were out, and whether anything that was confirmed is lost.
package database

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/probe"
	"zdl/test/harness"
)

var theLab = harness.New("t-database")

// keep leaves the lab up, for somebody who runs one test again and again.
var keep = os.Getenv("ZDL_TEST_KEEP") != ""

// installed is how long zdl database up took; unavailable says why this machine
// can have no database.
var (
	installed   time.Duration
	unavailable string
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
		defer cancel()
		if !keep || theLab.Join(ctx) != nil {
			if err := theLab.Up(ctx, "--profile", "ha", "--timing", "fast"); err != nil {
				return err
			}
		}
		r, err := theLab.Try(ctx, "database", "status", "-o", "json")
		var now cluster.Database
		if err == nil {
			err = json.Unmarshal([]byte(r.Stdout), &now)
		}
		if unavailable = now.Why; err != nil || unavailable != "" {
			return err
		}
		r, err = theLab.Try(ctx, "database", "up", "-o", "json")
		if err == nil && r.Code != 0 {
			err = fmt.Errorf("zdl database up: exit %d\n%s", r.Code, r.Stderr)
		}
		installed = r.Took
		return err
	}, func() error {
		if keep {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := theLab.Down(ctx)
		return err
	}))
}

// writeOutageLimit is what a failover may cost: the lease, a promotion, and the
// checks of the load balancers, on a busy machine.
const writeOutageLimit = 15 * time.Second

func status(t *testing.T) cluster.Database {
	t.Helper()
	var s cluster.Database
	theLab.ZdlJSON(t, &s, "database", "status")
	return s
}

// ready waits until one member leads and all others follow.
func ready(t *testing.T, limit time.Duration) (s cluster.Database) {
	t.Helper()
	harness.Eventually(t, "every member of the database follows one", limit, func(context.Context) error {
		if s = status(t); !s.Ready {
			return fmt.Errorf("%s: %+v", s.Trouble, s.Members)
		}
		return nil
	})
	return s
}

func begin(t *testing.T) cluster.Database {
	t.Helper()
	harness.Require(t)
	if unavailable != "" {
		t.Skip("this lab cannot have a database: " + unavailable)
	}
	return ready(t, 90*time.Second)
}

// writing measures writes while something happens, and goes on until every member
// follows again and a few seconds longer.
func writing(t *testing.T, do func()) (probe.Report, cluster.Database) {
	t.Helper()
	const length = 2 * time.Minute
	cmd := theLab.Command(context.WithoutCancel(t.Context()), "probe", "--subject", "database", "--for", length.String(), "-o", "json")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	time.Sleep(3 * time.Second) // so long the service is seen to be up, which an outage needs to begin
	do()
	after := ready(t, 90*time.Second)
	time.Sleep(3 * time.Second) // likewise after it
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended = true
	if err := cmd.Wait(); err != nil {
		t.Fatalf("zdl probe: %v\n%s", err, out.String())
	}
	var r probe.Report
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("zdl probe -o json: %v\n%s", err, out.String())
	}
	if r.Writes == nil || r.Writes.Acknowledged < 20 {
		t.Fatalf("too few writes to tell anything: %+v", r.Writes)
	}
	for _, o := range r.Outages {
		t.Logf("writes out for %.0f to %.0f ms (%v)", o.LowerMS, o.UpperMS, o.ByClass)
	}
	t.Logf("%d writes acknowledged on timelines %v, %d lost, %d without an answer", r.Writes.Acknowledged, r.Writes.Timelines, r.Writes.Lost, r.Writes.Unconfirmed)
	return r, after
}

// down is how long all lanes together were surely without service.
func down(r probe.Report) time.Duration {
	var sum float64
	for _, o := range r.Outages {
		if !o.Partial {
			sum += o.LowerMS
		}
	}
	return time.Duration(sum * float64(time.Millisecond))
}

func attack(t *testing.T, args ...string) fault.Attack {
	t.Helper()
	var a fault.Attack
	theLab.ZdlJSON(t, &a, append([]string{"attack"}, args...)...)
	t.Logf("%s on %v: verified %.1f ms: %s", a.Kind, a.Targets, a.VerifyMS, strings.Join(a.Evidence, "; "))
	if len(a.Evidence) == 0 || slices.Contains(a.Evidence, "") {
		t.Errorf("nothing proves that %s took effect: %q", a.Kind, a.Evidence)
	}
	return a
}

func heal(t *testing.T) {
	t.Helper()
	theLab.Zdl(t, "heal", "--all")
}

func nodeOf(s cluster.Database, pod string) string {
	for _, m := range s.Members {
		if m.Pod == pod {
			return m.Node
		}
	}
	return ""
}

func TestTheDatabaseIsInstalledInAMinute(t *testing.T) {
	s := begin(t)
	t.Logf("zdl database up took %v", installed)
	if installed > time.Minute {
		t.Errorf("zdl database up took %v, want at most a minute", installed)
	}
	nodes, zones := map[string]bool{}, map[string]bool{}
	for _, m := range s.Members {
		nodes[m.Node], zones[m.Zone] = true, true
	}
	if len(s.Members) != 3 || len(nodes) != 3 || len(zones) != 3 {
		t.Errorf("members are not one in each zone: %+v", s.Members)
	}
	out := theLab.Kubectl(t, "-n", "database", "get", "pods", "-l", "role", "-o", "name")
	if strings.Count(out, "pod/") != 3 {
		t.Errorf("pods with a role: %s", out)
	}
}

func TestAKilledPrimaryIsBackOrReplaced(t *testing.T) {
	before := begin(t)
	r, after := writing(t, func() { attack(t, "database-primary-kill") })
	if out := down(r); out == 0 || out > writeOutageLimit {
		t.Errorf("writes were out for %v, want something up to %v", out, writeOutageLimit)
	}
	if after.Timeline <= before.Timeline {
		t.Errorf("timeline %d after %d: nobody was promoted", after.Timeline, before.Timeline)
	}
	if !r.Writes.Checked {
		t.Error("what the database holds was not compared")
	}
}

// A power cut loses what was confirmed and has not left the primary, where commits
// do not wait for a second member; so it is counted, not forbidden.
func TestAPrimaryWithoutPowerIsReplaced(t *testing.T) {
	before := begin(t)
	r, after := failover(t, before)
	if out := down(r); out == 0 || out > writeOutageLimit {
		t.Errorf("writes were out for %v, want something up to %v", out, writeOutageLimit)
	}
	if after.Primary == before.Primary || after.Timeline <= before.Timeline {
		t.Errorf("%s leads on timeline %d, as %s did on %d", after.Primary, after.Timeline, before.Primary, before.Timeline)
	}
	t.Logf("asynchronous: %d of %d acknowledged writes lost", r.Writes.Lost, r.Writes.Acknowledged)
}

// failover cuts the power of the primary's node, waits until somebody else leads,
// and gives the power back.
func failover(t *testing.T, before cluster.Database) (probe.Report, cluster.Database) {
	t.Helper()
	node := nodeOf(before, before.Primary)
	return writing(t, func() {
		theLab.Zdl(t, "node", "power-off", node)
		t.Cleanup(func() { heal(t) })
		harness.Eventually(t, "another member leads", 45*time.Second, func(context.Context) error {
			if s := status(t); s.Primary == "" || s.Primary == before.Primary {
				return fmt.Errorf("%q leads", s.Primary)
			}
			return nil
		})
		theLab.Zdl(t, "node", "power-on", node)
	})
}

func TestWithSynchronousReplicationAPowerCutLosesNothing(t *testing.T) {
	begin(t)
	theLab.Zdl(t, "database", "up", "--synchronous")
	t.Cleanup(func() { theLab.Zdl(t, "database", "up", "--synchronous=false") })
	before := ready(t, time.Minute)
	if !slices.ContainsFunc(before.Members, func(m cluster.DatabaseMember) bool { return m.Sync }) {
		t.Fatalf("no member is synchronous: %+v", before.Members)
	}
	for round := range 2 {
		r, after := failover(t, before)
		if !r.Writes.Checked || r.Writes.Lost > 0 {
			t.Errorf("round %d: %d of %d acknowledged writes lost: %v", round, r.Writes.Lost, r.Writes.Acknowledged, r.Writes.LostRanges)
		}
		if after.Primary == before.Primary {
			t.Errorf("round %d: %s leads still", round, after.Primary)
		}
		before = ready(t, time.Minute)
	}
}

func TestAnIsolatedPrimaryGivesUpBeforeAnotherLeads(t *testing.T) {
	before := begin(t)
	r, after := writing(t, func() {
		attack(t, "database-primary-isolate")
		t.Cleanup(func() { heal(t) })
		harness.Eventually(t, "another member leads", 45*time.Second, func(context.Context) error {
			if s := status(t); s.Primary == "" || s.Primary == before.Primary {
				return fmt.Errorf("%q leads", s.Primary)
			}
			return nil
		})
		heal(t)
	})
	if after.Primary == before.Primary || after.Timeline <= before.Timeline {
		t.Errorf("%s leads on timeline %d, as %s did on %d", after.Primary, after.Timeline, before.Primary, before.Timeline)
	}
	if out := down(r); out == 0 || out > writeOutageLimit {
		t.Errorf("writes were out for %v, want something up to %v", out, writeOutageLimit)
	}
}

func TestAPlannedSwitchoverLosesNothing(t *testing.T) {
	before := begin(t)
	r, after := writing(t, func() { attack(t, "database-switchover") })
	if after.Primary == before.Primary || after.Timeline != before.Timeline+1 {
		t.Errorf("%s leads on timeline %d, as %s did on %d", after.Primary, after.Timeline, before.Primary, before.Timeline)
	}
	if !r.Writes.Checked || r.Writes.Lost > 0 {
		t.Errorf("%+v", r.Writes)
	}
	if out := down(r); out > 8*time.Second {
		t.Errorf("writes were out for %v", out)
	}
}

func TestAKilledReplicaIsNotNoticed(t *testing.T) {
	before := begin(t)
	r, after := writing(t, func() { attack(t, "database-member-kill") })
	if after.Primary != before.Primary || after.Timeline != before.Timeline {
		t.Errorf("%s leads on timeline %d, before %s on %d", after.Primary, after.Timeline, before.Primary, before.Timeline)
	}
	if out := down(r); out > 0 || r.Writes.Lost > 0 {
		t.Errorf("writes were out for %v: %+v", out, r.Writes)
	}
}

func TestFaultsOfTheDatabaseThatCannotBeAreRefused(t *testing.T) {
	s := begin(t)
	for words, args := range map[string][]string{
		"leads already":     {"attack", "database-switchover", s.Primary},
		"No member of the ": {"attack", "database-member-kill", "postgres-9"},
	} {
		r, err := theLab.Try(t.Context(), args...)
		if err != nil || r.Code == 0 || !strings.Contains(r.Stderr, words) {
			t.Errorf("zdl %s: exit %d, %v: %s", strings.Join(args, " "), r.Code, err, r.Stderr)
		}
	}
}

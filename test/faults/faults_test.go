// Package faults injects every kind of the catalogue into a real cluster that
// all tests share: each must be proven, be seen by somebody who does not ask the
// engine, be taken back, and leave nothing behind.
//
// Tests are tables of scenarios, a file per family of faults.
package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"zdl/internal/fault"
	"zdl/internal/labfile"
	"zdl/internal/topology"
	"zdl/test/harness"
)

// theLab is shared by the tests of this package. It runs with the fast timings,
// so that what Kubernetes notices late is noticed within seconds.
var theLab = harness.New("t-faults")

func TestMain(m *testing.M) {
	os.Exit(harness.Share(m, theLab, "--profile", "ha", "--timing", "fast"))
}

// scenario is one fault and what must come of it.
type scenario struct {
	kind   string
	target string
	// pick chooses the target when it is not known before; nil: target.
	pick   func(t *testing.T, lab *harness.Lab) string
	params map[string]string
	mode   string // one, all, …; "" is the default
	value  int
	for_   time.Duration // 0: until the test heals it
	force  bool
	// effect proves, without asking the engine, that the fault is there. Of an
	// instant fault it proves that it happened.
	effect func(t *testing.T, lab *harness.Lab, a fault.Attack)
	// after proves, after the undo, what health alone does not show; optional.
	after func(t *testing.T, lab *harness.Lab, a fault.Attack)
	// recover bounds how long the lab may need to be healthy again; default 60 s.
	recover time.Duration
}

func (s scenario) name() string {
	name := s.kind
	for _, p := range slices.Sorted(maps.Keys(s.params)) {
		name += "_" + p + "=" + s.params[p]
	}
	return name
}

// runAll runs scenarios one after the other, as subtests named after their kinds.
func runAll(t *testing.T, all []scenario) {
	t.Helper()
	for _, s := range all {
		t.Run(s.name(), func(t *testing.T) { run(t, s) })
	}
}

// run attacks through the command line, looks at the effect, heals, and returns
// when the lab is healthy again. A kind that is not available on this kernel must
// say so when it is used, and is skipped with its reason.
func run(t *testing.T, s scenario) {
	t.Helper()
	lab := healthy(t)
	if s.pick != nil {
		s.target = s.pick(t, lab)
	}
	kind := kindOf(t, lab, s.kind)
	if kind.Unavailable != "" {
		refused(t, lab, kind.Unavailable, s.args()...)
		t.Skip(kind.Unavailable)
	}
	a := attack(t, lab, s)
	want := fault.Active
	if kind.Instant {
		want = fault.Happened
	}
	if a.State != want || len(a.Targets) == 0 {
		t.Errorf("the attack is %s, want %s; targets %v, error %q", a.State, want, a.Targets, a.Error)
	}
	if len(a.Evidence) == 0 || slices.Contains(a.Evidence, "") {
		t.Errorf("nothing proves that it took effect: %q", a.Evidence)
	}
	t.Logf("%s on %v: injected %.1f ms, verified %.1f ms: %s", a.Kind, a.Targets, a.InjectMS, a.VerifyMS, strings.Join(a.Evidence, "; "))
	if s.effect != nil {
		s.effect(t, lab, a)
	}
	if !kind.Instant {
		a = heal(t, lab, a.ID)
		t.Logf("undone in %.1f ms", a.UndoMS)
		if a.State != fault.Undone {
			t.Errorf("after healing it is %s: %s", a.State, a.Error)
		}
		if len(a.Residue) > 0 {
			t.Errorf("left behind: %q", a.Residue)
		}
	}
	limit := s.recover
	if limit == 0 {
		limit = time.Minute
	}
	lab.WaitHealthy(t, limit)
	if s.after != nil {
		s.after(t, lab, a)
	}
}

// args is the scenario as a command line.
func (s scenario) args() []string {
	args := []string{"attack", s.kind}
	if s.target != "" {
		args = append(args, s.target)
	}
	for _, p := range slices.Sorted(maps.Keys(s.params)) {
		args = append(args, "-p", p+"="+s.params[p])
	}
	if s.mode != "" {
		args = append(args, "--mode", s.mode)
	}
	if s.value != 0 {
		args = append(args, "--value", fmt.Sprint(s.value))
	}
	if s.for_ != 0 {
		args = append(args, "--for", s.for_.String())
	}
	if s.force {
		args = append(args, "--force")
	}
	return args
}

// attack makes the fault and heals it when the test ends, however that ends.
func attack(t *testing.T, lab *harness.Lab, s scenario) fault.Attack {
	t.Helper()
	r, err := lab.Try(t.Context(), append(s.args(), "-o", "json")...)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if r, err := lab.Try(ctx, "heal", "--all"); err != nil || r.Code != 0 {
			t.Errorf("zdl heal --all: exit %d, %v\n%s%s", r.Code, err, r.Stdout, r.Stderr)
		}
	})
	if err != nil || r.Code != 0 {
		t.Fatalf("zdl %s: exit %d, %v\n%s%s", strings.Join(s.args(), " "), r.Code, err, r.Stdout, r.Stderr)
	}
	var a fault.Attack
	if err := json.Unmarshal([]byte(r.Stdout), &a); err != nil {
		t.Fatalf("zdl attack -o json: %v\n%s", err, r.Stdout)
	}
	return a
}

// heal takes an attack back.
func heal(t *testing.T, lab *harness.Lab, id string) fault.Attack {
	t.Helper()
	var healed []fault.Attack
	lab.ZdlJSON(t, &healed, "heal", id)
	if len(healed) != 1 {
		t.Fatalf("zdl heal %s healed %d attacks", id, len(healed))
	}
	return healed[0]
}

// refused runs a command line that must fail with one clear sentence, which holds
// words, and must have touched nothing.
func refused(t *testing.T, lab *harness.Lab, words string, args ...string) {
	t.Helper()
	before := attacks(t, lab)
	r, err := lab.Try(t.Context(), args...)
	if err != nil || r.Code == 0 {
		t.Fatalf("zdl %s: exit %d, %v; want a refusal\n%s", strings.Join(args, " "), r.Code, err, r.Stdout)
	}
	if !strings.Contains(r.Stderr, words) {
		t.Errorf("zdl %s says %q, want %q in it", strings.Join(args, " "), r.Stderr, words)
	}
	if after := attacks(t, lab); len(after) != len(before) {
		t.Errorf("zdl %s was refused, but is in the journal: %+v", strings.Join(args, " "), after[len(after)-1])
	}
}

// attacks lists the journal.
func attacks(t *testing.T, lab *harness.Lab) []fault.Attack {
	t.Helper()
	var out []fault.Attack
	lab.ZdlJSON(t, &out, "attacks", "--all")
	return out
}

// kindOf looks a kind up in the catalogue.
func kindOf(t *testing.T, lab *harness.Lab, name string) fault.Kind {
	t.Helper()
	if catalogue == nil {
		lab.ZdlJSON(t, &catalogue, "faults")
	}
	for _, k := range catalogue {
		if k.Name == name {
			return k
		}
	}
	t.Fatalf("the catalogue has no %s", name)
	return fault.Kind{}
}

var catalogue []fault.Kind // of the lab, once it was asked

// healthy is the shared lab, whole.
func healthy(t *testing.T) *harness.Lab {
	t.Helper()
	return theLab.Whole(t)
}

// wiring is that of the profile.
func wiring() *topology.Topology {
	l, err := labfile.Profile("ha")
	if err != nil {
		panic(err) // a profile of this program
	}
	return topology.New(l)
}

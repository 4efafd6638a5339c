package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAFaultIsInjectedProvenAndUndone(t *testing.T) {
	r := newRig(t)
	a := r.attack(Request{Kind: "thing-break", Target: "a", Params: map[string]string{"delay": "1s"}, By: "somebody's test"})
	if a.State != Active || a.ID != "f1" || a.Values["delay"] != "1s" || len(a.Targets) != 1 || a.Targets[0].Name != "a" {
		t.Errorf("%+v", a)
	}
	if !slices.Equal(a.Evidence, []string{"a is broken"}) || a.VerifyMS < a.InjectMS || a.InjectMS <= 0 || a.Verified.Before(a.Injected) || a.Injected.Before(a.Asked) {
		t.Errorf("%+v", a)
	}
	if r.w.get("a") != "broken" {
		t.Error("nothing is broken")
	}
	a, err := r.Heal(t.Context(), a.ID)
	if err != nil || a.State != Undone || len(a.Residue) > 0 || a.UndoMS <= 0 || a.Ended.Before(a.Verified) {
		t.Errorf("%v %+v", err, a)
	}
	r.whole()
	want := []string{"fault-intent a", "fault-injected a", "fault-verified a", "fault-undone a"}
	if got := r.timeline(); !slices.Equal(got, want) {
		t.Errorf("timeline %q, want %q", got, want)
	}
	if again, err := r.Heal(t.Context(), a.ID); err != nil || again.UndoMS != a.UndoMS {
		t.Errorf("healed again: %v %+v", err, again)
	}
}

func TestStagesAreMadeInOrderAndUndoneBackwards(t *testing.T) {
	r := newRig(t)
	a := r.attack(Request{Kind: "thing-order", Target: "a"})
	if _, err := r.Heal(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	want := []string{"inject a-first", "inject a-second", "verify a-first", "verify a-second", "undo a-second", "undo a-first"}
	if got := r.w.calls(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWhatFailsIsTakenBackWholly(t *testing.T) {
	for name, breakIt := range map[string]func(*world){
		"inject": func(w *world) { w.failInject["a-second"] = errors.New("no such device") },
		"panic":  func(w *world) { w.panics["a-second"] = true },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			breakIt(r.w)
			a, err := r.Attack(t.Context(), Request{Kind: "thing-order", Target: "a"})
			var refused *Error
			if err == nil || errors.As(err, &refused) {
				t.Fatalf("%v; it was touched, so it is no refusal", err)
			}
			if a.State != Failed || a.Error == "" || len(a.Residue) > 0 {
				t.Errorf("%+v", a)
			}
			r.whole()
			if got := r.timeline(); !slices.Contains(got, EntryFailed+" a") || !slices.Contains(got, EntryUndone+" a") {
				t.Errorf("timeline %q", got)
			}
		})
	}
}

func TestWhatCannotBeProvenIsTakenBack(t *testing.T) {
	r := newRig(t)
	r.w.failVerify["a"] = errors.New("RTT is 0.3 ms")
	r.Kinds[0].Plan = func(context.Context, Input) (Plan, error) {
		p := Together(r.w.step("a"))
		p.Patience = 50 * time.Millisecond
		return p, nil
	}
	a, err := r.Attack(t.Context(), Request{Kind: "thing-break", Target: "a"})
	if err == nil || !strings.Contains(err.Error(), "RTT is 0.3 ms") || !strings.Contains(err.Error(), "50ms") || a.State != Failed {
		t.Errorf("%v %+v", err, a)
	}
	r.whole()
}

func TestAnUndoIsTriedUntilItSucceeds(t *testing.T) {
	r := newRig(t)
	a := r.attack(Request{Kind: "thing-break", Target: "a"})
	r.w.mu.Lock()
	r.w.failUndo["a"] = 2
	r.w.mu.Unlock()
	got, err := r.Heal(t.Context(), a.ID)
	if err == nil || got.State != Undoing || !strings.Contains(got.Trouble, "stuck") {
		t.Errorf("%v %+v", err, got)
	}
	if got = r.state(a.ID, Undone); got.Trouble != "" || got.UndoMS < 200 {
		t.Errorf("%+v; the time counts from the first order", got)
	}
	r.whole()
}

func TestAFaultThatFailedStaysAFailureAcrossRetries(t *testing.T) {
	r := newRig(t)
	r.w.failInject["a"] = errors.New("no such device")
	r.w.failUndo["a"] = 1
	a, err := r.Attack(t.Context(), Request{Kind: "thing-break", Target: "a"})
	if err == nil || a.State != Undoing {
		t.Errorf("%v %+v", err, a)
	}
	if got := r.state(a.ID, Failed); got.Error != "no such device" {
		t.Errorf("%+v", got)
	}
	r.whole()
}

func TestResidueIsToldNotHidden(t *testing.T) {
	r := newRig(t)
	r.w.keep["a"], r.settle = true, 50*time.Millisecond
	a := r.attack(Request{Kind: "thing-break", Target: "a"})
	e := r.Engine
	done := make(chan Attack)
	go func() { got, _ := e.Heal(context.Background(), a.ID); done <- got }()
	got := <-done
	if want := []string{"value of a is broken; it was whole"}; !slices.Equal(got.Residue, want) {
		t.Errorf("residue %q, want %q", got.Residue, want)
	}
	if !slices.Contains(r.timeline(), EntryResidue+" a") {
		t.Errorf("timeline %q", r.timeline())
	}
}

func TestAFaultEndsWhenItsTimeIsOver(t *testing.T) {
	r := newRig(t)
	begin := time.Now()
	a := r.attack(Request{Kind: "thing-break", Target: "a", For: 100 * time.Millisecond})
	if !a.Until.After(a.Verified) {
		t.Errorf("%+v", a)
	}
	r.state(a.ID, Undone)
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("over after %v", took)
	}
	r.whole()
}

func TestInstantFaultsLeaveNothingToUndo(t *testing.T) {
	r := newRig(t)
	a := r.attack(Request{Kind: "thing-end", Target: "a"})
	if a.State != Happened || a.Ended.IsZero() {
		t.Errorf("%+v", a)
	}
	if got, err := r.Heal(t.Context(), a.ID); err != nil || got.State != Happened || r.w.get("a") != "broken" {
		t.Errorf("%v %+v", err, got)
	}
}

func TestHealingStopsAnInjectionUnderWay(t *testing.T) {
	r := newRig(t)
	r.w.block["a"] = make(chan struct{})
	failed := make(chan error)
	e := r.Engine
	go func() {
		_, err := e.Attack(context.Background(), Request{Kind: "thing-break", Target: "a"})
		failed <- err
	}()
	<-r.w.began
	a, err := r.Heal(t.Context(), "f1")
	if err != nil || a.State != Undone || a.Error != errHealed.Error() {
		t.Errorf("%v %+v", err, a)
	}
	if err := <-failed; !errors.Is(err, errHealed) {
		t.Errorf("the attacker hears %v", err)
	}
	r.whole()
}

func TestWhoeverHangsUpTheFaultIsCompleted(t *testing.T) {
	r := newRig(t)
	release := make(chan struct{})
	r.w.block["a"] = release
	ctx, hangUp := context.WithCancel(t.Context())
	e, done := r.Engine, make(chan error)
	go func() { _, err := e.Attack(ctx, Request{Kind: "thing-break", Target: "a"}); done <- err }()
	<-r.w.began
	hangUp()
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.state("f1", Active)
}

func TestStoppingTakesBackWhatIsBeingInjectedAndLeavesWhatIsActive(t *testing.T) {
	r := newRig(t)
	r.attack(Request{Kind: "thing-break", Target: "a"})
	r.w.block["b"] = make(chan struct{})
	e, done := r.Engine, make(chan error)
	go func() {
		_, err := e.Attack(context.Background(), Request{Kind: "thing-break", Target: "b"})
		done <- err
	}()
	<-r.w.began
	r.stop()
	if err := <-done; !errors.Is(err, errStopping) {
		t.Errorf("the attacker hears %v", err)
	}
	if r.w.get("a") != "broken" || r.w.get("b") != "" {
		t.Errorf("a is %q, b is %q", r.w.get("a"), r.w.get("b"))
	}
	if _, err := e.Attack(t.Context(), Request{Kind: "thing-break", Target: "c"}); err == nil {
		t.Error("an attack was begun after the end")
	}
}

func TestRefusalsNameWhatIsAllowedAndTouchNothing(t *testing.T) {
	long := make([]Request, maxParts+1)
	for name, c := range map[string]struct {
		q    Request
		want []string
	}{
		"unknown kind":        {Request{Kind: "thing-brake", Target: "a"}, []string{"thing-brake", "perhaps thing-break"}},
		"nothing like it":     {Request{Kind: "earthquake"}, []string{"earthquake", "zdl faults"}},
		"no kind":             {Request{}, []string{`no fault ""`}},
		"unavailable":         {Request{Kind: "thing-far", Target: "a"}, []string{"the kernel has no such thing"}},
		"no target":           {Request{Kind: "thing-break"}, []string{"needs a target", "a to d, any"}},
		"no match":            {Request{Kind: "thing-break", Target: "z"}, []string{`"z"`, "a to d, any"}},
		"chooses itself":      {Request{Kind: "self-chosen", Target: "a"}, []string{"chooses its target"}},
		"unknown parameter":   {Request{Kind: "thing-break", Target: "a", Params: map[string]string{"latency": "1s"}}, []string{`"latency"`, "delay"}},
		"no parameters":       {Request{Kind: "thing-end", Target: "a", Params: map[string]string{"x": "1"}}, []string{"It has none"}},
		"above the range":     {Request{Kind: "thing-break", Target: "a", Params: map[string]string{"delay": "11s"}}, []string{"delay=11s", "above 10s", "from 1ms to 10s"}},
		"no duration":         {Request{Kind: "thing-break", Target: "a", Params: map[string]string{"delay": "fast"}}, []string{"delay=fast", "from 1ms to 10s"}},
		"negative duration":   {Request{Kind: "thing-break", Target: "a", For: -time.Second}, []string{"-1s"}},
		"instant with a time": {Request{Kind: "thing-end", Target: "a", For: time.Second}, []string{"--for"}},
		"mode":                {Request{Kind: "thing-break", Target: "any", Mode: "some"}, []string{`"some"`, "fixed-percent"}},
		"value":               {Request{Kind: "thing-break", Target: "any", Mode: Fixed, Value: 5}, []string{"1 to 4"}},
		"value without mode":  {Request{Kind: "thing-break", Target: "any", Value: 2}, []string{"--mode"}},
		"guard":               {Request{Kind: "thing-break", Target: "any", Mode: All}, []string{"4 of 4", "70 %", "--force"}},
		"pause of one":        {Request{Kind: "thing-break", Target: "a", Pause: time.Second}, []string{"parts"}},
		"no parts":            {Request{Kind: "compound"}, []string{"1 to 32"}},
		"too many parts":      {Request{Parts: long}, []string{"1 to 32"}},
		"target of a whole":   {Request{Target: "a", Parts: []Request{{Kind: "thing-break", Target: "a"}}}, []string{"parts"}},
		"part in a part":      {Request{Parts: []Request{{Parts: []Request{{}}}}}, []string{"Part 1"}},
		"duration of a part":  {Request{Parts: []Request{{Kind: "thing-break", Target: "a", For: 1}}}, []string{"Part 1"}},
		"second part":         {Request{Parts: []Request{{Kind: "thing-break", Target: "a"}, {Kind: "thing-break", Target: "z"}}}, []string{"Part 2", `"z"`}},
		"parts that contradict": {Request{Parts: []Request{{Kind: "thing-break", Target: "a"}, {Kind: "thing-end", Target: "a"}}},
			[]string{"contradict", "value/a"}},
		"instant parts with a time": {Request{For: 1, Parts: []Request{{Kind: "thing-end", Target: "a"}}}, []string{"--for"}},
		"pause in parallel":         {Request{Pause: 1, Parts: []Request{{Kind: "thing-end", Target: "a"}}}, []string{"sequence"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			_, err := r.Attack(t.Context(), c.q)
			var refused *Error
			if !errors.As(err, &refused) || refused.Message == "" || refused.Hint == "" {
				t.Fatalf("%v is no refusal with a hint", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not mention %q", err, want)
				}
			}
			if len(r.w.calls()) > 0 || len(r.Attacks()) > 0 || len(r.timeline()) > 0 {
				t.Errorf("touched: %q, journal %v, timeline %q", r.w.calls(), r.Attacks(), r.timeline())
			}
		})
	}
}

func TestWhatCannotBeLookedAtIsNotTouched(t *testing.T) {
	r := newRig(t)
	r.w.refuse["a"] = errors.New("connection refused")
	_, err := r.Attack(t.Context(), Request{Kind: "thing-break", Target: "a"})
	var refused *Error
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), "nothing was touched") {
		t.Errorf("%v", err)
	}
	if len(r.w.calls()) > 0 {
		t.Errorf("touched: %q", r.w.calls())
	}
}

func TestTwoFaultsMayNotHoldTheSame(t *testing.T) {
	r := newRig(t)
	a := r.attack(Request{Kind: "thing-break", Target: "a"})
	_, err := r.Attack(t.Context(), Request{Kind: "thing-break", Target: "a"})
	if err == nil || !strings.Contains(err.Error(), a.ID) || !strings.Contains(err.Error(), "zdl heal "+a.ID) {
		t.Errorf("%v", err)
	}
	r.attack(Request{Kind: "thing-break", Target: "b"})
	if _, err := r.Heal(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	r.attack(Request{Kind: "thing-break", Target: "a"})
}

// The second fault's plan takes the first's effect for the state that is to be
// restored, and is carried out only after the first was undone.
func TestAPlanMadeDuringAFaultThatEndsIsMadeAnew(t *testing.T) {
	r := newRig(t)
	first := r.attack(Request{Kind: "thing-break", Target: "a"})
	plans := 0
	r.Kinds[1].Instant = false
	r.Kinds[1].Plan = func(context.Context, Input) (Plan, error) {
		plans++
		p := Together(r.w.step("a"))
		if plans == 1 {
			if _, err := r.Heal(context.Background(), first.ID); err != nil {
				t.Error(err)
			}
		}
		return p, nil
	}
	second := r.attack(Request{Kind: "thing-end", Target: "a"})
	if plans != 2 {
		t.Errorf("planned %d times", plans)
	}
	if _, err := r.Heal(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	r.whole()
}

func TestTheGuardCanBeForced(t *testing.T) {
	r := newRig(t)
	if a := r.attack(Request{Kind: "thing-break", Target: "any", Mode: All, Force: true}); len(a.Targets) != 4 {
		t.Errorf("%+v", a)
	}
	r.Guard.Concurrent = 1
	if _, err := r.Attack(t.Context(), Request{Kind: "self-chosen"}); err == nil {
		t.Error("one attack too many")
	}
	r.attack(Request{Kind: "self-chosen", Force: true})
}

func TestTheGuardProtectsMachinesAndNamespaces(t *testing.T) {
	g := Guard{Machines: []string{"outside"}, Namespaces: []string{"kube-system"}}
	k := &Kind{Name: "k"}
	for _, target := range []Target{{Name: "outside"}, {Name: "web/x", Node: "outside"}, {Name: "kube-system/coredns"}} {
		if err := g.check(k, []Target{target}, []Target{target}); err == nil {
			t.Errorf("%+v is not protected", target)
		}
	}
	if err := g.check(k, nil, []Target{{Name: "web/x", Node: "worker-1"}}); err != nil {
		t.Error(err)
	}
}

func TestCompoundsInParallelAndInSequence(t *testing.T) {
	parts := []Request{{Kind: "thing-order", Target: "a"}, {Kind: "thing-break", Target: "b"}}
	r := newRig(t)
	a := r.attack(Request{Parts: parts})
	if a.Kind != "compound" || a.Layer != LayerCompound || len(a.Targets) != 2 || len(a.Evidence) != 3 {
		t.Errorf("%+v", a)
	}
	if got := r.w.calls(); !slices.Contains(got[:2], "inject b") || got[2] != "inject a-second" {
		t.Errorf("in parallel: %q", got)
	}
	if _, err := r.Heal(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	r.whole()

	r = newRig(t)
	a = r.attack(Request{Parts: parts, Sequence: true, Pause: 60 * time.Millisecond, For: time.Hour})
	want := []string{"inject a-first", "inject a-second", "verify a-first", "verify a-second", "inject b", "verify b"}
	if got := r.w.calls(); !slices.Equal(got, want) || a.InjectMS < 60 {
		t.Errorf("in sequence: %q after %.0f ms, want %q", got, a.InjectMS, want)
	}
	if _, err := r.Heal(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if got := r.w.calls()[len(want):]; !slices.Equal(got, []string{"undo b", "undo a-second", "undo a-first"}) {
		t.Errorf("undone: %q", got)
	}
}

func TestALongPauseEndsWhenTheCompoundIsHealed(t *testing.T) {
	r := newRig(t)
	e, done := r.Engine, make(chan struct{})
	go func() {
		defer close(done)
		_, _ = e.Attack(context.Background(), Request{Sequence: true, Pause: 10 * time.Minute,
			Parts: []Request{{Kind: "thing-break", Target: "a"}, {Kind: "thing-break", Target: "b"}}})
	}()
	for !slices.Contains(r.w.calls(), "verify a") {
		time.Sleep(time.Millisecond)
	}
	healed, err := r.HealAll(t.Context())
	if err != nil || len(healed) != 1 || healed[0].State != Undone {
		t.Errorf("%v %+v", err, healed)
	}
	<-done
	r.whole()
}

func TestHealAllGoesOnBesideOneThatIsStuck(t *testing.T) {
	r := newRig(t)
	for _, target := range []string{"a", "b", "c"} {
		r.attack(Request{Kind: "thing-break", Target: target})
	}
	r.w.mu.Lock()
	r.w.failUndo["c"] = 1 // the second try, after the others, succeeds
	r.w.mu.Unlock()
	healed, err := r.HealAll(t.Context())
	if err != nil || len(healed) != 3 {
		t.Fatalf("%v %+v", err, healed)
	}
	for i, want := range []string{"f3", "f2", "f1"} {
		if healed[i].ID != want || healed[i].State != Undone {
			t.Errorf("%d: %+v", i, healed[i])
		}
	}
	r.whole()
	if healed, err := r.HealAll(t.Context()); err != nil || healed == nil || len(healed) != 0 {
		t.Errorf("with nothing to heal: %v %v", healed, err)
	}
}

func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			target := string(rune('a' + i%4))
			a, err := r.Attack(context.Background(), Request{Kind: "thing-break", Target: target, For: time.Duration(i%5) * time.Millisecond})
			if err == nil {
				r.Heal(context.Background(), a.ID)
			}
			r.Attacks()
		})
	}
	wg.Wait()
	if _, err := r.HealAll(t.Context()); err != nil {
		t.Error(err)
	}
	r.whole()
	for _, a := range r.Attacks() {
		if a.State != Undone || len(a.Residue) > 0 {
			t.Errorf("%+v", a)
		}
	}
}

func TestOldAttacksAreForgotten(t *testing.T) {
	r := newRig(t)
	first := r.attack(Request{Kind: "thing-break", Target: "a"})
	for range keepOver + 10 {
		r.attack(Request{Kind: "thing-end", Target: "b"})
	}
	all := r.Attacks()
	if len(all) != keepOver || all[0].ID != first.ID {
		t.Errorf("%d attacks, the first is %s", len(all), all[0].ID)
	}
	r.stop()
	r.start()
	if got := r.Attacks(); len(got) != keepOver {
		t.Errorf("%d attacks in the journal", len(got))
	}
	if a := r.attack(Request{Kind: "thing-end", Target: "b"}); a.ID != fmt.Sprintf("f%d", keepOver+12) {
		t.Errorf("the next is %s", a.ID)
	}
}

package fault

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// leave writes an attack as a daemon that was killed left it.
func (r *rig) leave(change func(*Attack)) {
	r.t.Helper()
	rec, err := recordOf(&fake{Name: "a", Holds: "a"})
	if err != nil {
		r.t.Fatal(err)
	}
	rec.Before = map[string]string{"value of a": "whole"}
	a := &Attack{ID: "f7", Number: 7, Kind: "thing-break", Layer: LayerPod, State: Intended, Epoch: "boot-1", Asked: time.Now(),
		Targets: []Target{{Type: "thing", Name: "a"}}, Touches: []string{"value/a"}, Stages: []stage{{Steps: []*record{rec}}}}
	change(a)
	j, err := OpenJournal(r.dir)
	if err == nil {
		err = j.Write(a, true)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestADaemonTakesOverWhatAnotherLeft(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		change func(*Attack)
		before string // of the value when the new daemon comes
		boot   string
		want   State
		after  string
		err    bool
	}{
		"intended, untouched":          {change: func(a *Attack) {}, want: Failed, err: true},
		"intended, touched":            {change: func(a *Attack) {}, before: "broken", want: Failed, err: true},
		"injected":                     {change: func(a *Attack) { a.State = Injected }, before: "broken", want: Failed, err: true},
		"active until healed":          {change: func(a *Attack) { a.State = Active }, before: "broken", want: Active, after: "broken"},
		"active, lost since":           {change: func(a *Attack) { a.State = Active }, want: Active, after: "broken"},
		"active with time left":        {change: func(a *Attack) { a.State, a.For, a.Until = Active, time.Hour, now.Add(time.Minute) }, want: Active, after: "broken"},
		"active with a little left":    {change: func(a *Attack) { a.State, a.For, a.Until = Active, time.Hour, now.Add(300*time.Millisecond) }, before: "broken", want: Undone},
		"active, time over":            {change: func(a *Attack) { a.State, a.For, a.Until = Active, time.Second, now.Add(-time.Minute) }, before: "broken", want: Undone},
		"active before a reboot":       {change: func(a *Attack) { a.State = Active }, before: "broken", boot: "boot-2", want: Undone},
		"being undone":                 {change: func(a *Attack) { a.State, a.End = Undoing, Undone }, before: "broken", want: Undone},
		"being undone after a failure": {change: func(a *Attack) { a.State, a.End, a.Error = Undoing, Failed, "no device" }, before: "broken", want: Failed, err: true},
		"over":                         {change: func(a *Attack) { a.State = Undone }, before: "broken", want: Undone, after: "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{t: t, w: newWorld(), dir: t.TempDir(), boot: "boot-1"}
			if c.boot != "" {
				r.boot = c.boot
			}
			r.leave(c.change)
			if c.before != "" {
				r.w.values["a"] = c.before
			}
			r.start()
			a := r.state("f7", c.want)
			for deadline := time.Now().Add(5 * time.Second); r.w.get("a") != c.after && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if got := r.w.get("a"); got != c.after {
				t.Errorf("the value is %q, want %q", got, c.after)
			}
			if (a.Error != "") != c.err {
				t.Errorf("error %q", a.Error)
			}
			if len(a.Residue) > 0 {
				t.Errorf("residue %q", a.Residue)
			}
			if name != "over" && a.State.Over() && a.Resumed != 1 {
				t.Errorf("resumed %d times", a.Resumed)
			}
			if next := r.attack(Request{Kind: "thing-break", Target: "b"}); next.ID != "f8" {
				t.Errorf("the next is %s", next.ID)
			}
		})
	}
}

func TestWhatCannotBeResumedIsUndone(t *testing.T) {
	r := &rig{t: t, w: newWorld(), dir: t.TempDir(), boot: "boot-1"}
	r.leave(func(a *Attack) { a.State = Active })
	r.w.failInject["a"] = errors.New("its target is gone")
	r.start()
	if a := r.state("f7", Failed); !strings.Contains(a.Error, "its target is gone") {
		t.Errorf("%+v", a)
	}
	r.whole()
}

func TestAFaultCanBeHealedBeforeItIsResumed(t *testing.T) {
	r := &rig{t: t, w: newWorld(), dir: t.TempDir(), boot: "boot-1"}
	r.leave(func(a *Attack) { a.State = Active })
	r.w.values["a"] = "broken"
	r.open()
	if a, err := r.Heal(t.Context(), "f7"); err != nil || a.State != Undone {
		t.Errorf("%v %+v", err, a)
	}
	r.whole()
	r.run()
}

func TestAnUnknownMechanismIsToldAndTheRestIsUndone(t *testing.T) {
	r := &rig{t: t, w: newWorld(), dir: t.TempDir(), boot: "boot-1"}
	r.leave(func(a *Attack) {
		a.State = Active
		a.Stages = append(a.Stages, stage{Steps: []*record{{Mechanism: "of tomorrow", Data: json.RawMessage(`{}`)}}})
	})
	r.w.values["a"] = "broken"
	r.start()
	for r.w.get("a") != "" {
		time.Sleep(time.Millisecond)
	}
	a := r.state("f7", Undoing)
	if _, err := r.Heal(t.Context(), a.ID); err == nil || !strings.Contains(err.Error(), "of tomorrow") {
		t.Errorf("%v", err)
	}
}

func TestADamagedFileKeepsNothingElseFromBeingUndone(t *testing.T) {
	r := &rig{t: t, w: newWorld(), dir: t.TempDir(), boot: "boot-1"}
	r.leave(func(a *Attack) {})
	r.w.values["a"] = "broken"
	for name, text := range map[string]string{"f9.json": `{"id":"f9","sta`, "f3.json": "", "f4.json": `{"id":"f5"}`, "f8.json.new": `{"id":"f8"}`, "notes.txt": "x"} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j, err := OpenJournal(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	attacks, highest, err := j.Read()
	var damaged *DamagedError
	if !errors.As(err, &damaged) || len(damaged.Files) != 3 || len(attacks) != 1 || highest != 9 {
		t.Errorf("%v, %d attacks, highest %d", err, len(attacks), highest)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "f8.json.new")); !os.IsNotExist(err) {
		t.Error("the torn file is still there")
	}
	r.start()
	r.state("f7", Failed)
	r.whole()
	if got := r.timeline(); !slices.Contains(got, EntryFailed+" journal") {
		t.Errorf("timeline %q", got)
	}
	if next := r.attack(Request{Kind: "thing-break", Target: "b"}); next.ID != "f10" {
		t.Errorf("the next is %s: a damaged file must not be overwritten", next.ID)
	}
}

func TestAJournalThatCannotBeReadOrWrittenStopsEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	e, err := New(Config{Journal: j, Kinds: w.kinds(), Mechanics: w.mechanics})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	_, err = e.Attack(t.Context(), Request{Kind: "thing-break", Target: "a"})
	var refused *Error
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "nothing was touched") || len(w.calls()) > 0 || len(e.Attacks()) > 0 {
		t.Errorf("%v, calls %q, attacks %v", err, w.calls(), e.Attacks())
	}
	if _, err := New(Config{Journal: j}); err == nil {
		t.Error("an engine without a journal")
	}
}

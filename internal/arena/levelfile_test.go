package arena

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"zdl/internal/fault"
)

func TestAWrongLevelIsRefusedWithFileLineAndReason(t *testing.T) {
	for _, c := range []struct{ old, new, says string }{
		{"name: small", "name: Small!", `line 5: the name "Small!"`},
		{"number: 1", "number: 0", "line 4: the number 0: want 1 to 999"},
		{"question: Does it hold?", "question: ''", "line 7: the question"},
		{"lesson: None.", "", "line 2: the lesson is missing"},
		{"title: Small", "titel: Small", "line 6: field titel not found"},
		{"kind: Level", "kind: Experiment", "line 1: want apiVersion: zdl/v1 and kind: Level"},
		{"kind: pod,", "kind: moon,", `line 9: "moon" is no kind of target`},
		{"weapons: [power]", "weapons: [meteor]", `line 10: there is no weapon "meteor"`},
		{"select: {of: service}", "select: {role: worker}", "line 9: select.role has a meaning for targets of kind node"},
		{"select: {of: service}", "select: {}", "line 9: pods of which namespace?"},
		{"fresh: 50", "fresh: 200", "line 9: the fresh health is 200"},
		{"health: 100, fresh", "health: .nan, fresh", "line 9: the health is NaN"},
		{"name: freeze, key: f", "name: kill, key: f", `line 13: two weapons are called "kill"`},
		{"key: f", "key: k", `line 13: two weapons have the key "k"`},
		{"key: f", "key: h", "line 13: the key"},
		{"for: 5s", "for: 1h", "line 13: the fault of freeze lasts 1h0m0s"},
		{"for: 5s", "for: soon", `line 13: "soon" is not a duration`},
		{"hitsPerSecond: 8", "hitsPerSecond: 800", "line 15: hitsPerSecond is 800: want 0.1 to 50"},
		{"outage: 500ms", "outage: 11s", "line 16: an outage of 11s"},
		{"outage: 500ms", "subject: moon, outage: 1s", `line 16: the subject "moon"`},
		{"giveUp: 60s", "giveUp: 1s", "line 17: giveUp is 1s"},
		{"recoverAfter: 10s", "needs: [magic]", `line 19: "magic" is no capability`},
	} {
		text := strings.Replace(small, c.old, c.new, 1)
		if text == small {
			t.Errorf("%q is not in the file", c.old)
			continue
		}
		_, err := ReadLevel([]byte(text), "07-x.yaml", "")
		if err == nil {
			t.Errorf("%s → %s: it was read", c.old, c.new)
			continue
		}
		if got := err.Error(); !strings.HasPrefix(got, "07-x.yaml: ") || !strings.Contains(got, c.says) || strings.Contains(got, "\n") {
			t.Errorf("%s → %s:\n got %s\nwant %s", c.old, c.new, got, c.says)
		}
	}
}

func TestWhatALevelLeavesOutHasADefault(t *testing.T) {
	l := level(t, "health: 100, fresh: 50, healPerSecond: 5, healAfter: 3s", "atLeast: 3", "rules: {damage: 10, hitsPerSecond: 8, burst: 8, all: 200}\n", "", "giveUp: 60s\nidle: 20s\nrecoverAfter: 10s\n", "")
	if l.Subject != SubjectService || l.Win[0].Subject != SubjectService || l.Targets[0].Health != 100 || l.Targets[0].Fresh != 100 || l.Weapons[0].Damage != 10 || l.GiveUp == 0 {
		t.Errorf("%+v", l)
	}
	if got := fmt.Sprint(l.Subjects()); got != "[service]" {
		t.Errorf("subjects %s", got)
	}
}

func TestOneWrongFileDoesNotKeepOthersFromBeingRead(t *testing.T) {
	dir := fstest.MapFS{
		"01-a.yaml": {Data: []byte(small)}, "01-a.md": {Data: []byte("Text.\n")},
		"02-b.yaml": {Data: []byte("kind: Level\n")}, "02-b.md": {Data: []byte("Text.")},
		"03-c.yaml": {Data: []byte(small)}, "03-c.md": {Data: []byte("Text.")}, // the same name
		"04-d.yaml": {Data: []byte(strings.Replace(small, "name: small", "name: other", 1))}, // without text
		"README.md": {Data: []byte("no level")},
	}
	levels, refused := ReadLevels(dir)
	if len(levels) != 1 || levels[0].Name != "small" || levels[0].Text != "Text." || len(refused) != 3 {
		t.Errorf("%d levels, refused %v", len(levels), refused)
	}
	for i, name := range []string{"02-b.yaml: line 1", "03-c.yaml: line 1", "04-d.yaml: line 1"} {
		if !strings.HasPrefix(refused[i].Error(), name) {
			t.Errorf("%v, want it to begin with %s", refused[i], name)
		}
	}
}

func TestALevelThatTheLabCannotPlayIsToldApartFromOneThatIsWrong(t *testing.T) {
	if _, err := arm(level(t, "fault: pod-kill", "fault: pod-kil"), kinds(), nil); err == nil || !strings.Contains(err.Error(), `no fault "pod-kil"`) {
		t.Errorf("an unknown fault: %v", err)
	}
	if _, err := arm(level(t, "weapons: [power]", "weapons: [kill]"), kinds(), nil); err == nil || !strings.Contains(err.Error(), "cannot strike targets of kind node") {
		t.Errorf("a weapon that does not fit: %v", err)
	}
	if _, err := arm(level(t, "fault: pod-kill}", "fault: pod-kill, params: {speed: 7}}"), kinds(), nil); err == nil || !strings.Contains(err.Error(), `no parameter "speed"`) {
		t.Errorf("an unknown parameter: %v", err)
	}
	lacking := kinds()
	lacking[2].Unavailable = "there is no power switch"
	l := level(t)
	arms, err := arm(l, lacking, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := snapshot(3)
	if why, _ := playable(l, arms, &s, nil); !strings.Contains(why, "there is no power switch") {
		t.Errorf("a fault that is not available: %q", why)
	}
	arms, _ = arm(l, kinds(), nil)
	if why, _ := playable(l, arms, &s, nil); why != "" {
		t.Errorf("it can be played: %q", why)
	}
	none := snapshot(0)
	if why, absent := playable(l, arms, &none, nil); why != "this lab has no pod of the service" || !absent {
		t.Errorf("no pods: %q", why)
	}
	if why, _ := playable(level(t, "giveUp: 60s", "giveUp: 60s\nneeds: [power]"), arms, &s, nil); !strings.Contains(why, "power") {
		t.Errorf("a capability that is missing: %q", why)
	}
}

// FuzzReadLevel: whatever is in a file, it is read or refused with its name and a
// line, and what was read can be played by.
func FuzzReadLevel(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("targets: [{kind: pod}]\nweapons: [{}]\nwin: [{outage: 1ns}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ReadLevel(data, "x.yaml", "")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x.yaml: ") || !strings.Contains(err.Error(), "line ") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("refused with %q", err)
			}
			return
		}
		s := snapshot(3)
		for _, target := range look(l, &s) {
			if target.group >= len(l.Targets) {
				t.Fatal("a target of no group")
			}
		}
	})
}

func TestFreePlayOffersEachTargetTheFaultsThatAreAboutIt(t *testing.T) {
	l := level(t, "weapons: [power]", "weapons: [power]}\n- {kind: component, select: {component: etcd}, weapons: [freeze]}\n- {kind: lab, optional: true", "lesson:", "catalogue: true\nexcept: [node-disk-fill]\nlesson:")
	all := append(kinds(), fault.Kind{Name: "etcd-member-kill", Targets: "control-plane", DefaultTarget: "any"}, fault.Kind{Name: "apiserver-kill", Targets: "control-plane", DefaultTarget: "any"},
		fault.Kind{Name: "etcd-slow-disk", Targets: "node"}, fault.Kind{Name: "kubelet-stop", Targets: "node"}, fault.Kind{Name: "node-disk-fill", Targets: "node"},
		fault.Kind{Name: "dns-delay"}, fault.Kind{Name: "pod-cpu-stress", Targets: "pod"}, fault.Kind{Name: "compound"},
		fault.Kind{Name: "needy", Targets: "node", Params: []fault.Param{{Name: "x", Required: true}}}, fault.Kind{Name: "absent", Targets: "node", Unavailable: "no"})
	a, err := arm(l, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"[kill freeze pod-cpu-stress]", "[power kubelet-stop]", "[freeze etcd-member-kill etcd-slow-disk]", "[etcd-member-kill apiserver-kill dns-delay]"} {
		if got := fmt.Sprint(a.groups[i]); got != want {
			t.Errorf("targets of kind %s: %s, want %s", l.Targets[i].Kind, got, want)
		}
	}
}

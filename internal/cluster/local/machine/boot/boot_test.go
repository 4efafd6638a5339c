package boot

import (
	"os"
	"reflect"
	"testing"
)

func TestProcessIsReadBehindAnyName(t *testing.T) {
	for line, want := range map[string]process{
		"4711 (a) R (b) c) S 1 4711 4711 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1 18446744073709551615\n": {start: 987654},
		"4711 (zdl-init) S 1 4711 4711 0 -1 4194564 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1 0\n":                      {start: 987654, ended: true},
		"4711 (zdl-init) Z 1 4711 4711 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 5 1 1 0\n":                           {start: 5, ended: true},
	} {
		if got, err := parseStat(line); err != nil || got != want {
			t.Errorf("%s got %+v, %v, want %+v", line, got, err, want)
		}
	}
	if _, err := parseStat("1 (x) S 2 3"); err == nil {
		t.Error("a short line was taken")
	}
}

func TestMarkKnowsItsProcessOnly(t *testing.T) {
	dir := t.TempDir()
	if err := MarkSelf(dir, "boot-1"); err != nil {
		t.Fatal(err)
	}
	mark, err := ReadMark(dir)
	if err != nil {
		t.Fatal(err)
	}
	if mark.PID != os.Getpid() || mark.BootID != "boot-1" || !mark.Alive() {
		t.Errorf("mark of this process: %+v, alive %v", mark, mark.Alive())
	}
	for name, change := range map[string]func(*Mark){
		"the number was used again": func(m *Mark) { m.Start++ },
		"the host booted again":     func(m *Mark) { m.HostBoot = "another" },
		"no such process":           func(m *Mark) { m.PID = 1 << 30 },
	} {
		other := *mark
		if change(&other); other.Alive() {
			t.Errorf("alive although %s", name)
		}
	}
}

func TestPlanSurvivesTheFile(t *testing.T) {
	dir := t.TempDir()
	plan := &Plan{
		Lab: "l", Name: "n", MachineID: "m", BootID: "b", Memory: 1, Disk: "/d",
		Binds: []Bind{{Source: "/a", Target: "/b", ReadOnly: true}}, Files: map[string]File{"/etc/x": {Data: []byte{0, 255}, Mode: 0o600}},
		Services: []Service{{Name: "s", Argv: []string{"/s"}, Env: []string{"A=b"}, WaitFor: []string{"/w"}}}, Hosts: map[string]string{"h": "198.18.0.1"},
	}
	if err := WritePlan(dir, plan); err != nil {
		t.Fatal(err)
	}
	got, err := ReadPlan(dir)
	if err != nil || !reflect.DeepEqual(got, plan) {
		t.Errorf("got %+v, %v, want %+v", got, err, plan)
	}
}

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"zdl/internal/labfile"
)

func TestMistakesInTheCallExitWith2AndSayWhatToTry(t *testing.T) {
	for _, line := range []string{
		"nonsense", "up --nonsense", "up extra", "up --profile huge", "up --timing slow", "up --profile ha -f x",
		"status -o yaml", "node", "node explode", "node power-off", "shell", "attack pod", "attack pod --random --all", "attack pod x --all",
		"down --all --name x", "doctor --for fun", "--name Not_A_Name status", "kubectl -n kube-system get pods",
	} {
		a, stdout, stderr := testApp(t)
		code := run(t, a, strings.Fields(line)...)
		if line == "node" { // groups of verbs explain themselves
			if code != exitOK || !strings.Contains(stdout.String(), "power-off") {
				t.Errorf("%s: exit code %d\n%s", line, code, stdout)
			}
			continue
		}
		if code != exitUsage {
			t.Errorf("%s: exit code %d, want 2; %s", line, code, stderr)
		}
		if !strings.HasPrefix(stderr.String(), "zdl: ") || !strings.Contains(stderr.String(), "\ntry: ") {
			t.Errorf("%s: says %q", line, stderr)
		}
		if stdout.Len() > 0 {
			t.Errorf("%s: prints %q", line, stdout)
		}
	}
}

func TestNearVerbIsSuggested(t *testing.T) {
	a, _, stderr := testApp(t)
	if code := run(t, a, "stauts"); code != exitUsage || !strings.Contains(stderr.String(), "status") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestWithoutALabVerbsSayHowToStartOne(t *testing.T) {
	for _, line := range []string{"status", "watch", "open", "down", "kubeconfig", "kubectl get pods", "shell worker-1", "node list", "attack pod --random", "node power-off worker-1"} {
		a, stdout, stderr := testApp(t)
		if code := run(t, a, strings.Fields(line)...); code != exitFailure {
			t.Errorf("%s: exit code %d", line, code)
		}
		if got := stderr.String(); !strings.HasPrefix(got, `zdl: no lab "default" on this machine`) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: says %q", line, got)
		}
		if stdout.Len() > 0 {
			t.Errorf("%s: prints %q", line, stdout)
		}
		if _, err := os.Stat(a.dirs.State); err == nil {
			t.Errorf("%s: left something in the state directory", line)
		}
	}
}

func TestWithoutRootVerbsSayHowToGetIt(t *testing.T) {
	for _, line := range []string{"status", "watch", "down", "kubectl get pods", "shell worker-1", "attack pod --random"} {
		a, _, stderr := testApp(t)
		a.euid = func() int { return 1000 }
		if code := run(t, a, strings.Fields(line)...); code != exitFailure || !strings.Contains(stderr.String(), "needs root; run it again with: sudo zdl") {
			t.Errorf("%s: exit code %d, %q", line, code, stderr)
		}
	}
}

func TestOtherLabsAreMentioned(t *testing.T) {
	a, _, stderr := testApp(t)
	if err := os.MkdirAll(filepath.Join(a.dirs.State, "second"), 0o755); err != nil {
		t.Fatal(err)
	}
	if code := run(t, a, "status"); code != exitFailure || !strings.Contains(stderr.String(), "there are others: second") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestNameComesFromTheEnvironmentToo(t *testing.T) {
	a, _, stderr := testApp(t)
	t.Setenv("ZDL_NAME", "mine")
	if run(t, a, "status"); !strings.Contains(stderr.String(), `no lab "mine"`) {
		t.Errorf("says %s", stderr)
	}
	stderr.Reset()
	if run(t, a, "status", "--name", "yours"); !strings.Contains(stderr.String(), `no lab "yours"`) {
		t.Errorf("says %s", stderr)
	}
}

func TestDownAllWithoutLabsIsFine(t *testing.T) {
	a, stdout, stderr := testApp(t)
	if code := run(t, a, "down", "--all"); code != exitOK || stdout.String() != "There is no lab on this machine.\n" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	stdout.Reset()
	if code := run(t, a, "down", "--all", "-o", "json"); code != exitOK || stdout.String() != "[]\n" {
		t.Errorf("exit code %d, %q", code, stdout)
	}
}

func TestPrintConfigIsTheCompleteFileAndTouchesNothing(t *testing.T) {
	for _, p := range append(labfile.Profiles(), "") {
		a, stdout, stderr := testApp(t)
		line := []string{"up", "--print-config"}
		want, _ := labfile.Profile("ha")
		if p != "" {
			line = append(line, "--profile", p)
			want, _ = labfile.Profile(p)
		}
		if code := run(t, a, line...); code != exitOK {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		got, err := labfile.Parse(stdout.Bytes(), "printed")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("profile %q: %v\n%s", p, err, stdout)
		}
		if _, err := os.Stat(a.dirs.State); err == nil {
			t.Error("left something in the state directory")
		}
	}
}

func TestPrintConfigOfAFileWithAnotherTiming(t *testing.T) {
	a, stdout, stderr := testApp(t)
	a.stdin = strings.NewReader("profile: small\nreplicas: 2\n")
	if code := run(t, a, "up", "-f", "-", "--timing", "fast", "--print-config"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	got, err := labfile.Parse(stdout.Bytes(), "printed")
	if err != nil || got.Replicas != 2 || got.Timing != labfile.Fast || len(got.Nodes) != 3 {
		t.Errorf("%v\n%s", err, stdout)
	}
}

func TestPrintConfigOfAStoredLab(t *testing.T) {
	a, stdout, _ := testApp(t)
	file := filepath.Join(a.dirs.State, "default", "lab.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("profile: small # stored\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(t, a, "up", "--print-config"); code != exitOK || !strings.Contains(stdout.String(), "# stored") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}

func TestPrintSchemaIsJSON(t *testing.T) {
	a, stdout, _ := testApp(t)
	if code := run(t, a, "up", "--print-schema"); code != exitOK || !json.Valid(stdout.Bytes()) {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}

func TestWrongLabFileIsRefusedWithEveryMistake(t *testing.T) {
	a, _, stderr := testApp(t)
	file := filepath.Join(t.TempDir(), "lab.yaml")
	if err := os.WriteFile(file, []byte("profile: hu\nedge: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(t, a, "up", "-f", file); code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{file + `:1:10: profile: found "hu"`, file + ":2:7: edge: found 7"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is not in\n%s", want, stderr)
		}
	}
	if _, err := os.Stat(a.dirs.State); err == nil {
		t.Error("left something in the state directory")
	}
}

func TestDoctorPrintsChecksForScripts(t *testing.T) {
	a, stdout, stderr := testApp(t)
	code := run(t, a, "doctor", "-o", "json")
	var checks []struct{ Name, What, Status, Detail string }
	if err := json.Unmarshal(stdout.Bytes(), &checks); err != nil || len(checks) < 20 {
		t.Fatalf("%v, %d checks: %s", err, len(checks), stderr)
	}
	failed := false
	for _, c := range checks {
		failed = failed || c.Status == "fail"
	}
	if failed != (code == exitFailure) {
		t.Errorf("something failed: %v, exit code %d", failed, code)
	}
}

func TestEveryVerbHasAnExample(t *testing.T) {
	a, _, _ := testApp(t)
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Example == "" && !c.Hidden {
			t.Errorf("%s has no example", c.CommandPath())
		}
		if c.Short == "" {
			t.Errorf("%s is not described", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(a.rootCmd())
}

func TestExitCodeOfAChildIsPassedOn(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 143} {
		err := runChild(exec.Command("sh", "-c", script))
		code := 0
		if exit, ok := err.(*exitError); ok {
			code = exit.code
		} else if err != nil {
			t.Errorf("%s: %v", script, err)
		}
		if code != want {
			t.Errorf("%s: %d, want %d", script, code, want)
		}
	}
	if err := runChild(exec.Command("/does/not/exist")); err == nil {
		t.Error("a program that is not there was run")
	}
}

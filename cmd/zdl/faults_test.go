package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zdl/internal/fault"
)

// broken is a lab with a small catalogue, in which f3 is active.
func broken(t *testing.T, a *app) (asked *[]fault.Request) {
	asked = &[]fault.Request{}
	kinds := []fault.Kind{
		{Name: "pod-kill", Layer: fault.LayerPod, Summary: "Delete a pod.", Effect: "It is gone.", Targets: "pod", TargetHelp: "POD, any", Instant: true},
		{Name: "pod-network-delay", Layer: fault.LayerPod, Summary: "Delay a pod.", Effect: "It is slow.", Targets: "pod", TargetHelp: "POD, any",
			Params: []fault.Param{{Name: "latency", Type: fault.Duration, Min: "1ms", Max: "10s", Default: "100ms", Help: "how much"}}},
		{Name: "disk-melt", Layer: fault.LayerNode, Summary: "Melt.", Effect: "Hot.", Unavailable: "the kernel has no heat"},
	}
	active := fault.Attack{ID: "f3", Number: 3, Kind: "pod-network-delay", State: fault.Active, Asked: time.Now(), Until: time.Now().Add(time.Minute), For: time.Minute,
		VerifyMS: 31, Evidence: []string{"RTT 50 ms"}, Targets: []fault.Target{{Name: "web/a", Node: "worker-1"}}, By: "me"}
	over := fault.Attack{ID: "f2", Number: 2, Kind: "pod-kill", State: fault.Failed, Error: "no pod", Residue: []string{"x is 1; it was 2"}}
	healed := active
	healed.State, healed.UndoMS = fault.Undone, 12
	fakeDaemon(t, a, "default", map[string]any{
		"GET /api/v1/faults":                   kinds,
		"GET /api/v1/faults/pod-network-delay": kinds[1],
		"GET /api/v1/attacks":                  []fault.Attack{over, active},
		"GET /api/v1/attacks/f3":               healed,
		"POST /api/v1/heal":                    []fault.Attack{healed},
		"POST /api/v1/attacks/f3/heal":         healed,
		"POST /api/v1/attacks": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var in fault.Request
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				t.Error(err)
			}
			*asked = append(*asked, in)
			if in.Kind == "pod-kil" {
				w.WriteHeader(http.StatusUnprocessableEntity)
				fmt.Fprint(w, `{"error":"There is no fault \"pod-kil\".","hint":"perhaps pod-kill"}`)
				return
			}
			json.NewEncoder(w).Encode(active)
		}),
	})
	return asked
}

func TestFaultsListsKindsByLayerAndAllAboutOne(t *testing.T) {
	a, stdout, stderr := testApp(t)
	broken(t, a)
	for verb, wants := range map[string][]string{
		"faults":                   {"POD\n", "pod-kill", "Delete a pod.", "not available here: the kernel has no heat", "3 kinds, 1 of them not available here"},
		"faults pod-network-delay": {"latency", "100ms", "a duration from 1ms to 10s", "POD, any", "zdl attack pod-network-delay any -p latency=100ms --for 30s"},
		"faults -o yaml":           {"- effect: It is gone."},
		"faults -o markdown":       {"| `pod-kill` | pod | Delete a pod. Over at once. |"},
		"faults -o json":           {`"unavailable": "the kernel has no heat"`},
	} {
		stdout.Reset()
		if code := run(t, a, strings.Fields(verb)...); code != exitOK {
			t.Errorf("%s: exit code %d: %s", verb, code, stderr)
		}
		for _, want := range wants {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%s: %q is not in\n%s", verb, want, stdout)
			}
		}
	}
}

func TestAttackAsksForWhatTheCommandLineSays(t *testing.T) {
	a, stdout, stderr := testApp(t)
	asked := broken(t, a)
	if code := run(t, a, "attack", "pod-network-delay", "any", "-p", "latency=50ms", "--for", "1m", "--mode", "fixed", "--value", "2", "--seed", "7", "--force"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	want := "f3  pod-network-delay on web/a (worker-1): proven after 31 ms\n    RTT 50 ms\nIt is undone in 1m0s, or now with: zdl heal f3\n"
	if stdout.String() != want {
		t.Errorf("got\n%s\nwant\n%s", stdout, want)
	}
	got := (*asked)[0]
	if got.Kind != "pod-network-delay" || got.Target != "any" || got.Params["latency"] != "50ms" || got.For != time.Minute || got.Mode != fault.Fixed || got.Value != 2 || got.Seed != 7 || !got.Force {
		t.Errorf("asked for %+v", got)
	}
	file := filepath.Join(t.TempDir(), "storm.yaml")
	if err := os.WriteFile(file, []byte("parts: [{kind: pod-kill, target: any}]\nfor: 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(t, a, "attack", "-f", file, "--for", "9s", "--wait"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if got := (*asked)[1]; len(got.Parts) != 1 || got.For != 9*time.Second {
		t.Errorf("asked for %+v", got)
	}
	if !strings.Contains(stdout.String(), "undone after 12 ms") {
		t.Errorf("after waiting it says\n%s", stdout)
	}
}

func TestBadAttacksAreOneSentence(t *testing.T) {
	for line, want := range map[string]string{
		"attack":                            "say what to do",
		"attack a b c":                      "accepts at most 2",
		"attack pod-kill any --for -3s":     "less than nothing",
		"attack pod-kill any -p speed":      "-p speed: it is not NAME=VALUE",
		"attack pod-kill any -p a=1 -p a=2": "given twice",
		"attack -f x.yaml pod-kill":         "the file says it",
		"attack -f x.yaml --mode all":       "the file says it",
		"attack -f /nonexistent.yaml":       "no such file",
		"attack pod-kil any":                "perhaps pod-kill",
		"heal f3 --all":                     "either",
		"faults -o xml":                     "must be text, json, yaml or markdown",
	} {
		a, _, stderr := testApp(t)
		broken(t, a)
		if code := run(t, a, strings.Fields(line)...); code == exitOK || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d: %q, want %q in it", line, code, stderr, want)
		}
	}
}

func TestHealAndAttacks(t *testing.T) {
	a, stdout, stderr := testApp(t)
	broken(t, a)
	for _, line := range []string{"heal", "heal f3", "heal --all"} {
		stdout.Reset()
		if code := run(t, a, strings.Fields(line)...); code != exitOK || stdout.String() != "f3  pod-network-delay on web/a (worker-1): undone after 12 ms\n" {
			t.Errorf("%s: exit code %d: %s%s", line, code, stdout, stderr)
		}
	}
	stdout.Reset()
	if code := run(t, a, "attacks"); code != exitOK || !strings.Contains(stdout.String(), "active for ") || strings.Contains(stdout.String(), "f2") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	stdout.Reset()
	if code := run(t, a, "attacks", "--all"); code != exitOK || !strings.Contains(stdout.String(), "f2  left behind: x is 1; it was 2") || !strings.Contains(stdout.String(), "f2  no pod") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}

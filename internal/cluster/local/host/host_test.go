package host

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const instances = "fs/inotify/max_user_instances"

// fake is a host whose switches are plain files.
func fake(t *testing.T, values map[string]string) Host {
	t.Helper()
	h := Host{RunRoot: t.TempDir(), Sysctls: t.TempDir()}
	for name, value := range values {
		path := filepath.Join(h.Sysctls, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func value(t *testing.T, h Host, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(h.Sysctls, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLastLabPutsLimitsBack(t *testing.T) {
	h := fake(t, map[string]string{instances: "128", "fs/inotify/max_user_watches": "9999999"})
	must(t, h.Acquire("a"))
	must(t, h.Acquire("b"))
	must(t, h.Acquire("a"))
	if got := value(t, h, instances); got != "8192" {
		t.Errorf("raised to %s, want 8192", got)
	}
	if got := value(t, h, "fs/inotify/max_user_watches"); got != "9999999" {
		t.Errorf("a limit that was high enough became %s", got)
	}
	must(t, h.Release("a"))
	if got := value(t, h, instances); got != "8192" {
		t.Errorf("put back to %s while a lab needs it", got)
	}
	must(t, h.Release("b"))
	must(t, h.Release("b"))
	if got := value(t, h, instances); got != "128" {
		t.Errorf("put back to %s, want 128", got)
	}
	if left, _ := os.ReadDir(h.RunRoot); len(left) > 0 {
		t.Errorf("left in the run root: %v", left)
	}
}

func TestOldValueSurvivesProgramKilledWhileRaising(t *testing.T) {
	for name, now := range map[string]string{"before": "128", "after": "8192"} {
		t.Run(name+" the write", func(t *testing.T) {
			h := fake(t, map[string]string{instances: "128"})
			must(t, h.Acquire("a"))
			must(t, os.WriteFile(filepath.Join(h.Sysctls, instances), []byte(now), 0o644))
			must(t, h.Acquire("a")) // the next try
			if got := value(t, h, instances); got != "8192" {
				t.Errorf("raised to %s, want 8192", got)
			}
			must(t, h.Release("a"))
			if got := value(t, h, instances); got != "128" {
				t.Errorf("put back to %s, want 128", got)
			}
		})
	}
}

func TestValueSetBySomebodyElseStays(t *testing.T) {
	h := fake(t, map[string]string{instances: "128"})
	must(t, h.Acquire("a"))
	must(t, os.WriteFile(filepath.Join(h.Sysctls, instances), []byte("500"), 0o644))
	must(t, h.Release("a"))
	if got := value(t, h, instances); got != "500" {
		t.Errorf("became %s, want the administrator's 500", got)
	}
}

func TestRecordOfAnEarlierBootIsForgotten(t *testing.T) {
	h := fake(t, map[string]string{instances: "128"})
	must(t, h.Acquire("a"))
	path := filepath.Join(h.RunRoot, dirName, recordFile)
	b, err := json.Marshal(record{Boot: "another", Changes: map[string]change{instances: {Old: 7, New: 8192}}})
	must(t, err)
	must(t, os.WriteFile(path, b, 0o600))
	must(t, os.WriteFile(filepath.Join(h.Sysctls, instances), []byte("200"), 0o644)) // as booted
	must(t, h.Acquire("b"))
	must(t, h.Release("b")) // lab a is of the earlier boot: b is the last
	if got := value(t, h, instances); got != "200" {
		t.Errorf("put back to %s, want this boot's 200", got)
	}
}

func TestReleaseWithoutAcquireTouchesNothing(t *testing.T) {
	h := fake(t, map[string]string{instances: "128"})
	must(t, h.Release("never"))
	if left, _ := os.ReadDir(h.RunRoot); len(left) > 0 {
		t.Errorf("left in the run root: %v", left)
	}
}

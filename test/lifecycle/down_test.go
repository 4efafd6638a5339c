package lifecycle

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"zdl/test/harness"
)

func TestDownLeavesNothingAndTwiceIsOnce(t *testing.T) {
	l, before := start(t, "t-down")
	up(t, l, "--profile", "small")
	serves(t, l)
	during, err := l.Take()
	if err != nil {
		t.Fatal(err)
	}
	// Or the comparison would be blind.
	for _, kind := range []string{"+ process", "+ mount", "+ namespace", "+ cgroup", "+ loop device", "+ file"} {
		if !anyHas(during.Since(before), kind) {
			t.Errorf("a lab that is up shows no %q: the trace sees nothing of that kind", kind)
		}
	}
	r := down(t, l)
	t.Logf("down took %.1f s", r.Took.Seconds())
	mustLeaveNothing(t, l, before)

	again, err := l.Try(t.Context(), "down")
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, again, "no lab", l.Name)
}

func anyHas(lines []string, prefix string) bool {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			return true
		}
	}
	return false
}

// Even when nothing of the lab works any more.
func TestDownRemovesALabWhoseDaemonIsDeadAndWhoseFilesAreBroken(t *testing.T) {
	l, before := start(t, "t-wreck")
	up(t, l, "--profile", "small")
	daemon, err := l.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(daemon.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for name, p := range l.MustInits(t) {
		if name == "worker-1" {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
	}
	write(t, l.StateDir()+"/lab.yaml", "this is: [not a lab file")
	write(t, l.RunDir()+"/daemon.json", "{")
	down(t, l)
	mustLeaveNothing(t, l, before)
}

// Every lab has the same addresses inside, and its own ones outside.
func TestTwoLabsStandSideBySide(t *testing.T) {
	a, before := start(t, "t-left")
	b, _ := start(t, "t-right")
	up(t, a, "--profile", "small")
	up(t, b, "--profile", "small")
	serves(t, a)
	serves(t, b)
	if a.Info.Page == b.Info.Page || a.Info.API == b.Info.API || a.Info.Users == b.Info.Users {
		t.Errorf("both have the same address: %+v and %+v", a.Info, b.Info)
	}
	a.Kubectl(t, "create", "configmap", "only-here")
	if r := b.TryKubectl(t.Context(), nil, "get", "configmap", "only-here"); r.Code == 0 {
		t.Error("an object of one lab shows in the other")
	}
	// What happens to one does not touch the other.
	users := b.Watch(t)
	pods := map[string]bool{}
	down(t, a)
	resp, err := http.Get(b.Info.Users)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	pods[resp.Header.Get("X-Served-By")] = true
	users.MustServeAll(t)
	down(t, b)
	mustLeaveNothing(t, a, before)
}

func TestKeptDataComesBack(t *testing.T) {
	l, before := start(t, "t-keep")
	up(t, l, "--profile", "small")
	remember(t, l)
	down(t, l, "--keep-data")
	left, err := l.Take()
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range left.Since(before) {
		if !strings.HasPrefix(change, "+ file "+l.Dirs().State) {
			t.Errorf("not as before: %s", change)
		}
	}
	begin := time.Now()
	up(t, l)
	t.Logf("the second up took %.1f s", time.Since(begin).Seconds())
	remembers(t, l)
	serves(t, l)
}

func mustRefuse(t *testing.T, r harness.Result, words ...string) {
	t.Helper()
	if r.Code == 0 {
		t.Errorf("exit code 0, want a refusal: %s", r.Stdout)
	}
	text := strings.TrimSpace(r.Stderr)
	if lines := strings.Count(text, "\n") + 1; lines > 3 || strings.Contains(text, "goroutine ") {
		t.Errorf("%d lines where one sentence should stand:\n%s", lines, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("it says %q, which lacks %q", text, w)
		}
	}
}

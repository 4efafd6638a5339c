package probe

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestAStoppedProberBlamesNobodyAndSaysSo stops a prober's process, as a busy
// hypervisor would, while its requests are under way.
func TestAStoppedProberBlamesNobodyAndSaysSo(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		time.Sleep(20 * time.Millisecond) // so that some are under way at any time
	}))
	defer srv.Close()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProberProcess$")
	child.Env = append(os.Environ(), "ZDL_TEST_PROBE="+srv.URL+"/")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { child.Process.Kill(); child.Wait() }()
	lines := bufio.NewScanner(out)
	ask := func() (s Summary) {
		t.Helper()
		fmt.Fprintln(in, "summary")
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &s) != nil {
			t.Fatalf("no summary: %q, %v", lines.Text(), lines.Err())
		}
		return s
	}
	var stopped time.Duration
	for _, length := range []time.Duration{300 * time.Millisecond, 1500 * time.Millisecond} {
		before := ask().Sent
		until(t, "the prober is at work", func() bool { return ask().Sent > before+50 })
		begin := time.Now()
		if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		<-time.After(length) // the pause itself
		stopped += time.Since(begin)
		if err := child.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	before := ask().Sent
	until(t, "it went on", func() bool { return ask().Sent > before+400 })
	s := ask()
	if s.Failed > 0 || s.Down.Count > 0 || s.Outage != nil {
		t.Errorf("the service is blamed: %d failed, %+v, %+v", s.Failed, s.Down, s.Outage)
	}
	if s.Pauses < 2 || s.PausedMS < ms(stopped)-200 {
		t.Errorf("%d pauses of %g ms are reported, but it was stopped twice for %v", s.Pauses, s.PausedMS, stopped)
	}
	if s.Missed < 200 {
		t.Errorf("%d slots count as missed, want at least 200", s.Missed)
	}
}

// TestProberProcess is the process that is stopped.
func TestProberProcess(t *testing.T) {
	url := os.Getenv("ZDL_TEST_PROBE")
	if url == "" {
		t.Skip("it is the helper of another test")
	}
	p, err := New(Config{URL: url, Rate: 200, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go p.Run(ctx)
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		body, err := json.Marshal(p.Summary())
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.Write(append(body, '\n'))
	}
	os.Exit(0)
}

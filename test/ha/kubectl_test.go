package ha

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestKubectlExecRunsACommandWithItsInputAndExitCode(t *testing.T) {
	l := lab(t)
	l.Namespace(t, "t-exec")
	l.Apply(t, toolbox(t, l, "t-exec", "box", "sleep 3600", ""))
	l.WaitPods(t, "t-exec", "app=box", 1, time.Minute)
	r := l.TryKubectl(t.Context(), []byte("through standard input\n"), "-n", "t-exec", "exec", "-i", "box", "--", "sh", "-c", "tr a-z A-Z; hostname >&2; exit 7")
	if r.Code != 7 || r.Stdout != "THROUGH STANDARD INPUT\n" || !strings.HasPrefix(r.Stderr, "box\n") {
		t.Errorf("exit %d, stdout %q, stderr %q", r.Code, r.Stdout, r.Stderr)
	}
	r = l.TryKubectl(t.Context(), nil, "-n", "t-exec", "cp", "box:/etc/hostname", t.TempDir()+"/hostname")
	if r.Code != 0 {
		t.Errorf("kubectl cp: exit %d %s", r.Code, r.Stderr)
	}
}

func TestKubectlLogsFollowsWhatIsWritten(t *testing.T) {
	l := lab(t)
	l.Namespace(t, "t-logs")
	l.Apply(t, toolbox(t, l, "t-logs", "talker", "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.3; done", ""))
	l.WaitPods(t, "t-logs", "app=talker", 1, time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := l.KubectlCommand(ctx, "-n", "t-logs", "logs", "-f", "talker", "--tail=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for scanner := bufio.NewScanner(out); len(lines) < 5 && scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	cancel()
	_ = cmd.Wait() // it was killed
	if len(lines) < 5 {
		t.Fatalf("logs -f gave only %q within 30 s", lines)
	}
	var first, last int
	fmt.Sscanf(lines[0], "line %d", &first)
	fmt.Sscanf(lines[4], "line %d", &last)
	if last != first+4 || first == 0 {
		t.Errorf("logs -f gave %q", lines)
	}
}

func TestKubectlPortForwardReachesAPod(t *testing.T) {
	l := lab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := l.KubectlCommand(ctx, "-n", "web", "port-forward", "service/web", ":80")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	m := regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+)`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("kubectl port-forward said %q, %v, %s", line, err, complaints.String())
	}
	resp, err := http.Get("http://" + m[1] + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"pod":"web-`) {
		t.Errorf("through port-forward: %s %s", resp.Status, body)
	}
}

func TestKubectlTopShowsNodesAndPods(t *testing.T) {
	l := lab(t)
	waitFor(t, "kubectl top node shows every node", 90*time.Second, func(ctx context.Context) error {
		r := l.TryKubectl(ctx, nil, "top", "node", "--no-headers")
		for _, name := range append(append([]string{}, workers...), controlPlanes...) {
			if !regexp.MustCompile(`(?m)^` + name + `\s+\d+m\s+\d+%\s+\d+Mi\s+\d+%`).MatchString(r.Stdout) {
				return fmt.Errorf("%s is missing: %s%s", name, r.Stdout, r.Stderr)
			}
		}
		return nil
	})
	waitFor(t, "kubectl top pod shows the service's pods", 90*time.Second, func(ctx context.Context) error {
		r := l.TryKubectl(ctx, nil, "top", "pod", "-n", "web", "--no-headers")
		if found := regexp.MustCompile(`(?m)^web-\S+\s+\d+m\s+[1-9]\d*Mi`).FindAllString(r.Stdout, -1); len(found) < 3 {
			return fmt.Errorf("%s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
}

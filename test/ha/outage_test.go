package ha

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/probe"
	"zdl/test/harness"
)

// attacked is what `zdl attack pod -o json` says.
type attacked struct {
	Pods []struct {
		Target, Node, Replacement string
		ReadyMS                   float64 `json:"readyMs"`
	}
	Outages []probe.Outage
	Waited  bool
}

func TestKillingOnePodIsUnnoticedOrShortAndItIsReplaced(t *testing.T) {
	l := lab(t)
	users := l.Watch(t)
	var a attacked
	l.ZdlJSON(t, &a, "attack", "pod", "--random")
	if len(a.Pods) != 1 || a.Pods[0].Replacement == "" || a.Pods[0].ReadyMS <= 0 || !a.Waited {
		t.Errorf("zdl attack pod says %+v", a)
	}
	l.WaitPods(t, "web", "app.kubernetes.io/name=web", 3, 30*time.Second)
	users.Stop()
	// Two of three replicas remain: whoever waits for all to die must wait in vain.
	if o := users.Longest(); o != nil && o.LowerMS > 1000 {
		t.Errorf("one pod of three was killed and users were down: %+v", o)
	}
}

// The real 503: all replicas at once, measured by the lab and, independently,
// by the test.
func TestKillingAllPodsIsARealOutageThatIsMeasuredAndEnds(t *testing.T) {
	l := lab(t)
	var before []probe.Outage
	var mine *probe.Outage
	// A machine that is too busy for the test's own prober measures nothing, and
	// the prober says so: then once more.
	for range 3 {
		l.WaitHealthy(t, time.Minute)
		before = outages(t, l)
		users := l.Watch(t)
		var a attacked
		l.ZdlJSON(t, &a, "attack", "pod", "--all")
		if len(a.Pods) != 3 || !a.Waited || len(a.Outages) == 0 {
			t.Fatalf("zdl attack pod --all says %+v", a)
		}
		l.WaitPods(t, "web", "app.kubernetes.io/name=web", 3, 30*time.Second)
		users.Stop()
		if mine = users.Longest(); mine == nil || mine.Missed <= mine.Failed/4 {
			break
		}
		t.Logf("the test's prober missed %d slots beside %d failures", mine.Missed, mine.Failed)
	}
	if mine == nil || mine.ByClass["503"] == 0 || mine.LowerMS < 100 || mine.Open {
		t.Fatalf("no real 503 was measured: %+v", mine)
	}
	if mine.UpperMS > 20_000 {
		t.Errorf("the service did not recover by itself soon: %+v", mine)
	}
	// The lab's prober, whose requests are others, saw it at the same time.
	var theirs *probe.Outage
	for _, o := range outages(t, l)[len(before):] {
		if o.ByClass["503"] > 0 && o.Began.Before(mine.Ended) && mine.Began.Before(o.Ended) && (theirs == nil || o.LowerMS > theirs.LowerMS) {
			theirs = &o
		}
	}
	if theirs == nil || theirs.LowerMS < 100 {
		t.Fatalf("the test measured %+v, the lab %+v", mine, outages(t, l)[len(before):])
	}
	t.Logf("down for %.0f to %.0f ms, %d failed requests: %v; the test measured %.0f to %.0f ms",
		theirs.LowerMS, theirs.UpperMS, theirs.Failed, theirs.ByClass, mine.LowerMS, mine.UpperMS)
	if answer, err := l.Ask(t.Context()); err != nil || answer.Status != http.StatusOK {
		t.Errorf("afterwards users get %+v, %v", answer, err)
	}
}

// outages asks the API of the page.
func outages(t *testing.T, l *harness.Lab) []probe.Outage {
	t.Helper()
	resp, err := http.Get(l.Info.Page + "/api/v1/outages")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out []probe.Outage
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Visitors of the page may hit pods. What only the owner may do, they may not.
func TestVisitorsOfThePageCannotDoWhatTheOwnerCan(t *testing.T) {
	l := lab(t)
	for path, body := range map[string]string{
		"/api/v1/attacks":               `{"kind":"pod-kill","target":"any"}`,
		"/api/v1/heal":                  `{}`,
		"/api/v1/nodes/worker-1/power":  `{"on":false}`,
		"/api/v1/nodes/worker-2/power/": `{"on":false}`,
	} {
		resp, err := http.Post(l.Info.Page+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("POST %s over TCP: %s", path, resp.Status)
		}
	}
	resp, err := http.Get(l.Info.Page + "/api/v1/kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode < 400 {
		t.Errorf("the kubeconfig over TCP: %s", resp.Status)
	}
	if err := l.Healthy(t.Context()); err != nil {
		t.Errorf("something was broken: %v", err)
	}
}

// The schedule is kept whatever becomes of the requests; on a machine that is
// busy with tests a few slots are missed, and counted as such.
func TestTheProberAsksAtLeastHundredTimesASecond(t *testing.T) {
	l := lab(t)
	var first, now struct{ Service probe.Summary }
	l.ZdlJSON(t, &first, "status")
	waitFor(t, "ten seconds go by on the prober's clock", 30*time.Second, func(context.Context) error {
		l.ZdlJSON(t, &now, "status")
		if now.Service.NowMS-first.Service.NowMS < 10_000 {
			return fmt.Errorf("%.0f ms", now.Service.NowMS-first.Service.NowMS)
		}
		return nil
	})
	s := now.Service
	seconds := (s.NowMS - first.Service.NowMS) / 1000
	slots, missed := float64(s.Sent-first.Service.Sent)/seconds, float64(s.Missed-first.Service.Missed)/seconds
	if s.Rate < 100 || slots < 95 || missed > 25 || !s.Up {
		t.Errorf("%.1f requests a second, %.1f of them missed: %+v", slots, missed, s)
	}
}

func TestWatchPrintsLinesWhenPiped(t *testing.T) {
	l := lab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	cmd := l.Command(ctx, "watch")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	var got []string
	read := func(n int) {
		for len(got) < n {
			line, ok := <-lines
			if !ok {
				t.Fatalf("zdl watch ended after %q\n%s", got, complaints.String())
			}
			if strings.ContainsRune(line, '\x1b') {
				t.Errorf("escape sequences in a pipe: %q", line)
			}
			got = append(got, line)
		}
	}
	read(2)
	// What happens in the cluster shows.
	pods, err := l.Client.CoreV1().Pods("web").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	victim := pods.Items[0].Name
	l.Zdl(t, "attack", "pod", victim, "--wait", "0")
	for !strings.Contains(strings.Join(got, "\n"), victim) {
		read(len(got) + 1)
	}
	cancel()
	for range lines { // until the pipe is closed
	}
	_ = cmd.Wait() // it was killed
}

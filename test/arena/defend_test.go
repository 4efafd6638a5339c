package arena

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/arena"
	"zdl/test/harness"
)

// defend applies a defence, or takes it back, and waits until that is done.
func (p *table) defend(name string, on bool) arena.Defence {
	p.t.Helper()
	harness.Eventually(p.t, "the defence "+name+" may be changed", time.Minute, func(context.Context) error {
		return p.post("/api/v1/arena/defend", map[string]any{"defence": name, "on": on}, nil)
	})
	var d arena.Defence
	harness.Eventually(p.t, fmt.Sprintf("the defence %s is %v", name, on), 5*time.Minute, func(context.Context) error {
		d = p.defence(name)
		if d.Applying || d.Applied != on {
			return fmt.Errorf("it is %s", text(d))
		}
		return nil
	})
	return d
}

func (p *table) defence(name string) arena.Defence {
	p.t.Helper()
	all := p.state().Defences
	at := slices.IndexFunc(all, func(d arena.Defence) bool { return d.Name == name })
	if at < 0 {
		p.t.Fatalf("there is no defence %s: %s", name, text(all))
	}
	return all[at]
}

// replay plays the attack of the round before once more, and waits for its end.
func (p *table) replay() arena.Replay {
	p.t.Helper()
	harness.Eventually(p.t, "the replay begins", time.Minute, func(context.Context) error {
		return p.post("/api/v1/arena/replay", struct{}{}, nil)
	})
	var r arena.Replay
	harness.Eventually(p.t, "the replay is over", 10*time.Minute, func(context.Context) error {
		if r = *p.state().Replay; r.Running {
			return fmt.Errorf("progress %.2f", r.Progress)
		}
		return nil
	})
	if r.Trouble != "" || r.Before == nil || r.After == nil {
		p.t.Fatalf("the replay was not played to its end: %s", text(r))
	}
	for _, side := range []*arena.Measured{r.Before, r.After} {
		p.t.Logf("with %v: %d strikes, down %.0f to %.0f ms, longest %.0f to %.0f ms, %d failed requests, steady after %.0f ms; %v",
			side.Defences, side.Strikes, side.DownMS, side.UpperMS, side.LongestMS, side.LongestUpperMS, side.FailedRequests, side.SteadyMS, side.Notes)
	}
	for _, a := range p.attacks() {
		p.t.Errorf("the replay left the fault %s", a)
	}
	return r
}

func (p *table) replicas(namespace, name string) int32 {
	p.t.Helper()
	d, err := p.lab.Client.AppsV1().Deployments(namespace).Get(p.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return *d.Spec.Replicas
}

// nothingKept wants the journal of defences to be empty.
func (p *table) nothingKept() {
	p.t.Helper()
	left, err := os.ReadDir(filepath.Join(p.lab.StateDir(), "defences"))
	if err != nil || len(left) > 0 {
		p.t.Errorf("the journal of defences holds %v, %v", left, err)
	}
}

// long skips what has not been seen to hold on every machine yet, and takes minutes.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("ZDL_TEST_LONG") == "" {
		t.Skip("set ZDL_TEST_LONG=1")
	}
}

func TestTheSameTwoNodesAreNotEnoughWithAnIngressInEveryZone(t *testing.T) {
	long(t)
	p := sit(t, "nodes")
	right := p.nodesOf("ingress", false)
	p.fell("power", right...)
	p.won(p.ended(4*time.Minute), arena.SubjectService)
	d := p.defend("ingress-per-zone", true)
	if len(d.Evidence) != 1 || !strings.Contains(d.Evidence[0], "3 of 3 replicas") || p.replicas("kube-system", "skipper-ingress") != 3 {
		t.Errorf("it was observed by %q", d.Evidence)
	}
	r := p.replay()
	if r.After.Strikes != r.Before.Strikes || r.Before.LongestMS < 1000 || r.After.LongestMS*2 > r.Before.LongestMS {
		t.Errorf("it made no difference: %s", text(r))
	}
	p.defend("ingress-per-zone", false)
	if n := p.replicas("kube-system", "skipper-ingress"); n != 2 {
		t.Errorf("%d ingress controllers, not 2 as before", n)
	}
	p.nothingKept()
}

func TestADefenceThatADeadDaemonBeganIsTakenBack(t *testing.T) {
	long(t)
	p := sit(t, "pods")
	if err := p.post("/api/v1/arena/defend", map[string]any{"defence": "six-replicas", "on": true}, nil); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the object is changed", 30*time.Second, func(context.Context) error {
		if n := p.replicas("web", "web"); n != 6 {
			return fmt.Errorf("%d replicas", n)
		}
		return nil
	})
	daemon, err := p.lab.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(daemon.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.lab.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.client = connect(t, p.lab)
	harness.Eventually(t, "all or nothing is there", 3*time.Minute, func(context.Context) error {
		d, n := p.defence("six-replicas"), p.replicas("web", "web")
		if d.Applying || d.Applied != (n == 6) || !d.Applied && n != 3 {
			return fmt.Errorf("%d replicas, and the defence is %s", n, text(d))
		}
		return nil
	})
	if p.defence("six-replicas").Applied { // it was quicker than the kill
		p.defend("six-replicas", false)
	}
	if n := p.replicas("web", "web"); n != 3 {
		t.Errorf("%d replicas, not 3 as before", n)
	}
	p.nothingKept()
}

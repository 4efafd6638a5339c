package lab

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"zdl/internal/cluster"
)

func TestSecretsAreKeptForRootAndStayTheSame(t *testing.T) {
	d := Dirs{State: t.TempDir(), Run: t.TempDir()}
	if err := os.MkdirAll(d.state("x"), 0o700); err != nil {
		t.Fatal(err)
	}
	dm := &daemon{dirs: d, name: "x", listen: Listen{Public: "0.0.0.0:8420", Proxies: []string{"192.0.2.7/24"}}}
	first, err := dm.access()
	if err != nil {
		t.Fatal(err)
	}
	token := first.Token.Value()
	if len(token) < 26 || !first.Public || first.Proxies[0].String() != "192.0.2.0/24" {
		t.Errorf("token of %d characters, %+v", len(token), first)
	}
	for _, file := range []string{"session-key", "owner-token"} {
		info, err := os.Stat(filepath.Join(d.state("x"), file))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v %v", file, info, err)
		}
	}
	again, err := dm.access()
	if err != nil || again.SessionKey != first.SessionKey || again.Token.Value() != token {
		t.Error("another daemon does not know the sessions or the token any more")
	}
	rotated, err := first.Token.Rotate()
	if err != nil || rotated == token || first.Token.Value() != rotated {
		t.Errorf("rotated: %v", err)
	}
	if third, err := dm.access(); err != nil || third.Token.Value() != rotated {
		t.Error("the new token is not kept")
	}
	if err := os.WriteFile(filepath.Join(d.state("x"), "session-key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dm.access(); err == nil {
		t.Error("a damaged key is used")
	}
}

func TestTheEtcdLeaderIsKnownFromLogsAndAskedForOnlyWhereTheySayNothing(t *testing.T) {
	asked := 0
	var work sync.WaitGroup
	answer := "cp-1"
	l := &etcdLeader{spawn: work.Go, ask: func(context.Context) string { asked++; return answer }}
	get := func() string {
		name := l.get(t.Context())
		work.Wait()
		return name
	}
	if get(); get() != "cp-1" || asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	l.heard(cluster.Change{Subject: "etcd", Kind: cluster.LeaderMoved, Node: "cp-2"})
	l.heard(cluster.Change{Subject: "kube-scheduler", Kind: cluster.LeaderMoved, Node: "cp-3"})
	for range 1000 {
		if got := get(); got != "cp-2" {
			t.Fatalf("the log says cp-2, it says %q", got)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times although the log said it", asked)
	}
	l.heard(cluster.Change{Subject: "etcd", Kind: cluster.LeaderLost, Node: "cp-3"})
	answer = ""
	l.at = l.at.Add(-2 * askAgain)
	if get(); get() != "" || asked != 2 {
		t.Errorf("after the loss it says %q, asked %d times", l.name, asked)
	}
	// An answer that was on its way when the log had news does not count.
	l.ask = func(context.Context) string {
		l.heard(cluster.Change{Subject: "etcd", Kind: cluster.LeaderMoved, Node: "cp-3"})
		return "cp-1"
	}
	l.at = l.at.Add(-2 * askAgain)
	if get(); get() != "cp-3" {
		t.Errorf("an old answer counts more than the log: %q", l.name)
	}
}

package observe

import (
	"testing"
	"time"

	"zdl/internal/cluster"
)

func TestARoundEndsWithTheLastNodeOrWhenANodeBeginsTheNext(t *testing.T) {
	told := make(chan cluster.Change, 10)
	r := &Round{Service: "web/web", Nodes: func() int { return 3 }, Tell: func(c cluster.Change) { told <- c }, Patience: time.Minute}
	t0 := time.Now()
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	r.Add("b", at(0))
	r.Add("a", at(12))
	if len(told) > 0 {
		t.Fatal("told before the last node")
	}
	r.Add("c", at(40))
	if got := (<-told).Text; got != "kube-proxy has programmed web/web on 3 nodes within 40 ms, b first, c last" {
		t.Error(got)
	}
	r.Add("a", at(100))
	r.Add("a", at(110))
	if c := <-told; c.Text != "kube-proxy has programmed web/web on a" || !c.At.Equal(at(100)) {
		t.Errorf("%+v", c)
	}
}

func TestARoundDoesNotWaitForANodeThatIsGone(t *testing.T) {
	told := make(chan cluster.Change, 10)
	r := &Round{Service: "web/web", Nodes: func() int { return 2 }, Tell: func(c cluster.Change) { told <- c }, Patience: 10 * time.Millisecond}
	r.Add("a", time.Now())
	select {
	case <-told:
	case <-time.After(5 * time.Second):
		t.Fatal("nothing was told")
	}
}

package lab

import (
	"context"
	"sync"
	"time"

	"zdl/internal/cluster"
)

// etcdLeader knows which member of etcd leads without asking again and again: the
// members say so in their logs when it changes.
type etcdLeader struct {
	ask   func(context.Context) string
	spawn func(func()) // runs it beside, and waits for it in the end
	news  func()       // is called, if set, when another member leads

	mu    sync.Mutex
	name  string
	known bool
	at    time.Time // of the latest question
	heeds int       // log lines so far
}

// askAgain is how long an answer of "nobody" counts without a log line.
const askAgain = 5 * time.Second

// heard takes a line of an observer into account.
func (l *etcdLeader) heard(c cluster.Change) {
	if c.Subject != "etcd" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heeds++
	switch c.Kind {
	case cluster.LeaderMoved:
		l.tell(c.Node)
	case cluster.LeaderLost, cluster.ElectionBegan:
		l.known = false // one member misses it; it may still lead the others
	}
}

// get is the name of the leader's node as far as it is known, "" for nobody. It
// does not wait: where it has to be asked, a later call has the answer.
func (l *etcdLeader) get(ctx context.Context) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	since := time.Since(l.at)
	if since > time.Second && !l.known || since > askAgain && l.name == "" {
		l.at = time.Now()
		heeds := l.heeds
		l.spawn(func() { l.find(ctx, heeds) })
	}
	return l.name
}

func (l *etcdLeader) find(ctx context.Context, heeds int) {
	name := l.ask(ctx) // within a second
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heeds == heeds { // else there is news that the answer may not know
		l.tell(name)
	}
}

func (l *etcdLeader) tell(name string) {
	moved := l.name != name
	l.name, l.known = name, true
	if moved && l.news != nil {
		go l.news() // it may ask
	}
}

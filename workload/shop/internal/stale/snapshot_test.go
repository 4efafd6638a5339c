package stale

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type bench struct {
	Snapshot[string]
	clock atomic.Int64 // ns
	asked atomic.Int64
	mu    sync.Mutex
	value string
	err   error
}

func newBench() *bench {
	b := &bench{value: "one"}
	b.Fresh, b.Wait, b.Limit = time.Second, 5*time.Second, 10*time.Second
	b.Now = func() time.Time { return time.Unix(1000, b.clock.Load()) }
	b.Fetch = func(context.Context) (string, error) {
		b.asked.Add(1)
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.value, b.err
	}
	return b
}

func (b *bench) pass(d time.Duration) { b.clock.Add(int64(d)) }

func (b *bench) store(value string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.value, b.err = value, err
}

func (b *bench) want(t *testing.T, value string, age time.Duration) {
	t.Helper()
	if v, a, err := b.Get(t.Context()); v != value || a != age || err != nil {
		t.Errorf("got %q, %v old, %v; want %q, %v old", v, a, err, value, age)
	}
}

func TestAFailingStoreLeavesAnOldAnswerThatSaysSo(t *testing.T) {
	b := newBench()
	b.want(t, "one", 0)
	b.store("two", errors.New("down"))
	b.pass(400 * time.Millisecond)
	b.want(t, "one", 0) // still fresh
	b.pass(700 * time.Millisecond)
	b.want(t, "one", 1100*time.Millisecond)
	b.pass(30 * time.Second)
	b.want(t, "one", 31100*time.Millisecond)
	b.store("two", nil)
	b.pass(2 * time.Second)
	b.want(t, "two", 0)
}

func TestAFailingStoreIsNotAskedByEveryReader(t *testing.T) {
	b := newBench()
	b.want(t, "one", 0)
	b.store("", errors.New("down"))
	b.pass(2 * time.Second)
	for range 100 {
		b.want(t, "one", 2*time.Second)
	}
	if n := b.asked.Load(); n != 2 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestWithoutAnEarlierAnswerThereIsAnError(t *testing.T) {
	b := newBench()
	down := errors.New("down")
	b.store("", down)
	for range 2 {
		if _, _, err := b.Get(t.Context()); !errors.Is(err, ErrNothing) || !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
	}
}

func TestASlowStoreHoldsUpNobodyForLong(t *testing.T) {
	b := newBench()
	b.want(t, "one", 0)
	release := make(chan struct{})
	defer close(release)
	b.Fetch = func(ctx context.Context) (string, error) {
		<-release
		return "", ctx.Err()
	}
	b.Wait = 10 * time.Millisecond
	b.pass(3 * time.Second)
	b.want(t, "one", 3*time.Second) // waited in vain
	b.pass(time.Second)
	b.Wait = 0                      // others do not wait any more: with a Wait of 0 they would get nothing else
	b.want(t, "one", 4*time.Second) // and get the old answer
}

func TestWhatHasChangedIsAskedFor(t *testing.T) {
	b := newBench()
	b.want(t, "one", 0)
	b.store("two", nil)
	b.want(t, "one", 0)
	b.Expire()
	b.want(t, "two", 0)
}

func TestManyReadersAskOnce(t *testing.T) {
	b := newBench()
	fetch := b.Fetch
	gate := make(chan struct{})
	b.Fetch = func(ctx context.Context) (string, error) { <-gate; return fetch(ctx) }
	var readers sync.WaitGroup
	for range 50 {
		readers.Go(func() { b.want(t, "one", 0) })
	}
	close(gate)
	readers.Wait()
	if n := b.asked.Load(); n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
}

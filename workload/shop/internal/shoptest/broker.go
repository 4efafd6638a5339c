package shoptest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"zdl/workload/shop/internal/queue"
)

// Broker is a queue.Publisher and a queue.Consumer. As a real one it may deliver
// a message twice; as few real ones it does so with every message.
type Broker struct {
	Switch
	Published atomic.Int64

	mu     sync.Mutex
	queues map[string][]queue.Message
	came   chan struct{} // closed when a message comes
}

// NewBroker has no messages.
func NewBroker() *Broker {
	return &Broker{queues: map[string][]queue.Message{}, came: make(chan struct{})}
}

// Publish implements queue.Publisher.
func (b *Broker) Publish(ctx context.Context, exchange, key string, m queue.Message) error {
	if err := b.check(ctx); err != nil {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	if exchange == queue.Orders && key == queue.Accepted {
		key = queue.Dispatch
	}
	b.Published.Add(1)
	b.put(key, m)
	return nil
}

func (b *Broker) put(name string, m queue.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queues[name] = append(b.queues[name], m)
	close(b.came)
	b.came = make(chan struct{})
}

// Waiting is how many messages are in a queue.
func (b *Broker) Waiting(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queues[name])
}

// Consume implements queue.Consumer.
func (b *Broker) Consume(ctx context.Context, name string, handle queue.Handle) {
	for ctx.Err() == nil {
		b.mu.Lock()
		came, waiting := b.came, b.queues[name]
		if len(waiting) > 0 && b.check(ctx) == nil {
			b.queues[name] = waiting[1:]
			b.mu.Unlock()
			err := handle(ctx, waiting[0])
			if err == nil {
				err = handle(ctx, waiting[0]) // delivered twice
			}
			if errors.Is(err, queue.ErrPoison) {
				b.put(queue.Dead, waiting[0])
			} else if err != nil {
				b.put(name, waiting[0])
				pause(ctx, 5*time.Millisecond)
			}
			continue
		}
		b.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-came:
		case <-time.After(5 * time.Millisecond): // it may be on again
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Package queue hands messages from service to service through RabbitMQ, so that
// what one has promised is done even if the other is away. A message is promised
// only when the broker has confirmed that it has it; it is gone only when whoever
// took it says so; it may come twice.
package queue

import (
	"context"
	"errors"
	"time"
)

// Names of what the shop declares at the broker.
const (
	Orders   = "orders"         // topic exchange: what happened to orders
	Accepted = "order.accepted" // its routing key for orders in the ledger
	Dispatch = "dispatch"       // queue bound to it: parcels to send
	Checkout = "checkout"       // queue: checkouts that payment could not take
	Dead     = "dead"           // queue: messages that nobody can make sense of
)

// ErrUnavailable wraps what a broker says that did not confirm. The message may
// have arrived nevertheless.
var ErrUnavailable = errors.New("the queue does not answer")

// ErrPoison is returned by a Handle for a message that can never be handled; it
// goes to the queue Dead.
var ErrPoison = errors.New("nobody can make sense of this message")

// Message is what is handed on. ID is the same whenever the same thing is said again.
type Message struct {
	ID     string
	Body   []byte
	Header map[string]string // the trace
}

// Publisher sends messages.
type Publisher interface {
	// Publish returns nil only when the broker has written the message down.
	Publish(ctx context.Context, exchange, key string, m Message) error
}

// Handle takes a message. Any error other than ErrPoison means: give it to me
// again later.
type Handle func(ctx context.Context, m Message) error

// Consumer takes messages from one queue, until ctx ends.
type Consumer interface {
	Consume(ctx context.Context, queue string, handle Handle)
}

// Backoff is how long a consumer waits after failures in a row: from a tenth of a
// second, doubled up to three seconds.
func Backoff(failures int) time.Duration {
	const first, most = 100 * time.Millisecond, 3 * time.Second
	if failures > 5 {
		return most
	}
	return min(most, first<<max(0, failures-1))
}

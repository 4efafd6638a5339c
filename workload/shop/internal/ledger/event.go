// Package ledger is the shop's memory: events that are appended and never
// changed, and what follows from them. Everything else the shop says about orders,
// stock and totals is a fold of the ledger and can be made again.
package ledger

import (
	"context"
	"errors"
	"time"

	"zdl/workload/shop/internal/order"
)

// Kind says what happened.
type Kind string

const (
	Stocked    Kind = "stocked"    // goods arrived: Lines
	Accepted   Kind = "accepted"   // an order was taken: Checkout and Bill
	Refused    Kind = "refused"    // a queued checkout could not become an order: Reason
	Dispatched Kind = "dispatched" // the parcel left: Tracking
)

// Event is one entry. Key is unique: appending the same key again changes nothing.
type Event struct {
	Seq      int64     `json:"seq"` // grows; gaps are normal
	At       time.Time `json:"at"`  // the database's clock
	Kind     Kind      `json:"kind"`
	Key      string    `json:"key"`
	Order    string    `json:"order,omitempty"`
	Customer string    `json:"customer,omitempty"`
	Body     Body      `json:"body"`
}

// Body is what an event says beyond its kind.
type Body struct {
	Lines    []order.Line    `json:"lines,omitempty"`
	Checkout *order.Checkout `json:"checkout,omitempty"`
	Bill     *order.Bill     `json:"bill,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Tracking string          `json:"tracking,omitempty"`
	Queued   bool            `json:"queued,omitempty"` // the checkout came through the queue
}

var (
	// ErrUnavailable wraps what a store says that does not answer now. Whether the
	// event was appended is unknown then; appending it again with its key is safe.
	ErrUnavailable = errors.New("the ledger does not answer")
	// ErrUnknown is returned for an order of which the ledger has no event.
	ErrUnknown = errors.New("the ledger knows no such order")
)

// Store keeps events. Append returns only when the event is durable.
type Store interface {
	// Append adds an event, or returns the one that has its key already and false.
	Append(ctx context.Context, e Event) (stored Event, added bool, err error)
	// Order returns the events of one order, oldest first; ErrUnknown if none.
	Order(ctx context.Context, id string) ([]Event, error)
	// List returns up to limit events after seq, in order.
	List(ctx context.Context, after int64, limit int) ([]Event, error)
	// Stock returns the processed stock of products; those never stocked are missing.
	Stock(ctx context.Context, products []string) (map[string]int64, error)
	// Relay hands accepted orders that were not handed on yet to publish, several at
	// a time, and forgets those for which it returned nil. It returns how many these
	// were, and one of the errors.
	Relay(ctx context.Context, publish func(context.Context, Event) error) (int, error)
	// Process applies events that were not applied yet to the processed data.
	Process(ctx context.Context) (int, error)
}

// Key of the events that exist once per order.
func keyOf(kind Kind, id string) string { return string(kind) + "/" + id }

// OutcomeKey is the key of what came of a checkout: it was accepted or refused,
// once and for all.
func OutcomeKey(id string) string { return keyOf("outcome", id) }

// DispatchedKey is the key of the event that a parcel left.
func DispatchedKey(id string) string { return keyOf(Dispatched, id) }

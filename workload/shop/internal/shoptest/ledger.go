package shoptest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/order"
)

// Ledger is a ledger.Store that stocks ten of each product.
type Ledger struct {
	Switch
	// Mute makes the next Append write, fail, and switch the store off, as when a
	// primary loses its power between a commit and its answer.
	Mute atomic.Bool

	mu      sync.Mutex
	events  []ledger.Event
	pending []int64
	outbox  []int64
	state   ledger.State
}

// Stocked is how many of each product there are at first.
const Stocked = 10

// NewLedger makes a store.
func NewLedger() *Ledger {
	s := &Ledger{}
	e := ledger.Event{Kind: ledger.Stocked, Key: "stocked/opening"}
	for _, p := range goods.Seed() {
		e.Body.Lines = append(e.Body.Lines, order.Line{Product: p.ID, Quantity: Stocked})
	}
	_, _, _ = s.Append(context.Background(), e)
	_, _ = s.Process(context.Background())
	return s
}

func (s *Ledger) check(ctx context.Context) error {
	if err := s.Switch.check(ctx); err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrUnavailable, err)
	}
	return nil
}

// Append implements ledger.Store.
func (s *Ledger) Append(ctx context.Context, e ledger.Event) (ledger.Event, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return ledger.Event{}, false, err
	}
	for _, old := range s.events {
		if old.Key == e.Key {
			return old, false, nil
		}
	}
	body, err := json.Marshal(e.Body) // as a database keeps it: a copy
	if err != nil {
		return ledger.Event{}, false, err
	}
	e.Body = ledger.Body{}
	if err := json.Unmarshal(body, &e.Body); err != nil {
		return ledger.Event{}, false, err
	}
	e.Seq, e.At = int64(len(s.events)+1), time.Now().UTC()
	s.events = append(s.events, e)
	s.pending = append(s.pending, e.Seq)
	if e.Kind == ledger.Accepted {
		s.outbox = append(s.outbox, e.Seq)
	}
	if s.Mute.CompareAndSwap(true, false) {
		s.Off()
		return ledger.Event{}, false, fmt.Errorf("%w: the answer was lost", ledger.ErrUnavailable)
	}
	return e, true, nil
}

// Order implements ledger.Store.
func (s *Ledger) Order(ctx context.Context, id string) (found []ledger.Event, err error) {
	for _, e := range s.Events() {
		if e.Order == id {
			found = append(found, e)
		}
	}
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ledger.ErrUnknown
	}
	return found, nil
}

// Events are all events.
func (s *Ledger) Events() []ledger.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// State is the processed data.
func (s *Ledger) State() ledger.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ledger.State{Stock: maps.Clone(s.state.Stock), Days: maps.Clone(s.state.Days), Parcels: maps.Clone(s.state.Parcels)}
}

// List implements ledger.Store.
func (s *Ledger) List(ctx context.Context, after int64, limit int) ([]ledger.Event, error) {
	all := s.Events()
	from := min(int(after), len(all))
	return all[from:min(from+limit, len(all))], s.check(ctx)
}

// Stock implements ledger.Store.
func (s *Ledger) Stock(ctx context.Context, products []string) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stock := map[string]int64{}
	for _, p := range products {
		if n, known := s.state.Stock[p]; known {
			stock[p] = n
		}
	}
	return stock, s.check(ctx)
}

// Relay implements ledger.Store.
func (s *Ledger) Relay(ctx context.Context, publish func(context.Context, ledger.Event) error) (n int, err error) {
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	taken := s.outbox
	s.outbox = nil
	s.mu.Unlock()
	all := s.Events()
	for i, seq := range taken {
		if err := publish(ctx, all[seq-1]); err != nil {
			s.mu.Lock()
			s.outbox = append(taken[i:], s.outbox...)
			s.mu.Unlock()
			return i, err
		}
	}
	return len(taken), nil
}

// Process implements ledger.Store.
func (s *Ledger) Process(ctx context.Context) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	n := len(s.pending)
	for _, seq := range s.pending {
		s.state.Apply(s.events[seq-1])
	}
	s.pending = nil
	return n, nil
}

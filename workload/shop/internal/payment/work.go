package payment

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/queue"
	"zdl/workload/shop/internal/serve"
)

// Queued takes a checkout from the queue. Whoever put it there has promised an
// order with its number, so there is an outcome in every case: the order, or the
// reason why there is none. It returns an error as long as that is not written down.
func (s *Service) Queued(ctx context.Context, m queue.Message) error {
	var c order.Checkout
	if err := json.Unmarshal(m.Body, &c); err != nil {
		return fmt.Errorf("%w: %w", queue.ErrPoison, err)
	}
	if !order.ValidKey(c.Key) || c.Order != order.ID(c.Customer, c.Key) {
		return fmt.Errorf("%w: a checkout without a proper number", queue.ErrPoison)
	}
	_, _, err := s.Accept(ctx, c, true)
	if err == nil {
		return nil
	}
	if serve.AsRefusal(err).Code >= 500 {
		return err
	}
	_, _, err = s.ledger.Append(ctx, ledger.Event{Kind: ledger.Refused, Key: ledger.OutcomeKey(c.Order), Order: c.Order, Customer: c.Customer,
		Body: ledger.Body{Checkout: &c, Reason: serve.AsRefusal(err).Sentence, Queued: true}})
	if err == nil {
		s.wake()
	}
	return err
}

// Relay tells dispatch, through the queue, of every order in the ledger.
func (s *Service) Relay(to queue.Publisher) func(context.Context) {
	return s.turn(func(ctx context.Context) (int, error) {
		return s.ledger.Relay(ctx, func(ctx context.Context, e ledger.Event) error {
			body, err := json.Marshal(Parcel{Order: e.Order})
			if err != nil {
				return err
			}
			return to.Publish(ctx, queue.Orders, queue.Accepted, queue.Message{ID: e.Key, Body: body})
		})
	})
}

// Process applies what was appended, by this replica or another, to the processed data.
func (s *Service) Process() func(context.Context) { return s.turn(s.ledger.Process) }

func (s *Service) turn(do func(context.Context) (int, error)) func(context.Context) {
	woken := make(chan struct{}, 1)
	s.added = append(s.added, woken)
	return func(ctx context.Context) { Turn(ctx, woken, do) }
}

// Parcel is what dispatch is told: the rest is in the ledger.
type Parcel struct {
	Order string `json:"order"`
}

// Turn does something when woken, and every two seconds in case that somebody else
// left something to do: until do returns 0. It ends with ctx. Nothing wakes it
// after a failure, or everybody who comes would make it fail again.
func Turn(ctx context.Context, woken <-chan struct{}, do func(context.Context) (int, error)) {
	const rest = 2 * time.Second
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		wake := woken
		if failures > 0 {
			wake = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		n, err := 1, error(nil)
		for n > 0 && err == nil && ctx.Err() == nil {
			n, err = do(ctx)
		}
		if failures++; err == nil {
			failures = 0
		}
		timer.Reset(max(rest, queue.Backoff(failures)))
	}
}

func (s *Service) wake() {
	for _, woken := range s.added {
		select {
		case woken <- struct{}{}:
		default:
		}
	}
}

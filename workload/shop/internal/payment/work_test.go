package payment_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/payment"
	"zdl/workload/shop/internal/queue"
	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/shipping"
	"zdl/workload/shop/internal/shoptest"
	"zdl/workload/shop/internal/telemetry"
)

// till is payment with a ledger in memory, a mug that costs 1240 and shipping for 390.
func till(t testing.TB) (*payment.Service, *shoptest.Ledger) {
	t.Helper()
	tel, err := telemetry.New(context.Background(), telemetry.Identity{Service: "payment"}, io.Discard, slog.LevelError, false)
	if err != nil {
		t.Fatal(err)
	}
	store := shoptest.NewLedger()
	return payment.New(serve.NewRouter(tel), store,
		func(context.Context, []string) (map[string]goods.Product, error) {
			return map[string]goods.Product{"mug-quorum": {ID: "mug-quorum", Cents: 1240}}, nil
		},
		func(context.Context, string, int) ([]shipping.Quote, error) {
			return []shipping.Quote{{Method: "standard", Cents: 390}}, nil
		}), store
}

func checkout(key string, change func(*order.Checkout)) order.Checkout {
	c := order.Checkout{Key: key, Customer: "me", Method: "standard", Lines: []order.Line{{Product: "mug-quorum", Quantity: 2}},
		Address: order.Address{Name: "Ada", Street: "1 Row", City: "London", Country: "GB"}}
	c.Order = order.ID(c.Customer, c.Key)
	if change != nil {
		change(&c)
	}
	return c
}

func message(t testing.TB, c order.Checkout) queue.Message {
	t.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return queue.Message{ID: c.Order, Body: body}
}

func TestACheckoutIsOneOrderHoweverItComes(t *testing.T) {
	s, store := till(t)
	c := checkout("key-00000001", nil)
	for _, way := range []func() error{
		func() error { _, _, err := s.Accept(t.Context(), c, false); return err },
		func() error { return s.Queued(t.Context(), message(t, c)) },
		func() error { return s.Queued(t.Context(), message(t, c)) },
		func() error { _, again, err := s.Accept(t.Context(), c, false); return errors.Join(err, unless(again)) },
	} {
		if err := way(); err != nil {
			t.Error(err)
		}
	}
	if n := len(store.Events()); n != 2 { // the opening and the order
		t.Errorf("%d events: %+v", n, store.Events())
	}
}

func unless(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("the repetition was not recognised")
}

func TestAnOrderKeepsThePriceAtWhichItWasTaken(t *testing.T) {
	s, _ := till(t)
	first, _, err := s.Accept(t.Context(), checkout("key-00000001", nil), false)
	if err != nil || first.Bill.Total != 2*1240+390 {
		t.Fatalf("%+v, %v", first, err)
	}
	again, replayed, err := s.Accept(t.Context(), checkout("key-00000001", nil), false)
	if err != nil || !replayed || again.Bill.Total != first.Bill.Total || !again.At.Equal(first.At) {
		t.Errorf("%+v, %v, %v", again, replayed, err)
	}
}

func TestAQueuedCheckoutHasAnOutcomeOrStaysInTheQueue(t *testing.T) {
	for name, c := range map[string]struct {
		checkout order.Checkout
		down     bool
		want     ledger.Kind
		poison   bool
		stays    bool
	}{
		"a good one":                {checkout: checkout("key-00000001", nil), want: ledger.Accepted},
		"an unknown product":        {checkout: checkout("key-00000002", func(c *order.Checkout) { c.Lines[0].Product = "mug-golden" }), want: ledger.Refused},
		"another price":             {checkout: checkout("key-00000003", func(c *order.Checkout) { c.Expected = 1 }), want: ledger.Refused},
		"more than there is":        {checkout: checkout("key-00000004", func(c *order.Checkout) { c.Lines[0].Quantity = 99 }), want: ledger.Refused},
		"a ledger that is down":     {checkout: checkout("key-00000005", nil), down: true, stays: true},
		"a number of its own":       {checkout: checkout("key-00000006", func(c *order.Checkout) { c.Order = "AAAAAAAAAAAAAAAA" }), poison: true, stays: true},
		"no idempotency key at all": {checkout: checkout("", nil), poison: true, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			s, store := till(t)
			if c.down {
				store.Off()
			}
			err := s.Queued(t.Context(), message(t, c.checkout))
			if (err != nil) != c.stays || errors.Is(err, queue.ErrPoison) != c.poison {
				t.Errorf("got %v", err)
			}
			events := store.Events()[1:]
			if c.want == "" && len(events) > 0 || c.want != "" && (len(events) != 1 || events[0].Kind != c.want || !events[0].Body.Queued || events[0].Order != c.checkout.Order) {
				t.Errorf("the ledger has %+v", events)
			}
		})
	}
}

func TestWhatIsToDoIsDoneWhenWokenAndNotInALoopWhenItFails(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	woken := make(chan struct{}, 1)
	var left, turns atomic.Int64
	var failing atomic.Bool
	left.Store(3)
	done := make(chan struct{})
	go func() {
		defer close(done)
		payment.Turn(ctx, woken, func(context.Context) (int, error) {
			turns.Add(1)
			if failing.Load() {
				return 0, errors.New("down")
			}
			if left.Load() == 0 {
				return 0, nil
			}
			return int(left.Swap(left.Load() - 1)), nil
		})
	}()
	shoptest.Wait(t, func(context.Context) error { return unless(left.Load() == 0) })
	left.Store(1)
	woken <- struct{}{}
	shoptest.Wait(t, func(context.Context) error { return unless(left.Load() == 0 && len(woken) == 0) })
	failing.Store(true)
	before := turns.Load()
	for deadline := time.Now().Add(300 * time.Millisecond); time.Now().Before(deadline); {
		select {
		case woken <- struct{}{}:
		default:
			time.Sleep(time.Millisecond)
		}
	}
	if n := turns.Load() - before; n > 4 {
		t.Errorf("it failed %d times in 0.3 s", n)
	}
	stop()
	<-done
}

// FuzzQueued: whatever is in the queue, it is an order, a refusal, or dead.
func FuzzQueued(f *testing.F) {
	f.Add(message(f, checkout("key-00000001", nil)).Body)
	f.Add([]byte(`{"order":"AAAAAAAAAAAAAAAA","key":"key-00000001"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, store := till(t)
		err := s.Queued(t.Context(), queue.Message{Body: body})
		if outcome := len(store.Events()) - 1; (err == nil) != (outcome == 1) || err != nil && !errors.Is(err, queue.ErrPoison) {
			t.Errorf("%q: %v, and %d events", body, err, outcome)
		}
	})
}

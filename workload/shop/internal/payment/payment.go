// Package payment is the service that takes orders. It prices them itself, from
// the catalogue and the shipping tariffs, and writes each into the ledger before
// it says so to anybody.
package payment

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/money"
	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/shipping"
)

// Prices asks the catalogue for products by name. Those that do not exist are
// missing from the answer.
type Prices func(ctx context.Context, products []string) (map[string]goods.Product, error)

// Quotes asks shipping what a parcel costs. It returns a *serve.Refusal for a
// country to which no parcel goes.
type Quotes func(ctx context.Context, country string, grams int) ([]shipping.Quote, error)

// Service answers under /api/payment/.
type Service struct {
	ledger ledger.Store
	prices Prices
	quotes Quotes
	added  []chan struct{} // wake who works on what was appended
}

// New makes the service and adds its routes.
func New(router *serve.Router, store ledger.Store, prices Prices, quotes Quotes) *Service {
	s := &Service{ledger: store, prices: prices, quotes: quotes}
	router.Handle("POST /api/payment/orders", s.take)
	router.Handle("GET /api/payment/orders/{id}", s.show)
	router.Handle("GET /api/payment/ledger", s.list)
	return s
}

// Receipt is what a customer is told about an order.
type Receipt struct {
	Order    string       `json:"order"`
	State    ledger.Stage `json:"state"`
	At       time.Time    `json:"at,omitzero"` // when it came into the ledger
	Bill     *order.Bill  `json:"bill,omitempty"`
	Reason   string       `json:"reason,omitempty"`   // of a refusal
	Tracking string       `json:"tracking,omitempty"` // of the parcel
}

// Wire is a checkout as it comes in: the number of the order follows from the
// customer and the key, which is sent in the header.
type Wire struct {
	Customer string        `json:"customer"`
	Lines    []order.Line  `json:"lines"`
	Address  order.Address `json:"address"`
	Method   string        `json:"method"`
	Expected money.Cents   `json:"expected"` // total that the customer saw; 0: none
}

func (s *Service) take(w http.ResponseWriter, r *http.Request) error {
	c, err := decode(w, r)
	if err != nil {
		return err
	}
	receipt, again, err := s.Accept(r.Context(), c, false)
	if err != nil {
		return err
	}
	if again {
		w.Header().Set("Idempotent-Replay", "true")
	}
	w.Header().Set("Location", "/api/payment/orders/"+receipt.Order)
	return serve.JSON(w, http.StatusCreated, receipt)
}

// Accept takes a checkout, once: again tells that the same was taken before.
// When it returns without an error, the order is durable. Problems and refusals
// below 500 lie in the checkout; others in what payment depends on. queued tells
// that the checkout came through the queue.
func (s *Service) Accept(ctx context.Context, c order.Checkout, queued bool) (receipt Receipt, again bool, err error) {
	if err := c.Check(); err != nil {
		return Receipt{}, false, err
	}
	// An order that was taken at yesterday's prices is not taken again at today's.
	switch events, err := s.ledger.Order(ctx, c.Order); {
	case err == nil:
		return s.before(events[0], c)
	case !errors.Is(err, ledger.ErrUnknown):
		return Receipt{}, false, serve.Unavailable(err, "Orders cannot be taken now.")
	}
	bill, err := s.bill(ctx, c)
	if err != nil {
		return Receipt{}, false, err
	}
	e, added, err := s.ledger.Append(ctx, ledger.Event{Kind: ledger.Accepted, Key: ledger.OutcomeKey(c.Order), Order: c.Order,
		Customer: c.Customer, Body: ledger.Body{Checkout: &c, Bill: &bill, Queued: queued}})
	if err != nil {
		return Receipt{}, false, serve.Unavailable(err, "Orders cannot be taken now.")
	}
	if !added {
		return s.before(e, c)
	}
	s.wake()
	return receiptOf([]ledger.Event{e}), false, nil
}

// before answers for a checkout whose outcome is in the ledger.
func (s *Service) before(e ledger.Event, c order.Checkout) (Receipt, bool, error) {
	if e.Body.Checkout == nil || !e.Body.Checkout.Same(c) {
		return Receipt{}, false, serve.Refuse(http.StatusConflict, "This idempotency key was used for a different checkout.")
	}
	if e.Kind == ledger.Refused {
		return Receipt{}, true, &serve.Refusal{Code: http.StatusUnprocessableEntity, Sentence: e.Body.Reason}
	}
	return receiptOf([]ledger.Event{e}), true, nil
}

// bill prices a checkout with nothing but the shop's own figures.
func (s *Service) bill(ctx context.Context, c order.Checkout) (order.Bill, error) {
	names := make([]string, len(c.Lines))
	for i, l := range c.Lines {
		names[i] = l.Product
	}
	products, err := s.prices(ctx, names)
	if err != nil {
		return order.Bill{}, serve.Unavailable(err, "Prices cannot be confirmed now.")
	}
	for _, l := range c.Lines {
		if _, known := products[l.Product]; !known {
			return order.Bill{}, order.Problem("There is no product " + l.Product + ".")
		}
	}
	quotes, err := s.quotes(ctx, c.Address.Country, order.Grams(c.Lines, products))
	var refusal *serve.Refusal
	if errors.As(err, &refusal) {
		return order.Bill{}, refusal
	}
	if err != nil {
		return order.Bill{}, serve.Unavailable(err, "Shipping cannot be quoted now.")
	}
	for _, q := range quotes {
		if q.Method == c.Method {
			bill, err := c.Price(products, q.Cents)
			if err != nil {
				return order.Bill{}, err
			}
			return bill, s.inStock(ctx, c.Lines, names)
		}
	}
	return order.Bill{}, order.Problem("Parcels to " + c.Address.Country + " do not go by " + c.Method + ".")
}

// inStock refuses what the shop has not got. Orders that are taken at the same
// moment do not see each other here: what they take too much is ordered again
// from the maker, and the stock says so by going below zero.
func (s *Service) inStock(ctx context.Context, lines []order.Line, names []string) error {
	stock, err := s.ledger.Stock(ctx, names)
	if err != nil {
		return serve.Unavailable(err, "Orders cannot be taken now.")
	}
	for _, l := range lines {
		// A product that was never processed was never stocked: a new shop is not empty.
		if units, known := stock[l.Product]; known && units < int64(l.Quantity) {
			return serve.Refuse(http.StatusConflict, "Only %d of %s are left.", max(0, units), l.Product)
		}
	}
	return nil
}

func (s *Service) show(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !order.ValidID(id) {
		return serve.Refuse(http.StatusNotFound, "That is not the number of an order.")
	}
	events, err := s.ledger.Order(r.Context(), id)
	if errors.Is(err, ledger.ErrUnknown) {
		return serve.Refuse(http.StatusNotFound, "The ledger knows no order %s.", id)
	}
	if err != nil {
		return serve.Unavailable(err, "Orders cannot be read now.")
	}
	return serve.JSON(w, http.StatusOK, receiptOf(events))
}

// receiptOf leaves out who ordered and where it goes: the number of an order is
// no password.
func receiptOf(events []ledger.Event) Receipt {
	parcel := ledger.StageOf(events)
	r := Receipt{Order: events[0].Order, State: parcel.Stage, Tracking: parcel.Tracking}
	for _, e := range events {
		if e.Kind == ledger.Accepted || e.Kind == ledger.Refused {
			r.At, r.Bill, r.Reason = e.At, e.Body.Bill, e.Body.Reason
		}
	}
	return r
}

func decode(w http.ResponseWriter, r *http.Request) (order.Checkout, error) {
	var wire Wire
	if err := serve.Decode(w, r, &wire); err != nil {
		return order.Checkout{}, err
	}
	key := r.Header.Get("Idempotency-Key")
	if len(wire.Customer) > 100 {
		return order.Checkout{}, order.Problem("The customer must have at most 100 characters.")
	}
	return wire.Checkout(key)
}

// Checkout is what is meant by what came in.
func (w Wire) Checkout(key string) (order.Checkout, error) {
	c := order.Checkout{Order: order.ID(w.Customer, key), Key: key, Customer: w.Customer, Lines: w.Lines, Address: w.Address, Method: w.Method, Expected: w.Expected}
	return c, c.Check()
}

// whole reads a number from a query.
func whole(r *http.Request, name string, fallback, least, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, serve.Refuse(http.StatusBadRequest, "%s must be a whole number from %d to %d.", name, least, most)
	}
	return n, nil
}

package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"zdl/workload/shop/internal/call"
	"zdl/workload/shop/internal/cart"
	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/money"
	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/payment"
	"zdl/workload/shop/internal/queue"
	"zdl/workload/shop/internal/serve"
)

// How long a customer waits for payment before the order is queued, and for the
// queue before it is not taken at all.
const (
	paymentPatience = 3 * time.Second
	queuePatience   = 2 * time.Second
)

// Commitment is what a client sends to order what is in a cart. It has no place
// for prices or quantities: these are known.
type Commitment struct {
	Cart     string        `json:"cart"`
	Address  order.Address `json:"address"`
	Method   string        `json:"method"`
	Expected money.Cents   `json:"expected"` // total that the customer saw; 0: none
}

// checkout answers 201 with an order that is in the ledger, or 202 with one that
// will be: then payment does not answer, and the broker has confirmed that it
// keeps the checkout until payment does. With the same Idempotency-Key the same
// order is promised, however often that is asked.
func (s *Service) checkout(w http.ResponseWriter, r *http.Request) error {
	var body Commitment
	if err := serve.Decode(w, r, &body); err != nil {
		return err
	}
	receipt, err := s.commit(r.Context(), body, r.Header.Get(call.IdempotencyKey))
	if err != nil {
		return err
	}
	if receipt.State == ledger.StageQueued {
		w.Header().Set("Location", "/api/orders/"+receipt.Order+"?queued=1")
		return serve.JSON(w, http.StatusAccepted, receipt)
	}
	w.Header().Set("Location", "/api/orders/"+receipt.Order)
	return serve.JSON(w, http.StatusCreated, receipt)
}

func (s *Service) commit(ctx context.Context, body Commitment, key string) (payment.Receipt, error) {
	content, err := s.readCart(ctx, body.Cart)
	if err != nil {
		return payment.Receipt{}, err
	}
	// The order belongs to the cart, not to an account: whether a session can be
	// looked up must not make two orders out of one.
	wire := payment.Wire{Customer: body.Cart, Address: body.Address, Method: body.Method, Expected: body.Expected}
	for _, l := range content.Lines {
		if content.Priced && l.Name == "" {
			return payment.Receipt{}, order.Problem("There is no product " + l.Product + ".")
		}
		wire.Lines = append(wire.Lines, l.Line)
	}
	c, err := wire.Checkout(key)
	if err != nil {
		return payment.Receipt{}, err
	}
	receipt, err := s.pay(ctx, wire, key)
	if errors.Is(err, call.ErrUnavailable) {
		receipt, err = s.enqueue(ctx, c, err)
	}
	if err != nil {
		return payment.Receipt{}, err
	}
	// Not the customer's problem if it fails: the cart is forgotten later then.
	soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, _ = s.peers.Cart.Do(soon, call.Request{Method: http.MethodPut, Path: "/api/cart/carts/" + body.Cart + "/ordered"})
	return receipt, nil
}

func (s *Service) readCart(ctx context.Context, id string) (c cart.Cart, err error) {
	if !cart.ValidID(id) {
		return c, serve.Refuse(http.StatusUnprocessableEntity, "That is not the number of a cart.")
	}
	_, err = s.peers.Cart.Get(ctx, "/api/cart/carts/"+id, &c)
	if errors.Is(err, call.ErrUnavailable) {
		return c, serve.Unavailable(err, "The cart cannot be read now.")
	}
	return c, err
}

func (s *Service) pay(ctx context.Context, wire payment.Wire, key string) (receipt payment.Receipt, err error) {
	ctx, cancel := context.WithTimeout(ctx, paymentPatience)
	defer cancel()
	q := call.JSON(http.MethodPost, "/api/payment/orders", wire)
	q.Header.Set(call.IdempotencyKey, key)
	_, err = s.peers.Payment.Exchange(ctx, q, &receipt)
	return receipt, err
}

// enqueue promises an order although payment did not answer. Whether payment took
// it without saying so does not matter: it is the same order.
func (s *Service) enqueue(ctx context.Context, c order.Checkout, why error) (payment.Receipt, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return payment.Receipt{}, err
	}
	// Even if the customer has gone: who comes back with the same key finds the order.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queuePatience)
	defer cancel()
	m := queue.Message{ID: c.Order, Body: body, Header: map[string]string{}}
	s.telemetry.Inject(ctx, propagation.MapCarrier(m.Header))
	if err := s.queue.Publish(ctx, "", queue.Checkout, m); err != nil {
		return payment.Receipt{}, serve.Unavailable(errors.Join(why, err), "The order could not be confirmed; sending it again with the same key is safe.")
	}
	s.telemetry.Log.WarnContext(ctx, "checkout queued", "order", c.Order, "error", why.Error())
	return payment.Receipt{Order: c.Order, State: ledger.StageQueued}, nil
}

// order answers how far an order has come. With ?queued=1, of a customer who was
// promised one with 202, an order that is not in the ledger is one that waits.
func (s *Service) order(w http.ResponseWriter, r *http.Request) error {
	receipt, err := s.readOrder(r)
	if err != nil {
		return err
	}
	return serve.JSON(w, http.StatusOK, receipt)
}

func (s *Service) readOrder(r *http.Request) (receipt payment.Receipt, err error) {
	id, promised := r.PathValue("id"), r.URL.Query().Get("queued") == "1"
	if !order.ValidID(id) {
		return receipt, serve.Refuse(http.StatusNotFound, "That is not the number of an order.")
	}
	_, err = s.peers.Payment.Get(r.Context(), "/api/payment/orders/"+id, &receipt)
	var refusal *serve.Refusal
	unknown := errors.As(err, &refusal) && refusal.Code == http.StatusNotFound
	switch {
	case promised && (unknown || errors.Is(err, call.ErrUnavailable)):
		return payment.Receipt{Order: id, State: ledger.StageQueued}, nil
	case errors.Is(err, call.ErrUnavailable):
		return receipt, serve.Unavailable(err, "Orders cannot be read now.")
	}
	return receipt, err
}

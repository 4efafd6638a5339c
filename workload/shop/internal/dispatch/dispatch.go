// Package dispatch is the service that sends parcels: it takes accepted orders
// from the queue and writes into the ledger that they have left.
package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/payment"
	"zdl/workload/shop/internal/queue"
	"zdl/workload/shop/internal/serve"
)

// Service answers under /api/dispatch/ and works on the queue.
type Service struct{ ledger ledger.Store }

// State is the shipping state of one order.
type State struct {
	Order    string       `json:"order"`
	State    ledger.Stage `json:"state"`
	Tracking string       `json:"tracking,omitempty"`
}

// New makes the service and adds its routes.
func New(router *serve.Router, store ledger.Store) *Service {
	s := &Service{store}
	router.Handle("GET /api/dispatch/orders/{id}", s.show)
	return s
}

// Send takes a message of an accepted order. The same order may come twice; its
// parcel leaves once.
func (s *Service) Send(ctx context.Context, m queue.Message) error {
	var parcel payment.Parcel
	if err := json.Unmarshal(m.Body, &parcel); err != nil || !order.ValidID(parcel.Order) {
		return fmt.Errorf("%w: not the number of an order", queue.ErrPoison)
	}
	events, err := s.ledger.Order(ctx, parcel.Order)
	if errors.Is(err, ledger.ErrUnknown) {
		return fmt.Errorf("%w: the ledger knows no order %s", queue.ErrPoison, parcel.Order)
	}
	if err != nil {
		return err
	}
	switch stage := ledger.StageOf(events).Stage; stage {
	case ledger.StageDispatched:
		return nil
	case ledger.StageAccepted:
	default:
		return fmt.Errorf("%w: the order %s is %s", queue.ErrPoison, parcel.Order, stage)
	}
	_, _, err = s.ledger.Append(ctx, ledger.Event{Kind: ledger.Dispatched, Key: ledger.DispatchedKey(parcel.Order), Order: parcel.Order,
		Customer: events[0].Customer, Body: ledger.Body{Tracking: Tracking(parcel.Order)}})
	return err
}

// Tracking is the number under which a parcel travels. It follows from the order,
// so that it is the same however often the order is sent.
func Tracking(id string) string {
	return "ZD-" + id[:4] + "-" + id[4:8] + "-" + id[8:12] + "-" + id[12:]
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
		return serve.Unavailable(err, "Shipping states cannot be read now.")
	}
	p := ledger.StageOf(events)
	return serve.JSON(w, http.StatusOK, State{Order: id, State: p.Stage, Tracking: p.Tracking})
}

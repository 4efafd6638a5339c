package main

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"

	"zdl/workload/shop/internal/call"
	"zdl/workload/shop/internal/cart"
	"zdl/workload/shop/internal/catalogue"
	"zdl/workload/shop/internal/dispatch"
	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/payment"
	"zdl/workload/shop/internal/queue"
	"zdl/workload/shop/internal/ratings"
	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/shipping"
	"zdl/workload/shop/internal/user"
	"zdl/workload/shop/internal/web"
)

// Each function makes one service of a store and of the addresses of the others;
// what kind of store it is it does not know.

// brief is how patient a service is with another while somebody waits for it.
var brief = call.Policy{Timeout: 900 * time.Millisecond, Retries: 1, Pause: 20 * time.Millisecond}

// address gives the address of a service by its name.
type address func(service string) string

// client makes clients that share connections.
func clients(s *serve.Service, at address) func(peer string, p call.Policy) *call.Client {
	transport, gauges := call.NewTransport(), call.NewGauges(s.Telemetry.Registry)
	s.Close = append(s.Close, transport.CloseIdleConnections)
	return func(peer string, p call.Policy) *call.Client {
		return call.New(s.Telemetry, gauges, transport, peer, at(peer), p)
	}
}

func addCatalogue(s *serve.Service, store catalogue.Store) { catalogue.New(s.Router, store) }

func addCart(s *serve.Service, store cart.Store, at address) {
	from := clients(s, at)("catalogue", brief)
	cart.New(s.Router, store, func(ctx context.Context) ([]goods.Product, error) {
		var list catalogue.List
		_, err := from.Get(ctx, "/api/catalogue/products", &list)
		return list.Products, err
	})
}

func addUser(s *serve.Service, accounts user.Accounts, sessions user.Sessions, cost int) {
	user.New(s.Router, accounts, sessions, cost)
}

func addShipping(s *serve.Service, store shipping.Store) { shipping.New(s.Router, store) }

func addRatings(s *serve.Service, store ratings.Store, at address) {
	from := clients(s, at)("user", brief)
	ratings.New(s.Router, store, func(ctx context.Context, authorization string) (string, error) {
		var who user.Session
		_, err := from.Exchange(ctx, call.Request{Method: http.MethodGet, Path: "/api/user/me", Header: http.Header{"Authorization": {authorization}}}, &who)
		return who.Email, err
	})
}

func addPayment(s *serve.Service, store ledger.Store, to queue.Publisher, from queue.Consumer, at address) {
	peer := clients(s, at)
	p := payment.New(s.Router, store, payment.PricesOf(peer("catalogue", brief)), payment.QuotesOf(peer("shipping", brief)))
	s.Work = append(s.Work, p.Process(), p.Relay(to), consume(s, from, queue.Checkout, p.Queued), consume(s, from, queue.Checkout, p.Queued))
}

// parcelsAtOnce is how many orders one replica of dispatch works on.
const parcelsAtOnce = 8

func addDispatch(s *serve.Service, store ledger.Store, from queue.Consumer) {
	d := dispatch.New(s.Router, store)
	for range parcelsAtOnce {
		s.Work = append(s.Work, consume(s, from, queue.Dispatch, d.Send))
	}
}

func addWeb(s *serve.Service, to queue.Publisher, at address) {
	make := clients(s, at)
	peer := func(name string) *call.Client { return make(name, web.Policies[name]) }
	web.New(s.Router, s.Telemetry, web.Peers{Catalogue: peer("catalogue"), Cart: peer("cart"), User: peer("user"),
		Shipping: peer("shipping"), Ratings: peer("ratings"), Payment: peer("payment")}, to)
}

// consume handles the messages of a queue, each as a part of the trace of the
// request that it came from.
func consume(s *serve.Service, from queue.Consumer, name string, handle queue.Handle) func(context.Context) {
	return func(ctx context.Context) {
		from.Consume(ctx, name, func(ctx context.Context, m queue.Message) error {
			ctx, span := s.Telemetry.Start(ctx, "take "+name, propagation.MapCarrier(m.Header))
			defer span.End()
			err := handle(ctx, m)
			if err != nil {
				span.SetStatus(codes.Error, err.Error())
				s.Telemetry.Log.DebugContext(ctx, "message not handled yet", "queue", name, "id", m.ID, "error", err.Error())
			}
			return err
		})
	}
}

// Package web is the service in front: the pages that people click through, the
// gateway to the other services, and the checkout, which goes on taking orders
// while payment is away.
package web

import (
	"net/http"
	"time"

	"zdl/workload/shop/internal/call"
	"zdl/workload/shop/internal/queue"
	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/telemetry"
)

// Peers are clients of the other services.
type Peers struct {
	Catalogue, Cart, User, Shipping, Ratings, Payment *call.Client
}

// Policies say how patient web is with each service. What people only look at has
// to come soon or may be missing; hashing a password takes a while; a checkout has
// another way to go.
var Policies = map[string]call.Policy{
	"catalogue": {Timeout: 900 * time.Millisecond, Retries: 2, Pause: 20 * time.Millisecond},
	"ratings":   {Timeout: 700 * time.Millisecond, Retries: 1, Pause: 20 * time.Millisecond},
	"cart":      {Timeout: 1500 * time.Millisecond, Retries: 2, Pause: 30 * time.Millisecond},
	"user":      {Timeout: 4 * time.Second, Retries: 1, Pause: 50 * time.Millisecond},
	"shipping":  {Timeout: 1500 * time.Millisecond, Retries: 2, Pause: 30 * time.Millisecond},
	"payment":   {Timeout: 2500 * time.Millisecond, Retries: 1, Pause: 50 * time.Millisecond},
}

// Service answers everything that does not go to a service directly.
type Service struct {
	peers     Peers
	queue     queue.Publisher
	telemetry *telemetry.Telemetry
	router    *serve.Router
}

// New makes the service and adds its routes.
func New(router *serve.Router, t *telemetry.Telemetry, peers Peers, q queue.Publisher) *Service {
	s := &Service{peers: peers, queue: q, telemetry: t, router: router}
	s.gateway("catalogue", peers.Catalogue)
	s.gateway("cart", peers.Cart)
	s.gateway("user", peers.User)
	s.gateway("shipping", peers.Shipping)
	s.gateway("ratings", peers.Ratings)
	s.gateway("payment", peers.Payment)
	router.Handle("POST /api/checkout", s.checkout)
	router.Handle("GET /api/orders/{id}", s.order)

	s.page("GET /{$}", s.home)
	s.page("GET /category/{id}", s.category)
	s.page("GET /search", s.search)
	s.page("GET /product/{id}", s.product)
	s.page("POST /product/{id}/rate", s.rate)
	s.page("GET /cart", s.showCart)
	s.page("POST /cart/add", s.addToCart)
	s.page("POST /cart/set", s.setInCart)
	s.page("GET /checkout", s.showCheckout)
	s.page("POST /checkout", s.placeOrder)
	s.page("GET /orders/{id}", s.showOrder)
	s.page("GET /account", s.account)
	s.page("POST /register", s.register)
	s.page("POST /login", s.login)
	s.page("POST /logout", s.logout)
	s.page("GET /{page}", func(http.ResponseWriter, *http.Request) error {
		return serve.Refuse(http.StatusNotFound, "There is no such page.")
	})
	s.assets()
	return s
}

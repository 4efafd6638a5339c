// Package cart is the service that keeps what customers mean to buy. A cart holds
// products and quantities, never prices: these are the catalogue's, and are shown
// as they are now.
package cart

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/money"
	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/stale"
)

// ErrFull is returned by Store.Set for one product too many.
var ErrFull = errors.New("the cart is full")

// Store keeps carts for a week after their last change. A cart that does not
// exist is an empty one.
type Store interface {
	Lines(ctx context.Context, cart string) (map[string]int, error)
	// Set changes the quantity of a product; 0 takes it out. A cart never has
	// more than most products: ErrFull.
	Set(ctx context.Context, cart, product string, quantity, most int) error
	Clear(ctx context.Context, cart string) error
	// Ordered forgets a cart soon: an hour is enough for whoever asks again
	// because an answer was lost.
	Ordered(ctx context.Context, cart string) error
}

// Products asks the catalogue for everything it has.
type Products func(ctx context.Context) ([]goods.Product, error)

// Line is a line of a cart with today's price.
type Line struct {
	order.Line
	Name  string      `json:"name,omitempty"`
	Each  money.Cents `json:"each"`
	Cents money.Cents `json:"cents"`
}

// Cart is what a cart holds.
type Cart struct {
	ID     string      `json:"id"`
	Lines  []Line      `json:"lines"`
	Units  int         `json:"units"`
	Goods  money.Cents `json:"goods"`
	Grams  int         `json:"grams"`
	Priced bool        `json:"priced"` // false: the catalogue does not answer, prices are missing
}

// Service answers under /api/cart/.
type Service struct {
	store    Store
	products *stale.Snapshot[map[string]goods.Product]
}

// New makes the service and adds its routes.
func New(router *serve.Router, store Store, products Products) *Service {
	s := &Service{store: store, products: &stale.Snapshot[map[string]goods.Product]{
		Fresh: 2 * time.Second, Wait: 500 * time.Millisecond, Limit: 2 * time.Second,
		Fetch: func(ctx context.Context) (map[string]goods.Product, error) {
			list, err := products(ctx)
			known := make(map[string]goods.Product, len(list))
			for _, p := range list {
				known[p.ID] = p
			}
			return known, err
		}}}
	router.Handle("POST /api/cart/carts", s.open)
	router.Handle("GET /api/cart/carts/{id}", s.show)
	router.Handle("PUT /api/cart/carts/{id}/items/{product}", s.set)
	router.Handle("DELETE /api/cart/carts/{id}/items/{product}", s.remove)
	router.Handle("DELETE /api/cart/carts/{id}", s.clear)
	router.Handle("PUT /api/cart/carts/{id}/ordered", s.ordered)
	return s
}

// ValidID tells whether s could be a cart's number: who knows it owns the cart.
func ValidID(s string) bool {
	return len(s) == 26 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// open gives out a number. Nothing is stored until something is in the cart.
func (s *Service) open(w http.ResponseWriter, _ *http.Request) error {
	return serve.JSON(w, http.StatusCreated, Cart{ID: rand.Text(), Lines: []Line{}, Priced: true})
}

func (s *Service) show(w http.ResponseWriter, r *http.Request) error {
	id, err := number(r)
	if err != nil {
		return err
	}
	return s.answer(w, r, id)
}

func (s *Service) set(w http.ResponseWriter, r *http.Request) error {
	id, err := number(r)
	if err != nil {
		return err
	}
	var body struct {
		Quantity *int `json:"quantity"`
	}
	if err := serve.Decode(w, r, &body); err != nil {
		return err
	}
	if body.Quantity == nil {
		return serve.Refuse(http.StatusBadRequest, "The request must hold a quantity.")
	}
	return s.change(w, r, id, *body.Quantity)
}

func (s *Service) remove(w http.ResponseWriter, r *http.Request) error {
	id, err := number(r)
	if err != nil {
		return err
	}
	return s.change(w, r, id, 0)
}

func (s *Service) change(w http.ResponseWriter, r *http.Request, id string, quantity int) error {
	product := r.PathValue("product")
	if quantity != 0 || !goods.ValidID(product) {
		if err := order.CheckLine(order.Line{Product: product, Quantity: quantity}); err != nil {
			return err
		}
		// Without the catalogue an unknown product gets into a cart; it gets no further.
		if known, _, err := s.products.Get(r.Context()); err == nil && known[product].ID == "" {
			return serve.Refuse(http.StatusUnprocessableEntity, "There is no product %s.", product)
		}
	}
	switch err := s.store.Set(r.Context(), id, product, quantity, order.MaxLines); {
	case errors.Is(err, ErrFull):
		return serve.Refuse(http.StatusUnprocessableEntity, "A cart has room for %d different products.", order.MaxLines)
	case err != nil:
		return serve.Unavailable(err, "The cart cannot be changed now.")
	}
	return s.answer(w, r, id)
}

func (s *Service) clear(w http.ResponseWriter, r *http.Request) error {
	id, err := number(r)
	if err != nil {
		return err
	}
	if err := s.store.Clear(r.Context(), id); err != nil {
		return serve.Unavailable(err, "The cart cannot be emptied now.")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ordered leaves the cart as it is, for a checkout that is sent again.
func (s *Service) ordered(w http.ResponseWriter, r *http.Request) error {
	id, err := number(r)
	if err != nil {
		return err
	}
	if err := s.store.Ordered(r.Context(), id); err != nil {
		return serve.Unavailable(err, "The cart cannot be changed now.")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Service) answer(w http.ResponseWriter, r *http.Request, id string) error {
	lines, err := s.store.Lines(r.Context(), id)
	if err != nil {
		return serve.Unavailable(err, "The cart cannot be read now.")
	}
	known, _, err := s.products.Get(r.Context())
	cart := Sum(lines, known)
	cart.ID, cart.Priced = id, err == nil
	return serve.JSON(w, http.StatusOK, cart)
}

// Sum prices what is in a cart. What the catalogue does not know costs nothing
// here, and is refused at the checkout.
func Sum(lines map[string]int, known map[string]goods.Product) Cart {
	cart := Cart{Lines: make([]Line, 0, len(lines))}
	for _, product := range slices.Sorted(maps.Keys(lines)) {
		line := Line{Line: order.Line{Product: product, Quantity: lines[product]}}
		if p, ok := known[product]; ok {
			line.Name, line.Each = p.Name, p.Cents
			// What is too much for money.Max is refused at the checkout; here it adds nothing.
			line.Cents, _ = p.Cents.Times(line.Quantity)
			cart.Grams += p.Grams * line.Quantity
		}
		if sum, err := cart.Goods.Plus(line.Cents); err == nil {
			cart.Goods = sum
		}
		cart.Units += line.Quantity
		cart.Lines = append(cart.Lines, line)
	}
	return cart
}

func number(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !ValidID(id) {
		return "", serve.Refuse(http.StatusNotFound, "That is not the number of a cart.")
	}
	return id, nil
}

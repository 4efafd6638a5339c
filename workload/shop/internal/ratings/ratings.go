// Package ratings is the service that knows what customers think of products. An
// opinion that is a little old is better than none: it answers from memory, and
// goes on with what it last knew when its store is down. Only a new rating needs it.
package ratings

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"net/http"
	"time"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/stale"
)

// Summary is what customers think of one product.
type Summary struct {
	Product string  `json:"product"`
	Count   int     `json:"count"`
	Average float64 `json:"average"` // of 1 to 5 stars, to a tenth; 0 without ratings
}

// Store holds the ratings.
type Store interface {
	// Sums returns the number of ratings and the sum of their stars, by product.
	Sums(ctx context.Context) (map[string]Sum, error)
	// Rate stores the one rating that a reviewer gives a product.
	Rate(ctx context.Context, product, reviewer string, stars int) error
}

// Sum is the number of ratings of a product and the sum of their stars.
type Sum struct{ Count, Stars int }

// Summary makes an average of a sum.
func (s Sum) Summary(product string) Summary {
	if s.Count == 0 {
		return Summary{Product: product}
	}
	return Summary{Product: product, Count: s.Count, Average: math.Round(10*float64(s.Stars)/float64(s.Count)) / 10}
}

// One is the answer to a question for one product.
type One struct {
	serve.Freshness
	Summary
}

// All is the answer to a question for all products.
type All struct {
	serve.Freshness
	Ratings map[string]Summary `json:"ratings"`
}

// Who asks the service user whose token this is. It returns a *serve.Refusal with
// 401 where it is nobody's.
type Who func(ctx context.Context, authorization string) (email string, err error)

// Service answers under /api/ratings/.
type Service struct {
	store Store
	who   Who
	sums  *stale.Snapshot[map[string]Sum]
}

// New makes the service and adds its routes.
func New(router *serve.Router, store Store, who Who) *Service {
	s := &Service{store: store, who: who, sums: &stale.Snapshot[map[string]Sum]{
		Fresh: time.Second, Wait: 300 * time.Millisecond, Limit: 2 * time.Second, Fetch: store.Sums}}
	router.Handle("GET /api/ratings/products", s.all)
	router.Handle("GET /api/ratings/products/{id}", s.one)
	router.Handle("PUT /api/ratings/products/{id}/mine", s.rate)
	return s
}

func (s *Service) get(r *http.Request) (map[string]Sum, time.Duration, error) {
	sums, age, err := s.sums.Get(r.Context())
	if err != nil {
		return nil, 0, serve.Unavailable(err, "Ratings cannot be read now.")
	}
	return sums, age, nil
}

func (s *Service) all(w http.ResponseWriter, r *http.Request) error {
	sums, age, err := s.get(r)
	if err != nil {
		return err
	}
	answer := All{Freshness: serve.Aged(w, age), Ratings: make(map[string]Summary, len(sums))}
	for product, sum := range sums {
		answer.Ratings[product] = sum.Summary(product)
	}
	return serve.JSON(w, http.StatusOK, answer)
}

func (s *Service) one(w http.ResponseWriter, r *http.Request) error {
	product, err := product(r)
	if err != nil {
		return err
	}
	sums, age, err := s.get(r)
	if err != nil {
		return err
	}
	return serve.JSON(w, http.StatusOK, One{serve.Aged(w, age), sums[product].Summary(product)})
}

func (s *Service) rate(w http.ResponseWriter, r *http.Request) error {
	product, err := product(r)
	if err != nil {
		return err
	}
	var body struct {
		Stars int `json:"stars"`
	}
	if err := serve.Decode(w, r, &body); err != nil {
		return err
	}
	if body.Stars < 1 || body.Stars > 5 {
		return serve.Refuse(http.StatusUnprocessableEntity, "A rating is 1 to 5 stars.")
	}
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		return serve.Refuse(http.StatusUnauthorized, "Only customers who are logged in can rate products.")
	}
	email, err := s.who(r.Context(), authorization)
	var refusal *serve.Refusal
	if errors.As(err, &refusal) {
		return err
	}
	if err != nil {
		return serve.Unavailable(err, "Who is logged in cannot be read now.")
	}
	// The store learns that it is the same customer, not who it is.
	sum := sha256.Sum256([]byte(email))
	if err := s.store.Rate(r.Context(), product, hex.EncodeToString(sum[:16]), body.Stars); err != nil {
		return serve.Unavailable(err, "The rating cannot be stored now.")
	}
	s.sums.Expire()
	return s.one(w, r)
}

// product is the product of a request. The shop's goods are known without the
// catalogue, which may be down.
func product(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !known[id] {
		return "", serve.Refuse(http.StatusNotFound, "There is no such product.")
	}
	return id, nil
}

var known = func() map[string]bool {
	all := map[string]bool{}
	for _, p := range goods.Seed() {
		all[p.ID] = true
	}
	return all
}()

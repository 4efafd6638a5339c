// Package shoptest holds stores in memory that can be switched off, for tests
// only: no service is built with it.
package shoptest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"zdl/workload/shop/internal/cart"
	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/ratings"
	"zdl/workload/shop/internal/shipping"
	"zdl/workload/shop/internal/user"
)

// ErrDown is what a store says that is switched off.
var ErrDown = errors.New("the store is switched off")

// Switch turns a store off and on.
type Switch struct{ off atomic.Bool }

// Off makes every use of the store fail, until On.
func (s *Switch) Off() { s.off.Store(true) }

// On makes the store work again.
func (s *Switch) On() { s.off.Store(false) }

func (s *Switch) check(ctx context.Context) error {
	if s.off.Load() {
		return ErrDown
	}
	return ctx.Err()
}

// Catalogue is a catalogue.Store.
type Catalogue struct {
	Switch
	mu       sync.Mutex
	products []goods.Product
}

// NewCatalogue has the goods with which the shop opens.
func NewCatalogue() *Catalogue { return &Catalogue{products: goods.Seed()} }

// Products implements catalogue.Store.
func (s *Catalogue) Products(ctx context.Context) ([]goods.Product, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]goods.Product{}, s.products...), s.check(ctx)
}

// Reprice changes what a product costs.
func (s *Catalogue) Reprice(id string, change func(*goods.Product)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.products {
		if s.products[i].ID == id {
			change(&s.products[i])
		}
	}
}

// Carts is a cart.Store.
type Carts struct {
	Switch
	mu    sync.Mutex
	carts map[string]map[string]int
}

// NewCarts has no carts.
func NewCarts() *Carts { return &Carts{carts: map[string]map[string]int{}} }

// Lines implements cart.Store.
func (s *Carts) Lines(ctx context.Context, id string) (map[string]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.carts[id]), s.check(ctx)
}

// Set implements cart.Store.
func (s *Carts) Set(ctx context.Context, id, product string, quantity, most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return err
	}
	lines := s.carts[id]
	if quantity == 0 {
		delete(lines, product)
		return nil
	}
	if _, there := lines[product]; !there && len(lines) >= most {
		return cart.ErrFull
	}
	if lines == nil {
		lines = map[string]int{}
		s.carts[id] = lines
	}
	lines[product] = quantity
	return nil
}

// Clear implements cart.Store.
func (s *Carts) Clear(ctx context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return err
	}
	delete(s.carts, id)
	return nil
}

// Ordered implements cart.Store; nothing expires here.
func (s *Carts) Ordered(ctx context.Context, _ string) error { return s.check(ctx) }

// Accounts is user.Accounts.
type Accounts struct {
	Switch
	mu  sync.Mutex
	all map[string]user.Account
}

// NewAccounts has no accounts.
func NewAccounts() *Accounts { return &Accounts{all: map[string]user.Account{}} }

// Create implements user.Accounts.
func (s *Accounts) Create(ctx context.Context, a user.Account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return err
	}
	if _, taken := s.all[a.Email]; taken {
		return user.ErrTaken
	}
	s.all[a.Email] = a
	return nil
}

// Find implements user.Accounts.
func (s *Accounts) Find(ctx context.Context, email string) (user.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return user.Account{}, err
	}
	a, known := s.all[email]
	if !known {
		return user.Account{}, user.ErrUnknown
	}
	return a, nil
}

// Sessions is user.Sessions.
type Sessions struct {
	Switch
	mu  sync.Mutex
	all map[string]user.Session
}

// NewSessions has no sessions.
func NewSessions() *Sessions { return &Sessions{all: map[string]user.Session{}} }

// Put implements user.Sessions.
func (s *Sessions) Put(ctx context.Context, hash string, who user.Session, _ time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return err
	}
	s.all[hash] = who
	return nil
}

// Get implements user.Sessions.
func (s *Sessions) Get(ctx context.Context, hash string) (user.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return user.Session{}, err
	}
	who, known := s.all[hash]
	if !known {
		return user.Session{}, user.ErrUnknown
	}
	return who, nil
}

// Delete implements user.Sessions.
func (s *Sessions) Delete(ctx context.Context, hash string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, hash)
	return s.check(ctx)
}

// Tariffs is a shipping.Store with the tariffs with which the shop opens.
type Tariffs struct{ Switch }

// Countries implements shipping.Store.
func (s *Tariffs) Countries(ctx context.Context) (list []shipping.Country, err error) {
	for _, c := range shipping.Seeded {
		list = append(list, c.Country)
	}
	return list, s.check(ctx)
}

// Tariffs implements shipping.Store.
func (s *Tariffs) Tariffs(ctx context.Context, country string) ([]shipping.Tariff, error) {
	for _, c := range shipping.Seeded {
		if c.Code == country {
			return shipping.Zones[c.Zone], s.check(ctx)
		}
	}
	return nil, s.check(ctx)
}

// Ratings is a ratings.Store with the ratings with which the shop opens.
type Ratings struct {
	Switch
	mu    sync.Mutex
	given map[[2]string]int
}

// NewRatings makes a store.
func NewRatings() *Ratings { return &Ratings{given: map[[2]string]int{}} }

// Sums implements ratings.Store.
func (s *Ratings) Sums(ctx context.Context) (map[string]ratings.Sum, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sums := map[string]ratings.Sum{}
	for _, p := range goods.Seed() {
		sum := ratings.Sum{}
		for _, stars := range ratings.Seeded(p.ID) {
			sum.Count, sum.Stars = sum.Count+1, sum.Stars+stars
		}
		sums[p.ID] = sum
	}
	for by, stars := range s.given {
		sum := sums[by[0]]
		sums[by[0]] = ratings.Sum{Count: sum.Count + 1, Stars: sum.Stars + stars}
	}
	return sums, s.check(ctx)
}

// Rate implements ratings.Store.
func (s *Ratings) Rate(ctx context.Context, product, reviewer string, stars int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return err
	}
	s.given[[2]string{product, reviewer}] = stars
	return nil
}

// Package catalogue is the service that knows what the shop sells. It answers
// from memory, confirms with its store once a second while it is asked, and goes
// on with what it last knew when the store is down.
package catalogue

import (
	"context"
	"errors"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/stale"
)

// Store holds the products.
type Store interface {
	Products(ctx context.Context) ([]goods.Product, error)
}

// List is the answer to a question for several products.
type List struct {
	serve.Freshness
	Products []goods.Product `json:"products"`
}

// One is the answer to a question for one product.
type One struct {
	serve.Freshness
	Product goods.Product `json:"product"`
}

// Service answers under /api/catalogue/.
type Service struct {
	products *stale.Snapshot[[]goods.Product]
}

// maxIDs is how many products can be asked for by name at once.
const maxIDs = 100

// Freshness of the catalogue: how long it is used without asking the store, how
// long a reader waits for the store, and how long the store may take.
const (
	fresh = time.Second
	wait  = 300 * time.Millisecond
	limit = 2 * time.Second
)

// New makes the service and adds its routes.
func New(router *serve.Router, store Store) *Service {
	s := &Service{products: &stale.Snapshot[[]goods.Product]{Fresh: fresh, Wait: wait, Limit: limit,
		Fetch: func(ctx context.Context) ([]goods.Product, error) {
			list, err := store.Products(ctx)
			if err == nil && len(list) == 0 {
				err = errors.New("the catalogue is empty") // it is being seeded
			}
			return list, err
		}}}
	router.Handle("GET /api/catalogue/categories", s.categories)
	router.Handle("GET /api/catalogue/products", s.list)
	router.Handle("GET /api/catalogue/products/{id}", s.one)
	router.Handle("GET /api/catalogue/pictures/{file}", s.picture)
	return s
}

func (s *Service) get(r *http.Request) ([]goods.Product, time.Duration) {
	list, age, err := s.products.Get(r.Context())
	if err != nil {
		// This replica has never heard from the store: what the shop opened with is
		// better than nothing, and so old that nobody takes its prices for certain.
		return seed, time.Since(goods.Opened)
	}
	return list, age
}

func (s *Service) categories(w http.ResponseWriter, _ *http.Request) error {
	return serve.JSON(w, http.StatusOK, map[string]any{"categories": goods.Categories()})
}

// list answers with all products, or those of ?category=, those with the names
// ?ids=a,b,c, or those that contain ?q=.
func (s *Service) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	category, words := q.Get("category"), strings.ToLower(strings.TrimSpace(q.Get("q")))
	if category != "" && !slices.ContainsFunc(goods.Categories(), func(c goods.Category) bool { return c.ID == category }) {
		return serve.Refuse(http.StatusNotFound, "There is no such category.")
	}
	if utf8.RuneCountInString(words) > 50 {
		return serve.Refuse(http.StatusBadRequest, "A search has at most 50 characters.")
	}
	var ids []string
	if q.Has("ids") {
		ids = strings.Split(q.Get("ids"), ",")
		if len(ids) > maxIDs {
			return serve.Refuse(http.StatusBadRequest, "At most %d products can be asked for at once.", maxIDs)
		}
	}
	all, age := s.get(r)
	found := make([]goods.Product, 0, len(all))
	for _, p := range all {
		if (category == "" || p.Category == category) && (ids == nil || slices.Contains(ids, p.ID)) &&
			(words == "" || strings.Contains(strings.ToLower(p.Name+" "+p.Text), words)) {
			found = append(found, p)
		}
	}
	return serve.JSON(w, http.StatusOK, List{Freshness: serve.Aged(w, age), Products: found})
}

func (s *Service) one(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !goods.ValidID(id) {
		return serve.Refuse(http.StatusNotFound, "There is no such product.")
	}
	all, age := s.get(r)
	for _, p := range all {
		if p.ID == id {
			return serve.JSON(w, http.StatusOK, One{Freshness: serve.Aged(w, age), Product: p})
		}
	}
	return serve.Refuse(http.StatusNotFound, "There is no such product.")
}

// picture draws; it needs no store.
func (s *Service) picture(w http.ResponseWriter, r *http.Request) error {
	id, svg := strings.CutSuffix(r.PathValue("file"), ".svg")
	seeded := slices.IndexFunc(seed, func(p goods.Product) bool { return p.ID == id })
	if !svg || seeded < 0 {
		return serve.Refuse(http.StatusNotFound, "There is no such picture.")
	}
	body := goods.Picture(seed[seeded])
	h := fnv.New64a()
	_, _ = h.Write(body)
	tag := `"` + strconv.FormatUint(h.Sum64(), 36) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "public, max-age=86400")
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = w.Write(body)
	return nil
}

var seed = goods.Seed()

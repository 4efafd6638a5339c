package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"zdl/workload/shop/internal/call"
	"zdl/workload/shop/internal/catalogue"
	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/ratings"
	"zdl/workload/shop/internal/serve"
)

// shelf is a list of products with what customers think of them.
type shelf struct {
	Text     string
	Query    string
	Products []goods.Product
	Ratings  map[string]ratings.Summary
	Rated    bool // false: ratings do not answer
	Home     bool
}

func (s *Service) home(w http.ResponseWriter, r *http.Request) error {
	return s.shelf(w, r, "", frame{Title: "Everything"}, shelf{Text: "Things that keep working.", Home: true})
}

func (s *Service) category(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	at := slices.IndexFunc(goods.Categories(), func(c goods.Category) bool { return c.ID == id })
	if at < 0 {
		return serve.Refuse(http.StatusNotFound, "There is no such category.")
	}
	c := goods.Categories()[at]
	return s.shelf(w, r, "?category="+c.ID, frame{Title: c.Name, Here: c.ID}, shelf{Text: c.Text})
}

func (s *Service) search(w http.ResponseWriter, r *http.Request) error {
	words := strings.TrimSpace(r.URL.Query().Get("q"))
	return s.shelf(w, r, "?q="+url.QueryEscape(words), frame{Title: "Search"}, shelf{Text: "What contains “" + words + "”:", Query: words})
}

func (s *Service) shelf(w http.ResponseWriter, r *http.Request, query string, f frame, data shelf) error {
	var list catalogue.List
	var all ratings.All
	err, rated := both(r.Context(),
		func(ctx context.Context) error {
			_, err := s.peers.Catalogue.Get(ctx, "/api/catalogue/products"+query, &list)
			return err
		},
		func(ctx context.Context) error {
			_, err := s.peers.Ratings.Get(ctx, "/api/ratings/products", &all)
			return err
		})
	if err != nil {
		return orAway(err, "The catalogue cannot be read now.")
	}
	data.Products, data.Ratings, data.Rated = list.Products, all.Ratings, rated == nil
	f.Data = data
	return s.render(w, r, http.StatusOK, "goods", f, oldest(list.Age, all.Age))
}

func (s *Service) product(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !goods.ValidID(id) {
		return serve.Refuse(http.StatusNotFound, "There is no such product.")
	}
	var one catalogue.One
	var rating ratings.One
	err, rated := both(r.Context(),
		func(ctx context.Context) error {
			_, err := s.peers.Catalogue.Get(ctx, "/api/catalogue/products/"+id, &one)
			return err
		},
		func(ctx context.Context) error {
			_, err := s.peers.Ratings.Get(ctx, "/api/ratings/products/"+id, &rating)
			return err
		})
	if err != nil {
		return orAway(err, "The catalogue cannot be read now.")
	}
	return s.render(w, r, http.StatusOK, "product", frame{Title: one.Product.Name, Here: one.Product.Category, Data: struct {
		goods.Product
		Rating ratings.Summary
		Rated  bool
	}{one.Product, rating.Summary, rated == nil}}, oldest(one.Age, rating.Age))
}

func (s *Service) rate(w http.ResponseWriter, r *http.Request) error {
	id, token := r.PathValue("id"), cookie(r, tokenCookie)
	if token == "" {
		return back(w, r, "/account")
	}
	stars, err := number(r, "stars")
	if err != nil {
		return err
	}
	q := call.JSON(http.MethodPut, "/api/ratings/products/"+url.PathEscape(id)+"/mine", map[string]int{"stars": stars})
	q.Header.Set("Authorization", "Bearer "+token)
	if _, err := s.peers.Ratings.Exchange(r.Context(), q, nil); err != nil {
		return orAway(err, "The rating cannot be stored now.")
	}
	return back(w, r, "/product/"+url.PathEscape(id))
}

// both does two things at once.
func both(ctx context.Context, one, other func(context.Context) error) (error, error) {
	var first, second error
	var all sync.WaitGroup
	all.Go(func() { first = one(ctx) })
	second = other(ctx)
	all.Wait()
	return first, second
}

// orAway turns a service that does not answer into a sentence for people; what a
// service refused stays as it said it.
func orAway(err error, sentence string) error {
	if errors.Is(err, call.ErrUnavailable) {
		return serve.Unavailable(err, "%s", sentence)
	}
	return err
}

// oldest is the age of a page that is made of several answers.
func oldest(seconds ...int64) time.Duration { return time.Duration(slices.Max(seconds)) * time.Second }

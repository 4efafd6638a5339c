// Package shipping is the service that knows what it costs to send a parcel. It
// asks its store for every quote: a parcel sent at yesterday's price would be
// paid by the shop.
package shipping

import (
	"context"
	"net/http"
	"strconv"

	"zdl/workload/shop/internal/money"
	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/serve"
)

// Tariff is what one way of sending costs to one country.
type Tariff struct {
	Method string      // word of small letters
	Name   string      // for people
	Base   money.Cents // for a parcel of up to a kilogram
	PerKg  money.Cents // for every further kilogram that is begun
	Days   int         // until it arrives
}

// Country is where parcels go.
type Country struct {
	Code string `json:"code"`
	Name string `json:"name"`
}

// Store holds the tariffs.
type Store interface {
	Countries(ctx context.Context) ([]Country, error)
	Tariffs(ctx context.Context, country string) ([]Tariff, error)
}

// Quote is an offer.
type Quote struct {
	Method string      `json:"method"`
	Name   string      `json:"name"`
	Cents  money.Cents `json:"cents"`
	Days   int         `json:"days"`
}

// Quotes is the answer to a question for offers, cheapest first.
type Quotes struct {
	Country string  `json:"country"`
	Grams   int     `json:"grams"`
	Quotes  []Quote `json:"quotes"`
}

// MaxGrams is the heaviest parcel: a full order of the heaviest product.
const MaxGrams = order.MaxLines * order.MaxQuantity * 5_000

// Price is what a parcel costs by a tariff.
func (t Tariff) Price(grams int) money.Cents {
	further := 0
	if grams > 1000 {
		further = (grams - 1) / 1000
	}
	return t.Base + t.PerKg*money.Cents(further)
}

// Service answers under /api/shipping/.
type Service struct{ store Store }

// New makes the service and adds its routes.
func New(router *serve.Router, store Store) *Service {
	s := &Service{store}
	router.Handle("GET /api/shipping/countries", s.countries)
	router.Handle("GET /api/shipping/quotes", s.quotes)
	return s
}

func (s *Service) countries(w http.ResponseWriter, r *http.Request) error {
	list, err := s.store.Countries(r.Context())
	if err != nil {
		return serve.Unavailable(err, "Where parcels go cannot be read now.")
	}
	return serve.JSON(w, http.StatusOK, map[string]any{"countries": list})
}

func (s *Service) quotes(w http.ResponseWriter, r *http.Request) error {
	country := r.URL.Query().Get("country")
	if !order.ValidCountry(country) {
		return serve.Refuse(http.StatusBadRequest, "The country must be two capital letters, such as DE.")
	}
	grams, err := strconv.Atoi(r.URL.Query().Get("grams"))
	if err != nil || grams < 0 || grams > MaxGrams {
		return serve.Refuse(http.StatusBadRequest, "The weight must be from 0 to %d grams.", MaxGrams)
	}
	tariffs, err := s.store.Tariffs(r.Context(), country)
	if err != nil {
		return serve.Unavailable(err, "Shipping cannot be quoted now.")
	}
	if len(tariffs) == 0 {
		return serve.Refuse(http.StatusUnprocessableEntity, "The shop does not send parcels to %s.", country)
	}
	answer := Quotes{Country: country, Grams: grams}
	for _, t := range tariffs {
		answer.Quotes = append(answer.Quotes, Quote{Method: t.Method, Name: t.Name, Cents: t.Price(grams), Days: t.Days})
	}
	return serve.JSON(w, http.StatusOK, answer)
}

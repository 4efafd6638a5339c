package payment

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"zdl/workload/shop/internal/call"
	"zdl/workload/shop/internal/catalogue"
	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/shipping"
)

// OldestPrice is how long ago the catalogue's store may have confirmed a price at
// which the shop still sells. Orders that come later than that into an outage wait
// in the queue.
const OldestPrice = time.Hour

// PricesOf asks the catalogue.
func PricesOf(c *call.Client) Prices {
	return func(ctx context.Context, products []string) (map[string]goods.Product, error) {
		var list catalogue.List
		if _, err := c.Get(ctx, "/api/catalogue/products?ids="+url.QueryEscape(strings.Join(products, ",")), &list); err != nil {
			return nil, err
		}
		if time.Duration(list.Age)*time.Second > OldestPrice {
			return nil, errors.New("the catalogue's prices were not confirmed for more than " + OldestPrice.String())
		}
		known := make(map[string]goods.Product, len(list.Products))
		for _, p := range list.Products {
			known[p.ID] = p
		}
		return known, nil
	}
}

// QuotesOf asks shipping.
func QuotesOf(c *call.Client) Quotes {
	return func(ctx context.Context, country string, grams int) ([]shipping.Quote, error) {
		var quotes shipping.Quotes
		_, err := c.Get(ctx, "/api/shipping/quotes?country="+url.QueryEscape(country)+"&grams="+strconv.Itoa(grams), &quotes)
		return quotes.Quotes, err
	}
}

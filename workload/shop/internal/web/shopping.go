package web

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"zdl/workload/shop/internal/call"
	"zdl/workload/shop/internal/cart"
	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/money"
	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/shipping"
)

func (s *Service) showCart(w http.ResponseWriter, r *http.Request) error {
	content := cart.Cart{Priced: true}
	if id := cookie(r, cartCookie); cart.ValidID(id) {
		var err error
		if content, err = s.readCart(r.Context(), id); err != nil {
			return err
		}
	}
	return s.render(w, r, http.StatusOK, "cart", frame{Title: "Your cart", Data: content}, 0)
}

func (s *Service) addToCart(w http.ResponseWriter, r *http.Request) error {
	quantity, err := number(r, "quantity")
	if err != nil {
		return err
	}
	if quantity < 1 {
		return order.CheckLine(order.Line{Product: "a-a", Quantity: quantity})
	}
	id, product := cookie(r, cartCookie), r.PostFormValue("product")
	if cart.ValidID(id) {
		content, err := s.readCart(r.Context(), id)
		if err != nil {
			return err
		}
		for _, l := range content.Lines {
			if l.Product == product && quantity <= order.MaxQuantity {
				quantity += l.Quantity
			}
		}
	} else {
		id = rand.Text()
	}
	return s.change(w, r, id, product, quantity)
}

func (s *Service) setInCart(w http.ResponseWriter, r *http.Request) error {
	quantity, err := number(r, "quantity")
	if err != nil {
		return err
	}
	id := cookie(r, cartCookie)
	if !cart.ValidID(id) {
		return back(w, r, "/cart")
	}
	return s.change(w, r, id, r.PostFormValue("product"), quantity)
}

func (s *Service) change(w http.ResponseWriter, r *http.Request, id, product string, quantity int) error {
	if !goods.ValidID(product) {
		return serve.Refuse(http.StatusUnprocessableEntity, "That is not the name of a product.")
	}
	var content cart.Cart
	q := call.JSON(http.MethodPut, "/api/cart/carts/"+id+"/items/"+product, map[string]int{"quantity": quantity})
	if _, err := s.peers.Cart.Exchange(r.Context(), q, &content); err != nil {
		return orAway(err, "The cart cannot be changed now.")
	}
	keep(w, r, cartCookie, id)
	keep(w, r, unitsCookie, strconv.Itoa(content.Units))
	return back(w, r, "/cart")
}

// offer is a way to send the parcel, with what everything costs then.
type offer struct {
	shipping.Quote
	Total money.Cents
}

func (s *Service) showCheckout(w http.ResponseWriter, r *http.Request) error {
	content, err := s.readCart(r.Context(), cookie(r, cartCookie))
	if err != nil || len(content.Lines) == 0 {
		if err != nil && serve.AsRefusal(err).Code >= 500 {
			return err
		}
		return back(w, r, "/cart")
	}
	var countries struct{ Countries []shipping.Country }
	if _, err := s.peers.Shipping.Get(r.Context(), "/api/shipping/countries", &countries); err != nil {
		return orAway(err, "Shipping cannot be quoted now. Your cart is kept.")
	}
	data := struct {
		cart.Cart
		Countries []shipping.Country
		Country   string
		Offers    []offer
		Name, Key string
	}{Cart: content, Countries: countries.Countries, Country: r.URL.Query().Get("country"), Name: cookie(r, nameCookie), Key: rand.Text()}
	if data.Country != "" {
		if data.Offers, err = s.offers(r.Context(), content, data.Country); err != nil {
			return orAway(err, "Shipping cannot be quoted now. Your cart is kept.")
		}
	}
	return s.render(w, r, http.StatusOK, "checkout", frame{Title: "Checkout", Data: data}, 0)
}

func (s *Service) offers(ctx context.Context, content cart.Cart, country string) ([]offer, error) {
	var quotes shipping.Quotes
	path := "/api/shipping/quotes?country=" + url.QueryEscape(country) + "&grams=" + strconv.Itoa(content.Grams)
	if _, err := s.peers.Shipping.Get(ctx, path, &quotes); err != nil {
		return nil, err
	}
	list := make([]offer, 0, len(quotes.Quotes))
	for _, q := range quotes.Quotes {
		total, err := content.Goods.Plus(q.Cents)
		if err != nil {
			return nil, order.Problem("The order is worth more than the shop deals with.")
		}
		list = append(list, offer{q, total})
	}
	return list, nil
}

// placeOrder takes the form of the checkout. Its key makes a second click the
// same order, and the total that is part of the choice of shipping protects the
// customer from a price that has changed since.
func (s *Service) placeOrder(w http.ResponseWriter, r *http.Request) error {
	method, total, _ := strings.Cut(r.PostFormValue("method"), ":")
	expected, err := strconv.ParseInt(total, 10, 64)
	if err != nil || expected < 1 {
		return serve.Refuse(http.StatusUnprocessableEntity, "Please choose how the parcel shall be sent.")
	}
	receipt, err := s.commit(r.Context(), Commitment{Cart: r.PostFormValue("cart"), Method: method, Expected: money.Cents(expected),
		Address: order.Address{Name: r.PostFormValue("name"), Street: r.PostFormValue("street"), City: r.PostFormValue("city"), Country: r.PostFormValue("country")},
	}, r.PostFormValue("key"))
	if err != nil {
		return err
	}
	// The cart is not emptied but left behind: a form that is sent again finds it,
	// and in it the same order.
	keep(w, r, unitsCookie, "")
	keep(w, r, cartCookie, "")
	keep(w, r, ordersCookie, remember(cookie(r, ordersCookie), receipt.Order))
	to := "/orders/" + receipt.Order
	if receipt.State == ledger.StageQueued {
		to += "?queued=1"
	}
	return back(w, r, to)
}

// remember adds an order to the latest ten.
func remember(list, id string) string {
	all := []string{id}
	for o := range strings.SplitSeq(list, ",") {
		if order.ValidID(o) && o != id && len(all) < 10 {
			all = append(all, o)
		}
	}
	return strings.Join(all, ",")
}

func (s *Service) showOrder(w http.ResponseWriter, r *http.Request) error {
	receipt, err := s.readOrder(r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "order", frame{Title: "Order " + receipt.Order, Data: receipt}, 0)
}

// number reads a whole number from a form.
func number(r *http.Request, field string) (int, error) {
	n, err := strconv.Atoi(r.PostFormValue(field))
	if errors.Is(err, strconv.ErrRange) {
		return 0, serve.Refuse(http.StatusUnprocessableEntity, "The %s is too large.", field)
	}
	if err != nil {
		return 0, serve.Refuse(http.StatusUnprocessableEntity, "The %s must be a whole number.", field)
	}
	return n, nil
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"zdl/workload/shop/internal/order"
)

// refused wants a refusal with one sentence, and nothing of the shop's inside.
func refused(t *testing.T, a answer, code int, text string) {
	t.Helper()
	var body map[string]string
	if json.Unmarshal([]byte(a.body), &body) != nil || len(body) != 1 {
		t.Errorf("not a refusal: %d %s", a.code, a.body)
	}
	sentence := body["error"]
	if a.code != code || !strings.Contains(sentence, text) || !strings.HasSuffix(sentence, ".") || strings.Contains(strings.TrimSuffix(sentence, "."), ". ") {
		t.Errorf("answered %d %q, want %d and one sentence with %q", a.code, sentence, code, text)
	}
	for _, inside := range []string{"sql", "panic", "goroutine", "json:", "127.0.0.1"} {
		if strings.Contains(strings.ToLower(a.body), inside) {
			t.Errorf("the refusal shows %q: %s", inside, a.body)
		}
	}
}

func TestHostileCartsChangeNothing(t *testing.T) {
	s := open(t)
	cart := s.filled(t)
	item := "/api/cart/carts/" + cart + "/items/"
	for _, c := range []struct {
		name, path string
		body       any
		code       int
		text       string
	}{
		{"a negative quantity", item + "mug-quorum", `{"quantity":-1}`, 422, "from 1 to 99, not -1"},
		{"a huge quantity", item + "mug-quorum", `{"quantity":100}`, 422, "from 1 to 99"},
		{"a quantity beyond integers", item + "mug-quorum", `{"quantity":99999999999999999999}`, 400, "out of range"},
		{"half a mug", item + "mug-quorum", `{"quantity":0.5}`, 400, "wrong type"},
		{"a quantity that is text", item + "mug-quorum", `{"quantity":"2"}`, 400, "wrong type"},
		{"no quantity", item + "mug-quorum", `{}`, 400, "must hold a quantity"},
		{"a price", item + "mug-quorum", `{"quantity":2,"cents":1}`, 400, `no field "cents"`},
		{"an unknown product", item + "mug-golden", `{"quantity":2}`, 422, "no product mug-golden"},
		{"an injection", item + url.PathEscape("mug-quorum' OR '1'='1"), `{"quantity":2}`, 422, "not the name of a product"},
		{"an operator", item + "mug-quorum", `{"quantity":{"$gt":0}}`, 400, "wrong type"},
		{"two values", item + "mug-quorum", `{"quantity":2}{"quantity":3}`, 400, "more than one JSON value"},
		{"half a value", item + "mug-quorum", `{"quantity":`, 400, "not valid JSON"},
		{"no JSON", item + "mug-quorum", `quantity=2`, 400, "not valid JSON"},
		{"a large body", item + "mug-quorum", `{"quantity":2,"x":"` + strings.Repeat("x", 40_000) + `"}`, 413, "larger than"},
		{"deep nesting", item + "mug-quorum", strings.Repeat("[", 8000), 400, "."},
		{"no cart", "/api/cart/carts/../items/mug-quorum", `{"quantity":2}`, 404, ""},
		{"somebody's key", "/api/cart/carts/session:1/items/mug-quorum", `{"quantity":2}`, 404, "not the number of a cart"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, service := range []string{"web", "cart"} { // by the gateway and by the ingress
				refused(t, s.api(t, service, http.MethodPut, c.path, c.body), c.code, c.text)
			}
		})
	}
	refused(t, s.api(t, "cart", http.MethodPut, item+"mug-quorum", `{"quantity":2}`, "Content-Type", "text/plain"), 415, "must be JSON")
	if lines, _ := s.carts.Lines(t.Context(), cart); !reflect.DeepEqual(lines, map[string]int{"mug-quorum": 2}) {
		t.Errorf("the cart holds %v", lines)
	}
}

func TestAnOversizedCartIsRefused(t *testing.T) {
	s := open(t)
	cart := s.filled(t)
	last := answer{}
	for i, p := 0, s.api(t, "catalogue", http.MethodGet, "/api/catalogue/products", nil); i < order.MaxLines; i++ {
		var list struct{ Products []struct{ ID string } }
		p.decode(t, &list)
		if id := list.Products[i].ID; id != "mug-quorum" {
			last = s.api(t, "cart", http.MethodPut, "/api/cart/carts/"+cart+"/items/"+id, `{"quantity":1}`)
		}
	}
	if last.code != 200 {
		refused(t, last, 422, "has room for 50")
	} else {
		refused(t, s.api(t, "cart", http.MethodPut, "/api/cart/carts/"+cart+"/items/umbrella-quorum", `{"quantity":1}`), 422, "has room for 50")
	}
	if lines, _ := s.carts.Lines(t.Context(), cart); len(lines) != order.MaxLines {
		t.Errorf("%d lines", len(lines))
	}
}

func TestHostileCheckoutsChangeNothing(t *testing.T) {
	s := open(t)
	cart := s.filled(t)
	change := func(f func(map[string]any)) map[string]any {
		c := commitment(cart)
		f(c)
		return c
	}
	direct := func(f func(map[string]any)) map[string]any {
		c := commitment(cart)
		delete(c, "cart")
		c["customer"], c["lines"] = "me", []any{map[string]any{"product": "mug-quorum", "quantity": 1}}
		f(c)
		return c
	}
	for _, c := range []struct {
		name, service, path string
		body                any
		key                 string
		code                int
		text                string
	}{
		{"a forged price", "web", "/api/checkout", change(func(c map[string]any) { c["total"] = 1 }), "key-0000-1001", 400, `no field "total"`},
		{"an expected price", "web", "/api/checkout", change(func(c map[string]any) { c["expected"] = 1 }), "key-0000-1002", 422, "The total is"},
		{"a negative price", "web", "/api/checkout", change(func(c map[string]any) { c["expected"] = -1 }), "key-0000-1003", 422, "expected total"},
		{"no key", "web", "/api/checkout", commitment(cart), "", 422, "idempotency key"},
		{"an empty cart", "web", "/api/checkout", commitment(strings.Repeat("A", 26)), "key-0000-1004", 422, "cart is empty"},
		{"another's cart", "web", "/api/checkout", commitment("../session"), "key-0000-1005", 422, "not the number of a cart"},
		{"a country of ghosts", "web", "/api/checkout", change(func(c map[string]any) { c["address"].(map[string]string)["country"] = "XX" }), "key-0000-1006", 422, "does not send parcels to XX"},
		{"by drone", "web", "/api/checkout", change(func(c map[string]any) { c["method"] = "drone" }), "key-0000-1007", 422, "do not go by drone"},
		{"a price for payment", "payment", "/api/payment/orders", direct(func(c map[string]any) {
			c["lines"] = []any{map[string]any{"product": "mug-quorum", "quantity": 1, "each": 1}}
		}), "key-0000-1008", 400, `no field "each"`},
		{"a bill for payment", "payment", "/api/payment/orders", direct(func(c map[string]any) { c["bill"] = map[string]int{"total": 1} }), "key-0000-1009", 400, `no field "bill"`},
		{"a negative quantity", "payment", "/api/payment/orders", direct(func(c map[string]any) {
			c["lines"] = []any{map[string]any{"product": "mug-quorum", "quantity": -5}}
		}), "key-0000-1010", 422, "not -5"},
		{"an unknown product", "payment", "/api/payment/orders", direct(func(c map[string]any) {
			c["lines"] = []any{map[string]any{"product": "mug-golden", "quantity": 5}}
		}), "key-0000-1011", 422, "no product mug-golden"},
		{"more than there is", "payment", "/api/payment/orders", direct(func(c map[string]any) {
			c["lines"] = []any{map[string]any{"product": "mug-quorum", "quantity": 11}}
		}), "key-0000-1012", 409, "Only 10 of mug-quorum are left"},
		{"an order number of one's own", "payment", "/api/payment/orders", direct(func(c map[string]any) { c["order"] = "AAAAAAAAAAAAAAAA" }), "key-0000-1013", 400, `no field "order"`},
		{"two hundred lines", "payment", "/api/payment/orders", direct(func(c map[string]any) {
			lines := make([]any, 200)
			for i := range lines {
				lines[i] = map[string]any{"product": fmt.Sprintf("mug-%c%c", 'a'+i/26, 'a'+i%26), "quantity": 1}
			}
			c["lines"] = lines
		}), "key-0000-1014", 422, "at most 50"},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused(t, s.api(t, c.service, http.MethodPost, c.path, c.body, "Idempotency-Key", c.key), c.code, c.text)
		})
	}
	accepted, refusedOrders := s.outcomes()
	if len(accepted)+len(refusedOrders) > 0 || s.broker.Published.Load() > 0 {
		t.Errorf("accepted %v, refused %v, %d published", accepted, refusedOrders, s.broker.Published.Load())
	}
	// The cart is still good for an honest order.
	want(t, s.order(t, cart, "key-0000-1099"), 201)
	// Its key is good for nothing else.
	refused(t, s.api(t, "web", http.MethodPost, "/api/checkout", change(func(c map[string]any) { c["method"] = "express" }), "Idempotency-Key", "key-0000-1099"), 409, "used for a different checkout")
}

func TestHostileQuestionsAreRefused(t *testing.T) {
	s := open(t)
	for path, code := range map[string]int{
		"/api/catalogue/products/mug-quorum%27%20OR%201=1":           404,
		"/api/catalogue/products?category=none":                      404,
		"/api/catalogue/products?q=" + strings.Repeat("x", 51):       400,
		"/api/catalogue/products?ids=" + strings.Repeat("a-b,", 200): 400,
		"/api/catalogue/pictures/..%2f..%2fetc%2fpasswd":             404,
		"/api/ratings/products/none-such":                            404,
		"/api/shipping/quotes?country=de&grams=1":                    400,
		"/api/shipping/quotes?country=DE&grams=-1":                   400,
		"/api/shipping/quotes?country=DE&grams=99999999999999999999": 400,
		"/api/shipping/quotes?country=%27%3B--&grams=1":              400,
		"/api/shipping/quotes?country=XX&grams=1":                    422,
		"/api/payment/orders/1":                                      404,
		"/api/payment/orders/AAAAAAAAAAAAAAAA":                       404,
		"/api/payment/ledger?limit=100000":                           400,
		"/api/payment/ledger?after=-1":                               400,
		"/api/payment/ledger?after=x":                                400,
		"/api/orders/AAAAAAAAAAAAAAAA":                               404,
		"/api/none/x":                                                404,
		"/api/user/me":                                               401,
	} {
		refused(t, s.api(t, "web", http.MethodGet, path, nil), code, "")
	}
	for body, code := range map[string]int{
		`{"email":"no address","name":"x","password":"long enough 1"}`:               422,
		`{"email":"a@b.c\nBcc: x@y.z","name":"x","password":"long enough 1"}`:        422,
		`{"email":{"$ne":""},"name":"x","password":"long enough 1"}`:                 400,
		`{"email":"a@b.cd","name":"","password":"long enough 1"}`:                    422,
		`{"email":"a@b.cd","name":"\u0000","password":"long enough 1"}`:              422,
		`{"email":"a@b.cd","name":"x","password":"short"}`:                           422,
		`{"email":"a@b.cd","name":"x","password":"` + strings.Repeat("x", 73) + `"}`: 422,
		`{"email":"a@b.cd","name":"x","password":"long enough 1","admin":true}`:      400,
	} {
		refused(t, s.api(t, "web", http.MethodPost, "/api/user/accounts", body), code, "")
	}
	want(t, s.api(t, "web", http.MethodPost, "/api/user/accounts", `{"email":"a@b.cd","name":"x","password":"long enough 1"}`), 201)
	refused(t, s.api(t, "web", http.MethodPost, "/api/user/accounts", `{"email":"A@B.cd","name":"x","password":"long enough 2"}`), 409, "already")
	refused(t, s.api(t, "web", http.MethodPut, "/api/ratings/products/mug-quorum/mine", `{"stars":5}`), 401, "logged in")
	refused(t, s.api(t, "web", http.MethodPut, "/api/ratings/products/mug-quorum/mine", `{"stars":6}`, "Authorization", "Bearer x"), 422, "1 to 5")
	refused(t, s.api(t, "web", http.MethodPut, "/api/ratings/products/mug-quorum/mine", `{"stars":5}`, "Authorization", "Bearer x"), 401, "not logged in")
}

func TestFormsFromOtherSitesAreRefused(t *testing.T) {
	s := open(t)
	a := s.api(t, "web", http.MethodPost, "/cart/add", "product=mug-quorum&quantity=1", "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "cross-site")
	want(t, a, 403, "sent by another site")
	p := s.person(t)
	want(t, p.post(t, "/cart/add", url.Values{"product": {"mug-quorum"}, "quantity": {"-1"}}), 422, "from 1 to 99")
	want(t, p.post(t, "/cart/add", url.Values{"product": {"<script>"}, "quantity": {"1"}}), 422, "not the name of a product")
	want(t, p.post(t, "/cart/add", url.Values{"product": {"mug-quorum"}, "quantity": {"1e9"}}), 422, "whole number")
	want(t, p.get(t, "/search?q="+url.QueryEscape(`"><script>alert(1)</script>`)), 200, "&lt;script&gt;")
	want(t, p.get(t, "/nothing"), 404, "no such page")
}

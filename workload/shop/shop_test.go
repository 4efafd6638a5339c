package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"zdl/workload/shop/internal/call"
	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/shoptest"
	"zdl/workload/shop/internal/telemetry"
)

// shop is the eight services in one process, with stores in memory.
type shop struct {
	products *shoptest.Catalogue
	carts    *shoptest.Carts
	accounts *shoptest.Accounts
	sessions *shoptest.Sessions
	tariffs  *shoptest.Tariffs
	ratings  *shoptest.Ratings
	ledger   *shoptest.Ledger
	broker   *shoptest.Broker

	server  map[string]*httptest.Server
	service map[string]*serve.Service
	off     map[string]*atomic.Bool // the service's pods are gone: connections break
}

func open(t *testing.T) *shop {
	t.Helper()
	s := &shop{products: shoptest.NewCatalogue(), carts: shoptest.NewCarts(), accounts: shoptest.NewAccounts(), sessions: shoptest.NewSessions(),
		tariffs: &shoptest.Tariffs{}, ratings: shoptest.NewRatings(), ledger: shoptest.NewLedger(), broker: shoptest.NewBroker(),
		server: map[string]*httptest.Server{}, service: map[string]*serve.Service{}, off: map[string]*atomic.Bool{}}
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	t.Cleanup(func() { stop(); work.Wait() })
	at := func(name string) string { return s.server[name].URL }
	// Those that are asked first.
	for _, name := range []string{"catalogue", "user", "shipping", "ratings", "cart", "payment", "dispatch", "web"} {
		tel, err := telemetry.New(ctx, telemetry.Identity{Service: name, Pod: name + "-0"}, io.Discard, slog.LevelError, false)
		if err != nil {
			t.Fatal(err)
		}
		one := serve.New(tel)
		switch name {
		case "catalogue":
			addCatalogue(one, s.products)
		case "user":
			addUser(one, s.accounts, s.sessions, bcrypt.MinCost)
		case "shipping":
			addShipping(one, s.tariffs)
		case "ratings":
			addRatings(one, s.ratings, at)
		case "cart":
			addCart(one, s.carts, at)
		case "payment":
			addPayment(one, s.ledger, s.broker, s.broker, at)
		case "dispatch":
			addDispatch(one, s.ledger, s.broker)
		case "web":
			addWeb(one, s.broker, at)
		}
		off := &atomic.Bool{}
		api := one.API()
		s.service[name], s.off[name] = one, off
		s.server[name] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if off.Load() {
				panic(http.ErrAbortHandler)
			}
			api.ServeHTTP(w, r)
		}))
		t.Cleanup(s.server[name].Close)
		for _, do := range one.Work {
			work.Go(func() { do(ctx) })
		}
	}
	return s
}

// answer is what a client got.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("%d %s: %v", a.code, a.body, err)
	}
}

// api asks the gateway, or any service by its name, with JSON.
func (s *shop) api(t *testing.T, service, method, path string, value any, headers ...string) answer {
	t.Helper()
	var body io.Reader = http.NoBody
	switch v := value.(type) {
	case nil:
	case string:
		body = strings.NewReader(v)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.server[service].URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return do(t, http.DefaultClient, r)
}

func do(t *testing.T, c *http.Client, r *http.Request) answer {
	t.Helper()
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// person is somebody with a browser, without scripts.
type person struct {
	shop   *shop
	client *http.Client
	at     string // path and query of the last page
}

func (s *shop) person(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{shop: s, client: &http.Client{Jar: jar}}
}

func (p *person) get(t *testing.T, path string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.shop.server["web"].URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return p.do(t, r)
}

func (p *person) post(t *testing.T, path string, fields url.Values) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.shop.server["web"].URL+path, strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.do(t, r)
}

func (p *person) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	r.Header.Set("Accept", "text/html")
	p.client.CheckRedirect = func(next *http.Request, _ []*http.Request) error {
		p.at = next.URL.RequestURI()
		return nil
	}
	p.at = r.URL.RequestURI()
	return do(t, p.client, r)
}

// filled makes a cart with two mugs in it.
func (s *shop) filled(t *testing.T) (cart string) {
	t.Helper()
	var made struct{ ID string }
	s.api(t, "web", http.MethodPost, "/api/cart/carts", nil).decode(t, &made)
	if a := s.api(t, "web", http.MethodPut, "/api/cart/carts/"+made.ID+"/items/mug-quorum", map[string]int{"quantity": 2}); a.code != 200 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	return made.ID
}

func commitment(cart string) map[string]any {
	return map[string]any{"cart": cart, "method": "standard",
		"address": map[string]string{"name": "Ada Lovelace", "street": "12 St James's Square", "city": "London", "country": "GB"}}
}

func (s *shop) order(t *testing.T, cart, key string) answer {
	t.Helper()
	return s.api(t, "web", http.MethodPost, "/api/checkout", commitment(cart), call.IdempotencyKey, key)
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

func record(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w
}

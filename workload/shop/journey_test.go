package main

import (
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/queue"
)

// accepted counts orders in the ledger, by number.
func (s *shop) outcomes() (accepted, refused map[string]int) {
	accepted, refused = map[string]int{}, map[string]int{}
	for _, e := range s.ledger.Events() {
		switch e.Kind {
		case ledger.Accepted:
			accepted[e.Order]++
		case ledger.Refused:
			refused[e.Order]++
		}
	}
	return accepted, refused
}

func want(t *testing.T, a answer, code int, texts ...string) {
	t.Helper()
	if a.code != code {
		t.Fatalf("answered %d, want %d: %s", a.code, code, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Fatalf("%q is not in\n%s", text, a.body)
		}
	}
}

var hidden = regexp.MustCompile(`name="(key|cart|country|method)" value="([^"]+)"`)

// TestAPersonsWholeJourney clicks through the shop without scripts.
func TestAPersonsWholeJourney(t *testing.T) {
	s := open(t)
	p := s.person(t)
	want(t, p.get(t, "/"), 200, "Quorum mug", "Alder umbrella", "of 5 stars")
	want(t, p.get(t, "/category/lamps"), 200, "Quorum lamp", `aria-current="page"`)
	want(t, p.get(t, "/search?q=evergreen"), 200, "Juniper plant")
	want(t, p.get(t, "/product/mug-quorum"), 200, "Add to cart", "of 5 stars from")
	want(t, p.post(t, "/cart/add", url.Values{"product": {"mug-quorum"}, "quantity": {"1"}}), 200, "Your cart", "Quorum mug")
	want(t, p.post(t, "/cart/add", url.Values{"product": {"mug-quorum"}, "quantity": {"1"}}), 200, `value="2"`)
	want(t, p.post(t, "/cart/add", url.Values{"product": {"lamp-ember"}, "quantity": {"3"}}), 200, "Ember lamp", `<span class="badge">5`)
	want(t, p.post(t, "/cart/set", url.Values{"product": {"lamp-ember"}, "quantity": {"0"}}), 200, `<span class="badge">2`)

	want(t, p.post(t, "/register", url.Values{"name": {"Ada <b>"}, "email": {"Ada@Example.org"}, "password": {"correct horse battery"}}), 200, "logged in as", "Ada &lt;b&gt;")
	rated := s.ratingCount(t, "mug-quorum")
	want(t, p.post(t, "/product/mug-quorum/rate", url.Values{"stars": {"5"}}), 200, "from "+strconv.Itoa(rated+1)+" customers")
	want(t, p.post(t, "/logout", nil), 200, "Make an account")
	want(t, p.post(t, "/login", url.Values{"email": {"ada@example.org"}, "password": {"wrong horse battery"}}), 401, "password is wrong")
	want(t, p.post(t, "/login", url.Values{"email": {"ada@example.org"}, "password": {"correct horse battery"}}), 200, "logged in as")

	want(t, p.get(t, "/checkout"), 200, "Choose a country")
	page := p.get(t, "/checkout?country=GB")
	want(t, page, 200, "Express", "Order now")
	form := url.Values{"name": {"Ada Lovelace"}, "street": {"12 St James's Square"}, "city": {"London"}}
	for _, m := range hidden.FindAllStringSubmatch(page.body, -1) {
		if form.Get(m[1]) == "" { // of the choices the first
			form.Set(m[1], m[2])
		}
	}
	price := goods.Seed()[slices.IndexFunc(goods.Seed(), func(p goods.Product) bool { return p.ID == "mug-quorum" })].Cents
	total := 2*price + 1290
	want(t, p.post(t, "/checkout", form), 200, "Thank you", total.String())
	number := regexp.MustCompile(`/orders/([A-Z2-7]{16})$`).FindStringSubmatch(p.at)
	if number == nil {
		t.Fatalf("sent on to %s", p.at)
	}
	want(t, p.post(t, "/checkout", form), 200, number[1]) // a second click
	until(t, "the parcel leaves", func() bool { return strings.Contains(p.get(t, "/orders/"+number[1]).body, "Your parcel has left") })
	want(t, p.get(t, "/account"), 200, number[1])
	want(t, p.get(t, "/cart"), 200, "It is empty")

	if accepted, _ := s.outcomes(); !reflect.DeepEqual(accepted, map[string]int{number[1]: 1}) {
		t.Errorf("the ledger has %v", accepted)
	}
	until(t, "the ledger is processed", func() bool { return len(ledger.Diff(ledger.Fold(s.ledger.Events()), s.ledger.State(), 5)) == 0 })
	if left := s.ledger.State().Stock["mug-quorum"]; left != 8 {
		t.Errorf("%d mugs are left, want 8", left)
	}
}

func (s *shop) ratingCount(t *testing.T, product string) int {
	sums, err := s.ratings.Sums(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sums[product].Count
}

func TestCheckoutQueuesWhilePaymentIsAwayAndIsFulfilledOnce(t *testing.T) {
	for name, outage := range map[string]struct{ begin, end func(*shop) }{
		"its pods are gone":     {func(s *shop) { s.off["payment"].Store(true); s.ledger.Off() }, func(s *shop) { s.off["payment"].Store(false); s.ledger.On() }},
		"its database is down":  {func(s *shop) { s.ledger.Off() }, func(s *shop) { s.ledger.On() }},
		"its answer is lost":    {func(s *shop) { s.ledger.Mute.Store(true) }, func(s *shop) { s.ledger.On() }},
		"shipping is not there": {func(s *shop) { s.off["shipping"].Store(true) }, func(s *shop) { s.off["shipping"].Store(false) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			cart := s.filled(t)
			outage.begin(s)
			var first, again struct{ Order, State string }
			a := s.order(t, cart, "key-0000-0001")
			want(t, a, 202, `"queued"`)
			a.decode(t, &first)
			if to := a.header.Get("Location"); to != "/api/orders/"+first.Order+"?queued=1" {
				t.Errorf("Location %s", to)
			}
			s.order(t, cart, "key-0000-0001").decode(t, &again)
			if again.Order != first.Order {
				t.Errorf("asked twice, promised %s and %s", first.Order, again.Order)
			}
			outage.end(s)
			until(t, "the order is fulfilled", func() bool {
				var now struct{ State string }
				s.api(t, "web", http.MethodGet, "/api/orders/"+first.Order+"?queued=1", nil).decode(t, &now)
				return now.State == "dispatched"
			})
			until(t, "the queue is empty", func() bool { return s.broker.Waiting(queue.Checkout)+s.broker.Waiting(queue.Dispatch) == 0 })
			want(t, s.order(t, cart, "key-0000-0001"), 201, first.Order) // who comes late gets the same
			accepted, refused := s.outcomes()
			if !reflect.DeepEqual(accepted, map[string]int{first.Order: 1}) || len(refused) > 0 {
				t.Errorf("accepted %v, refused %v", accepted, refused)
			}
			if n := s.broker.Waiting(queue.Dead); n > 0 {
				t.Errorf("%d messages are dead", n)
			}
		})
	}
}

func TestWithoutPaymentAndQueueNothingIsPromised(t *testing.T) {
	s := open(t)
	cart := s.filled(t)
	s.ledger.Off()
	s.broker.Off()
	want(t, s.order(t, cart, "key-0000-0002"), 503, "sending it again with the same key is safe")
	s.ledger.On()
	until(t, "payment's breaker lets a request through", func() bool { return s.order(t, cart, "key-0000-0002").code == 201 })
	if accepted, _ := s.outcomes(); len(accepted) != 1 {
		t.Errorf("accepted %v", accepted)
	}
}

func TestAQueuedOrderAtAnotherPriceIsRefusedAndSaysSo(t *testing.T) {
	s := open(t)
	cart := s.filled(t)
	s.ledger.Off()
	body := commitment(cart)
	body["expected"] = 12345
	a := s.api(t, "web", http.MethodPost, "/api/checkout", body, "Idempotency-Key", "key-0000-0003")
	want(t, a, 202)
	var receipt struct{ Order, State, Reason string }
	a.decode(t, &receipt)
	s.ledger.On()
	until(t, "it is refused", func() bool {
		s.api(t, "payment", http.MethodGet, "/api/payment/orders/"+receipt.Order, nil).decode(t, &receipt)
		return receipt.State == "refused"
	})
	if !strings.Contains(receipt.Reason, "not €123.45") {
		t.Errorf("reason %q", receipt.Reason)
	}
	want(t, s.person(t).get(t, "/orders/"+receipt.Order), 200, "could not be carried out: The total is")
}

func TestStaleAnswersSayTheirAge(t *testing.T) {
	s := open(t)
	p := s.person(t)
	for _, a := range []answer{p.get(t, "/"), p.get(t, "/product/mug-quorum"), s.api(t, "web", http.MethodGet, "/api/catalogue/products", nil)} {
		want(t, a, 200)
		if age := a.header.Get("Age"); age != "" {
			t.Errorf("fresh, and yet of Age %s", age)
		}
	}
	s.products.Off()
	s.ratings.Off()
	paths := []string{"/", "/product/mug-quorum", "/api/catalogue/products/mug-quorum", "/api/catalogue/products?category=mugs", "/api/ratings/products/mug-quorum", "/api/ratings/products"}
	for _, path := range paths {
		var a answer
		until(t, path+" becomes stale", func() bool { a = p.get(t, path); return a.header.Get("Age") != "" })
		if age, err := strconv.Atoi(a.header.Get("Age")); a.code != 200 || err != nil || age < 1 || age > 30 {
			t.Errorf("%s: %d, Age %q", path, a.code, a.header.Get("Age"))
		}
		if strings.HasPrefix(path, "/api/") {
			var f struct {
				Stale      bool
				AgeSeconds int
			}
			a.decode(t, &f)
			if !f.Stale || f.AgeSeconds < 1 {
				t.Errorf("%s: %+v", path, f)
			}
		} else if !strings.Contains(a.body, `id="stale"`) {
			t.Errorf("%s does not say how old it is", path)
		}
	}
	// The shop goes on selling at prices that were confirmed a moment ago.
	want(t, s.order(t, s.filled(t), "key-0000-0004"), 201)
	s.products.On()
	s.ratings.On()
	for _, path := range paths {
		until(t, path+" is fresh again", func() bool { return p.get(t, path).header.Get("Age") == "" })
	}
}

func TestAServiceThatIsAwayTakesNothingElseWithIt(t *testing.T) {
	for _, c := range []struct {
		away string
		path string
		code int
		text string
	}{
		{"ratings", "/", 200, "Quorum mug"},
		{"ratings", "/product/mug-quorum", 200, "Ratings cannot be shown now"},
		{"user", "/product/mug-quorum", 200, "Add to cart"},
		{"cart", "/", 200, "Quorum mug"},
		{"cart", "/cart", 503, "cart cannot be read now"},
		{"shipping", "/checkout", 503, "Your cart is kept"},
		{"payment", "/checkout?country=GB", 200, "Order now"},
		{"catalogue", "/", 503, "catalogue cannot be read now"},
		{"catalogue", "/cart", 200, "Your cart"},
		{"dispatch", "/", 200, "Quorum mug"},
	} {
		t.Run(c.away+c.path, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			p := s.person(t)
			want(t, p.post(t, "/cart/add", url.Values{"product": {"mug-quorum"}, "quantity": {"1"}}), 200)
			s.off[c.away].Store(true)
			want(t, p.get(t, c.path), c.code, c.text)
		})
	}
}

func TestANewReplicaWithoutItsStoreServesWhatItCan(t *testing.T) {
	s := open(t)
	s.products.Off() // before anybody asked
	a := s.api(t, "catalogue", http.MethodGet, "/api/catalogue/products/mug-quorum", nil)
	want(t, a, 200, "Quorum mug", `"stale":true`)
	if age, _ := strconv.Atoi(a.header.Get("Age")); time.Duration(age)*time.Second < time.Hour {
		t.Errorf("Age %d", age)
	}
	want(t, s.api(t, "catalogue", http.MethodGet, "/api/catalogue/pictures/mug-quorum.svg", nil), 200, "<svg")
	// Its prices are too old to sell at: the order waits.
	want(t, s.order(t, s.filled(t), "key-0000-0005"), 202)
	s.products.On()
	until(t, "it is accepted", func() bool { accepted, _ := s.outcomes(); return len(accepted) == 1 })
}

func TestTheLedgerCanBeReadPageByPage(t *testing.T) {
	s := open(t)
	promised := map[string]bool{}
	for i := range 5 {
		var receipt struct{ Order string }
		s.order(t, s.filled(t), "key-0000-001"+strconv.Itoa(i)).decode(t, &receipt)
		promised[receipt.Order] = true
	}
	stored := map[string]bool{}
	for after, more := int64(0), true; more; {
		var page struct {
			Entries []struct {
				Kind, Order string
				Total       int
			}
			Next int64
			More bool
		}
		a := s.api(t, "web", http.MethodGet, "/api/payment/ledger?limit=2&after="+strconv.FormatInt(after, 10), nil)
		want(t, a, 200)
		if strings.Contains(a.body, "Lovelace") || strings.Contains(a.body, "Square") {
			t.Errorf("the list names people: %s", a.body)
		}
		a.decode(t, &page)
		for _, e := range page.Entries {
			if e.Kind == "accepted" && e.Total > 0 {
				stored[e.Order] = true
			}
		}
		after, more = page.Next, page.More
	}
	if !reflect.DeepEqual(promised, stored) {
		t.Errorf("promised %v, stored %v", promised, stored)
	}
}

func TestOneTraceLeadsThroughTheServices(t *testing.T) {
	s := open(t)
	cart := s.filled(t)
	a := s.order(t, cart, "key-0000-0006")
	want(t, a, 201)
	trace := a.header.Get("X-Trace")
	if len(trace) != 32 {
		t.Fatalf("X-Trace %q", trace)
	}
	for _, name := range []string{"web", "cart", "payment", "catalogue", "shipping"} {
		until(t, name+" has a span of it", func() bool {
			w := record(s.service[name].Admin(), "/traces?trace="+trace)
			return strings.Contains(w.Body.String(), `"kind":"server"`)
		})
		metrics := record(s.service[name].Admin(), "/metrics").Body.String()
		for _, m := range []string{"http_requests_total{", "http_request_duration_seconds_bucket{", `service="` + name + `"`} {
			if !strings.Contains(metrics, m) {
				t.Errorf("%s does not show %s", name, m)
			}
		}
	}
	if m := record(s.service["payment"].Admin(), "/metrics").Body.String(); !strings.Contains(m, `http_requests_total{code="201",method="POST",peer="web",route="/api/payment/orders",service="payment"} 1`) {
		t.Errorf("payment does not say who called:\n%s", m)
	}
}

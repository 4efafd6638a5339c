package order

import (
	"encoding/json"
	"strings"
	"testing"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/money"
)

var home = Address{Name: "Ada Lovelace", Street: "12 St James's Square", City: "London", Country: "GB"}

func proper() Checkout {
	return Checkout{Order: ID("c1", "key-00000001"), Key: "key-00000001", Customer: "c1", Method: "standard", Address: home,
		Lines: []Line{{"mug-quorum", 2}, {"lamp-ember", 1}}}
}

var priced = map[string]goods.Product{
	"mug-quorum": {ID: "mug-quorum", Cents: 1240, Grams: 400},
	"lamp-ember": {ID: "lamp-ember", Cents: 5990, Grams: 1000},
	"gold-bar":   {ID: "gold-bar", Cents: money.Max / 2, Grams: 1},
}

func TestABillIsExact(t *testing.T) {
	bill, err := proper().Price(priced, 495)
	if err != nil || bill.Goods != 8470 || bill.Total != 8965 || bill.Lines[0].Cents != 2480 || bill.Lines[1].Each != 5990 {
		t.Errorf("bill %+v, %v", bill, err)
	}
	if g := Grams(proper().Lines, priced); g != 1800 {
		t.Errorf("%d g", g)
	}
}

func TestACheckoutIsRefusedInOneSentence(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Checkout)
		want   string
	}{
		"no key":            {func(c *Checkout) { c.Key = "" }, "idempotency key"},
		"a key with spaces": {func(c *Checkout) { c.Key = "eight or more" }, "idempotency key"},
		"another number":    {func(c *Checkout) { c.Order = ID("c2", c.Key) }, "number"},
		"nothing":           {func(c *Checkout) { c.Lines = nil }, "empty"},
		"too much": {func(c *Checkout) {
			c.Lines = make([]Line, MaxLines+1)
		}, "at most 50"},
		"negative":        {func(c *Checkout) { c.Lines[0].Quantity = -1 }, "from 1 to 99, not -1"},
		"zero":            {func(c *Checkout) { c.Lines[0].Quantity = 0 }, "from 1 to 99"},
		"huge":            {func(c *Checkout) { c.Lines[0].Quantity = 1 << 40 }, "from 1 to 99"},
		"twice":           {func(c *Checkout) { c.Lines[1] = c.Lines[0] }, "twice"},
		"injection":       {func(c *Checkout) { c.Lines[0].Product = "mug-quorum'; DROP TABLE ledger; --" }, "not the name of a product"},
		"operator":        {func(c *Checkout) { c.Lines[0].Product = `{"$gt":""}` }, "not the name of a product"},
		"no name":         {func(c *Checkout) { c.Address.Name = " " }, "name"},
		"long street":     {func(c *Checkout) { c.Address.Street = strings.Repeat("x", 101) }, "street"},
		"control letters": {func(c *Checkout) { c.Address.City = "Lon\x00don" }, "city"},
		"not UTF-8":       {func(c *Checkout) { c.Address.City = "Lon\xffdon" }, "city"},
		"small country":   {func(c *Checkout) { c.Address.Country = "gb" }, "two capital letters"},
		"method":          {func(c *Checkout) { c.Method = "../drone" }, "shipping method"},
		"negative total":  {func(c *Checkout) { c.Expected = -1 }, "expected total"},
	} {
		t.Run(name, func(t *testing.T) {
			checkout := proper()
			c.change(&checkout)
			err := checkout.Check()
			if _, ok := IsProblem(err); !ok || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), ".") != 1 {
				t.Errorf("refused with %v, want one sentence with %q", err, c.want)
			}
		})
	}
	if err := proper().Check(); err != nil {
		t.Errorf("a proper checkout was refused: %v", err)
	}
}

func TestAPriceIsTheCataloguesOrNothing(t *testing.T) {
	unknown := proper()
	unknown.Lines[0].Product = "mug-golden"
	surprised := proper()
	surprised.Expected = 1
	rich := proper()
	rich.Lines = []Line{{"gold-bar", 3}}
	for _, c := range []struct {
		checkout Checkout
		want     string
	}{{unknown, "no product mug-golden"}, {surprised, "€89.65, not €0.01"}, {rich, "more than the shop deals with"}} {
		bill, err := c.checkout.Price(priced, 495)
		if _, ok := IsProblem(err); !ok || !strings.Contains(err.Error(), c.want) || bill.Total != 0 {
			t.Errorf("bill %+v, %v; want a refusal with %q", bill, err, c.want)
		}
	}
	agreed := proper()
	agreed.Expected = 8965
	if _, err := agreed.Price(priced, 495); err != nil {
		t.Error(err)
	}
}

func TestANumberFollowsFromCustomerAndKey(t *testing.T) {
	if ID("a", "bc") == ID("ab", "c") {
		t.Error("customer and key run into each other")
	}
	if id := ID("a", "b"); id != ID("a", "b") || !ValidID(id) {
		t.Errorf("number %q", id)
	}
	for _, s := range []string{"", "SHORT", "ABCDEFGHIJKLMNO1", "abcdefghijklmnop", "ABCDEFGHIJKLMNOPQ"} {
		if ValidID(s) {
			t.Errorf("%q passes as a number", s)
		}
	}
}

func TestTheSameCheckoutIsRecognised(t *testing.T) {
	turned, other := proper(), proper()
	turned.Lines[0], turned.Lines[1] = turned.Lines[1], turned.Lines[0]
	other.Lines[0].Quantity = 3
	if !proper().Same(turned) || proper().Same(other) {
		t.Error("lines in another order differ, or another quantity does not")
	}
}

// FuzzCheckout: whatever comes, it is refused with a sentence or within limits.
func FuzzCheckout(f *testing.F) {
	good, _ := json.Marshal(proper())
	f.Add(good)
	f.Add([]byte(`{"lines":[{"product":"a-b","quantity":-9223372036854775808}]}`))
	f.Add([]byte(`{"key":"aaaaaaaa","lines":[{"product":{"$ne":""},"quantity":1}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var c Checkout
		if json.Unmarshal(body, &c) != nil || c.Check() != nil {
			return
		}
		products := map[string]goods.Product{}
		for _, l := range c.Lines {
			products[l.Product] = goods.Product{ID: l.Product, Cents: 19_900, Grams: 100}
		}
		c.Expected = 0
		bill, err := c.Price(products, 500)
		if err != nil || bill.Total < 20_400 || bill.Total > money.Max {
			t.Errorf("%s: %+v, %v", body, bill, err)
		}
	})
}

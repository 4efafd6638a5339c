// Package order is what a customer asks for at the checkout, and what the shop
// makes of it. It is pure: it knows no store and no clock.
package order

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/money"
)

// Limits of one order.
const (
	MaxLines    = 50 // different products
	MaxQuantity = 99 // of one product
)

// Line is a product and how many of it.
type Line struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// Address is where a parcel goes.
type Address struct {
	Name    string `json:"name"`
	Street  string `json:"street"`
	City    string `json:"city"`
	Country string `json:"country"` // two capital letters, ISO 3166-1
}

// Checkout is what a customer commits to. It holds no prices: they come from the
// catalogue. Expected only protects the customer: an order that would cost
// anything else is refused.
type Checkout struct {
	Order    string      `json:"order"` // see ID
	Key      string      `json:"key"`   // idempotency key
	Customer string      `json:"customer,omitempty"`
	Lines    []Line      `json:"lines"`
	Address  Address     `json:"address"`
	Method   string      `json:"method"`             // of shipping
	Expected money.Cents `json:"expected,omitempty"` // total that the customer saw; 0: none
}

// Priced is a line with what it cost when it was ordered.
type Priced struct {
	Line
	Each  money.Cents `json:"each"`
	Cents money.Cents `json:"cents"`
}

// Bill is what an order costs.
type Bill struct {
	Lines    []Priced    `json:"lines"`
	Goods    money.Cents `json:"goods"`
	Shipping money.Cents `json:"shipping"`
	Total    money.Cents `json:"total"`
}

// Problem is why an order is refused, in one sentence for the customer.
type Problem string

func (p Problem) Error() string { return string(p) }

// ID gives an order its number. It follows from the customer and the idempotency
// key alone, so that whoever handles the same checkout, again or at the same
// time, promises the same number, and a queued checkout is one and the same order
// as an attempt whose answer was lost.
func ID(customer, key string) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d:%s%d:%s", len(customer), customer, len(key), key)
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:10])
}

// ValidID tells whether s could be an order's number: 16 letters and digits of base32.
func ValidID(s string) bool {
	return len(s) == 16 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// ValidKey tells whether s is fit as an idempotency key: 8 to 100 characters that
// a random generator or a UUID consists of.
func ValidKey(s string) bool {
	if len(s) < 8 || len(s) > 100 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// CheckLines refuses lines that nobody could mean.
func CheckLines(lines []Line) error {
	switch {
	case len(lines) == 0:
		return Problem("The cart is empty.")
	case len(lines) > MaxLines:
		return Problem(fmt.Sprintf("An order has at most %d different products, not %d.", MaxLines, len(lines)))
	}
	seen := make(map[string]bool, len(lines))
	for _, l := range lines {
		if err := CheckLine(l); err != nil {
			return err
		}
		if seen[l.Product] {
			return Problem("The product " + l.Product + " is in the order twice.")
		}
		seen[l.Product] = true
	}
	return nil
}

// CheckLine refuses a line that nobody could mean.
func CheckLine(l Line) error {
	if !goods.ValidID(l.Product) {
		return Problem("That is not the name of a product.")
	}
	if l.Quantity < 1 || l.Quantity > MaxQuantity {
		return Problem(fmt.Sprintf("The quantity must be from 1 to %d, not %d.", MaxQuantity, l.Quantity))
	}
	return nil
}

// Check refuses a checkout that nobody could mean. What only stores know, such as
// whether a product exists, is for Price.
func (c Checkout) Check() error {
	switch {
	case !ValidKey(c.Key):
		return Problem("The idempotency key must be 8 to 100 letters, digits, hyphens or underscores.")
	case c.Order != ID(c.Customer, c.Key):
		return Problem("The order's number does not follow from its customer and its key.")
	case c.Expected < 0 || c.Expected > money.Max:
		return Problem("The expected total is not an amount that the shop deals with.")
	case !ValidMethod(c.Method):
		return Problem("That is not the name of a shipping method.")
	}
	if err := CheckLines(c.Lines); err != nil {
		return err
	}
	return c.Address.Check()
}

// ValidMethod tells whether s could name a shipping method.
func ValidMethod(s string) bool {
	return s != "" && len(s) <= 20 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

// ValidCountry tells whether s is made like a country's code.
func ValidCountry(s string) bool {
	return len(s) == 2 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// Check refuses an address that no parcel could go to.
func (a Address) Check() error {
	for _, f := range []struct{ what, value string }{{"name", a.Name}, {"street", a.Street}, {"city", a.City}} {
		if !plain(f.value) {
			return Problem("The " + f.what + " must be 1 to 100 printable characters.")
		}
	}
	if !ValidCountry(a.Country) {
		return Problem("The country must be two capital letters, such as DE.")
	}
	return nil
}

// plain tells whether s is text of a sensible length that a label can carry.
func plain(s string) bool {
	if strings.TrimSpace(s) == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > 100 {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// Price makes the bill from the catalogue's prices. It returns a Problem where a
// product does not exist or the customer expected another total.
func (c Checkout) Price(products map[string]goods.Product, shipping money.Cents) (Bill, error) {
	bill := Bill{Lines: make([]Priced, 0, len(c.Lines)), Shipping: shipping}
	for _, l := range c.Lines {
		p, known := products[l.Product]
		if !known {
			return Bill{}, Problem("There is no product " + l.Product + ".")
		}
		line, err := p.Cents.Times(l.Quantity)
		if err == nil {
			bill.Goods, err = bill.Goods.Plus(line)
		}
		if err != nil {
			return Bill{}, Problem("The order is worth more than the shop deals with.")
		}
		bill.Lines = append(bill.Lines, Priced{Line: l, Each: p.Cents, Cents: line})
	}
	total, err := bill.Goods.Plus(shipping)
	if err != nil || shipping < 0 {
		return Bill{}, Problem("The order is worth more than the shop deals with.")
	}
	if c.Expected != 0 && c.Expected != total {
		return Bill{}, Problem(fmt.Sprintf("The total is %s, not %s: please check the order again.", total, c.Expected))
	}
	bill.Total = total
	return bill, nil
}

// Grams is the weight of the parcel. Unknown products weigh nothing; Price refuses them.
func Grams(lines []Line, products map[string]goods.Product) int {
	sum := 0
	for _, l := range lines {
		sum += products[l.Product].Grams * l.Quantity
	}
	return sum
}

// Same tells whether two checkouts ask for the same, whatever order their lines
// have. A key that is used again for something else is a mistake of the client.
func (c Checkout) Same(d Checkout) bool {
	byProduct := func(a, b Line) int { return strings.Compare(a.Product, b.Product) }
	return c.Order == d.Order && c.Address == d.Address && c.Method == d.Method &&
		slices.Equal(slices.SortedFunc(slices.Values(c.Lines), byProduct), slices.SortedFunc(slices.Values(d.Lines), byProduct))
}

// IsProblem tells whether err is a refusal, and which.
func IsProblem(err error) (Problem, bool) {
	var p Problem
	ok := errors.As(err, &p)
	return p, ok
}

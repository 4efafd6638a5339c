// Package money counts in whole cents, so that sums are exact.
package money

import (
	"errors"
	"strconv"
)

// Cents is an amount of euro cents.
type Cents int64

// Max is the largest amount that the shop deals with: a million euros. It is far
// below what an int64 holds, so that sums of checked amounts cannot overflow.
const Max Cents = 1_000_000_00

// ErrTooMuch is returned where an amount would go beyond Max.
var ErrTooMuch = errors.New("more than the shop deals with")

// Times is the price of several of one thing. Neither may be negative.
func (c Cents) Times(quantity int) (Cents, error) {
	if c < 0 || quantity < 0 {
		return 0, errors.New("a price and a quantity are never negative")
	}
	if quantity > 0 && c > Max/Cents(quantity) {
		return 0, ErrTooMuch
	}
	return c * Cents(quantity), nil
}

// Plus adds two amounts up to Max.
func (c Cents) Plus(d Cents) (Cents, error) {
	if c > Max || d > Max || c+d > Max {
		return 0, ErrTooMuch
	}
	return c + d, nil
}

// String is the amount as people write it: €12.34.
func (c Cents) String() string {
	sign := ""
	if c < 0 {
		sign, c = "−", -c
	}
	euros, rest := strconv.FormatInt(int64(c/100), 10), strconv.FormatInt(int64(c%100), 10)
	if len(rest) == 1 {
		rest = "0" + rest
	}
	for i := len(euros) - 3; i > 0; i -= 3 {
		euros = euros[:i] + "," + euros[i:]
	}
	return sign + "€" + euros + "." + rest
}

package money

import (
	"errors"
	"testing"
)

func TestAmountsAreWrittenAsPeopleDo(t *testing.T) {
	for c, want := range map[Cents]string{0: "€0.00", 5: "€0.05", 1234: "€12.34", 99_999: "€999.99", 100_000: "€1,000.00", 123_456_789: "€1,234,567.89", -250: "−€2.50"} {
		if got := c.String(); got != want {
			t.Errorf("%d cents are written %s, want %s", int64(c), got, want)
		}
	}
}

func TestSumsAreExactOrRefused(t *testing.T) {
	for _, c := range []struct {
		price    Cents
		quantity int
		want     Cents
		err      error
	}{
		{price: 1999, quantity: 3, want: 5997},
		{price: 1999, quantity: 0, want: 0},
		{price: Max, quantity: 1, want: Max},
		{price: Max, quantity: 2, err: ErrTooMuch},
		{price: 2, quantity: 1 << 62, err: ErrTooMuch},
	} {
		got, err := c.price.Times(c.quantity)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%d × %d is %d, %v; want %d, %v", c.price, c.quantity, got, err, c.want, c.err)
		}
	}
	if _, err := Cents(-1).Times(1); err == nil {
		t.Error("a negative price was multiplied")
	}
	if _, err := Cents(1).Times(-1); err == nil {
		t.Error("a negative quantity was multiplied")
	}
	if sum, err := Cents(10).Plus(5); sum != 15 || err != nil {
		t.Errorf("10 + 5 is %d, %v", sum, err)
	}
	for _, pair := range [][2]Cents{{Max, 1}, {1 << 62, 1 << 62}} {
		if sum, err := pair[0].Plus(pair[1]); !errors.Is(err, ErrTooMuch) {
			t.Errorf("%d + %d is %d, %v", pair[0], pair[1], sum, err)
		}
	}
}

package goods

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestTheShopOpensWithTheSameGoodsEveryTime(t *testing.T) {
	seed := Seed()
	if !reflect.DeepEqual(seed, Seed()) {
		t.Error("two seeds differ")
	}
	if len(seed) < 60 || len(Categories()) != 6 {
		t.Errorf("%d products in %d categories", len(seed), len(Categories()))
	}
	known, perCategory := map[string]bool{}, map[string]int{}
	for _, p := range seed {
		if known[p.ID] || !ValidID(p.ID) {
			t.Errorf("product %q: twice, or not a proper id", p.ID)
		}
		known[p.ID] = true
		perCategory[p.Category]++
		if p.Name == "" || len(p.Text) < 20 || p.Cents < 500 || p.Cents > 20_000 || p.Grams < 100 || p.Grams > 5_000 {
			t.Errorf("implausible: %+v", p)
		}
		if tail := p.Cents % 50; tail != 40 {
			t.Errorf("%s costs %s", p.ID, p.Cents)
		}
	}
	for _, c := range Categories() {
		if perCategory[c.ID] < 10 {
			t.Errorf("%s has %d products", c.ID, perCategory[c.ID])
		}
	}
	// Prices of a known product pin the rule: a change of it would let two
	// versions of the shop disagree.
	if p := seed[0]; p.ID != "mug-alder" {
		t.Errorf("the first product is %s", p.ID)
	}
}

func TestPicturesAreWellFormedAndDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, p := range Seed() {
		picture := Picture(p)
		d := xml.NewDecoder(bytes.NewReader(picture))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", p.ID, err)
			}
		}
		if strings.Contains(string(picture), "%!") {
			t.Errorf("%s: %s", p.ID, picture)
		}
		drawing := string(picture[bytes.Index(picture, []byte("<rect")):])
		if other := seen[drawing]; other != "" {
			t.Errorf("%s looks like %s", p.ID, other)
		}
		seen[drawing] = p.ID
	}
	if odd := string(Picture(Product{ID: "x-y", Name: `"><script>`})); strings.Contains(odd, "<script") {
		t.Errorf("a name broke out of its attribute: %s", odd)
	}
}

func FuzzValidID(f *testing.F) {
	for _, s := range []string{"mug-quorum", "", "-", "a-", "-b", "a-b-c", "A-b", "a-b\x00", "mug-' OR 1=1", `{"$ne":1}`, "../etc-passwd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ValidID(s) && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("%q passed", s)
		}
	})
}

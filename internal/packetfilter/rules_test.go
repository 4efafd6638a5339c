package packetfilter

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestRangesAreMergedAndDoNotAdjoin(t *testing.T) {
	for _, c := range []struct {
		in   []string
		want string
	}{
		{[]string{"198.18.1.11/32"}, "[{[198 18 1 11] [198 18 1 12]}]"},
		{[]string{"198.19.2.0/24", "198.19.1.0/24"}, "[{[198 19 1 0] [198 19 3 0]}]"},
		{[]string{"198.19.1.7/24", "198.19.1.20/32", "198.18.0.1/32"}, "[{[198 18 0 1] [198 18 0 2]} {[198 19 1 0] [198 19 2 0]}]"},
		{[]string{"0.0.0.0/0"}, "[{[0 0 0 0] [0 0 0 0]}]"},
	} {
		var prefixes []netip.Prefix
		for _, p := range c.in {
			prefixes = append(prefixes, netip.MustParsePrefix(p))
		}
		if got := fmt.Sprint(merge(prefixes)); got != c.want {
			t.Errorf("%v: %s, want %s", c.in, got, c.want)
		}
	}
}

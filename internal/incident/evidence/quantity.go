package evidence

import (
	"math"
	"strconv"
	"strings"
)

// suffixes of Kubernetes' quantities, the longer ones first.
var suffixes = []struct {
	text   string
	factor float64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"m", 1e-3}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1},
}

// Quantity reads an amount as Kubernetes writes it: 500m, 64Mi, 2. ok is false
// where it is none.
func Quantity(text string) (amount float64, ok bool) {
	text = strings.TrimSpace(text)
	for _, s := range suffixes {
		if rest, cut := strings.CutSuffix(text, s.text); cut {
			if n, err := strconv.ParseFloat(rest, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
				return n * s.factor, true
			}
		}
	}
	return 0, false
}

package experiment

import (
	"math"
	"slices"
)

// Distribution sums up one expectation over repetitions.
type Distribution struct {
	Expected string  `json:"expected"`
	Passed   int     `json:"passed"`
	Runs     int     `json:"runs"` // that were not void
	Median   float64 `json:"median"`
	Worst    float64 `json:"worst"`
	// Low and High bound the median with at least 90 % confidence, by order
	// statistics (Conover, Practical Nonparametric Statistics, 3.2); equal to the
	// extremes below five runs, where no such interval exists.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Distribute sums up the verdicts of repetitions, in the order of expectations.
func Distribute(runs [][]Verdict) []Distribution {
	var out []Distribution
	for i := 0; len(runs) > 0 && i < len(runs[0]); i++ {
		d := Distribution{Expected: runs[0][i].Expected}
		var values []float64
		for _, run := range runs {
			if i >= len(run) {
				continue
			}
			d.Runs++
			if run[i].Outcome == Pass {
				d.Passed++
			}
			if run[i].Known {
				values = append(values, run[i].Value)
			}
		}
		if n := len(values); n > 0 {
			slices.Sort(values)
			d.Median = (values[(n-1)/2] + values[n/2]) / 2
			d.Worst = values[n-1]
			low, high := medianInterval(n)
			d.Low, d.High = values[low], values[high]
		}
		out = append(out, d)
	}
	return out
}

// medianInterval gives the indices of the order statistics that hold the median
// with at least 90 % confidence: the widest k with P(Binomial(n, 1/2) < k) ≤ 5 %.
func medianInterval(n int) (low, high int) {
	sum, k := 0.0, 0
	for k < n/2 {
		sum += math.Exp(lchoose(n, k) - float64(n)*math.Ln2)
		if sum > 0.05 {
			break
		}
		k++
	}
	low = max(k-1, 0)
	return low, n - 1 - low
}

func lchoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

package labfile

import "strings"

// nearest finds the word of a list that somebody probably meant, or "": at
// most a third of its letters may be wrong, or one must begin with the other.
func nearest(got string, words []string) string {
	best, bestDistance := "", 1000
	low := strings.ToLower(got)
	for _, w := range words {
		lw := strings.ToLower(w)
		d := distance(low, lw)
		if len(low) >= 2 && (strings.HasPrefix(lw, low) || strings.HasPrefix(low, lw)) {
			d = min(d, 1)
		}
		if d < bestDistance && d <= max(1, max(len(low), len(lw))/3) {
			best, bestDistance = w, d
		}
	}
	return best
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours that lead from a to b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 1000
	}
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

package fault

import (
	"cmp"
	"slices"
	"strings"
)

// nearest names kinds that were perhaps meant.
func (e *Engine) nearest(word string) string {
	type match struct {
		name string
		off  int
	}
	plain := func(s string) string {
		return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
	}
	got := plain(word)
	var near []match
	for i := range e.Kinds {
		name := e.Kinds[i].Name
		want := plain(name)
		off := distance(got, want)
		if len(got) >= 3 && (strings.Contains(want, got) || strings.Contains(got, want)) {
			off = min(off, 1)
		}
		if off <= max(2, len(want)/3) {
			near = append(near, match{name, off})
		}
	}
	if len(near) == 0 {
		return "zdl faults lists the kinds"
	}
	slices.SortStableFunc(near, func(a, b match) int { return cmp.Compare(a.off, b.off) })
	var names []string
	for _, m := range near[:min(len(near), 5)] {
		names = append(names, m.name)
	}
	return "perhaps " + strings.Join(names, ", ") + "; zdl faults lists all"
}

// distance is Levenshtein's: insertions, deletions and substitutions that lead
// from a to b.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
		}
		last = row
	}
	return last[len(b)]
}

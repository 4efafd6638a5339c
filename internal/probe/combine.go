package probe

import (
	"cmp"
	"slices"
)

// combine states the outages of a service that several lanes asked at the same
// time, which is pure arithmetic.
//
// merged are the runs of failures in the slots of all lanes taken together, which
// bound an outage closest: their gaps are the smallest. They hold for a service
// that is either up or down. Whether it was, shows: if an outage of some lane
// reaches over several merged runs, then another lane was served in between, and
// the outage is partial. Then the lane's own outage is stated, with the lane's own
// bounds, and of the merged runs only those in which every lane failed.
//
// by are the outages of each lane, with slots numbered as in merged. The result is
// in order of time and shares no memory with what was given.
func combine(merged []Outage, by [][]Outage) []Outage {
	var all []part
	for i := range merged {
		all = append(all, part{&merged[i], -1})
	}
	for lane := range by {
		for i := range by[lane] {
			all = append(all, part{&by[lane][i], lane})
		}
	}
	slices.SortStableFunc(all, func(a, b part) int { return cmp.Compare(a.firstSeq, b.firstSeq) })
	out := []Outage{}
	for len(all) > 0 {
		// What overlaps, directly or through others, belongs together.
		n, until := 1, all[0].lastSeq
		for n < len(all) && all[n].firstSeq <= until {
			until = max(until, all[n].lastSeq)
			n++
		}
		out = append(out, together(all[:n], len(by))...)
		all = all[n:]
	}
	slices.SortStableFunc(out, func(a, b Outage) int { return cmp.Compare(a.First, b.First) })
	return out
}

// part is an outage of a lane, or of all merged (-1).
type part struct {
	*Outage
	lane int
}

func together(parts []part, lanes int) []Outage {
	var out []Outage
	runs := 0
	for _, p := range parts {
		if p.lane < 0 {
			runs++
		}
	}
	for _, p := range parts {
		if p.lane < 0 && (runs < 2 || len(p.ByLane) == lanes) {
			out = append(out, p.clone())
		}
	}
	if runs < 2 {
		return out // none: another lane's slot is still out, so nobody knows yet
	}
	whole := len(out)
	for _, p := range parts {
		inside := func(o Outage) bool { return o.firstSeq <= p.firstSeq && p.lastSeq <= o.lastSeq }
		if p.lane >= 0 && !slices.ContainsFunc(out[:whole], inside) {
			o := p.clone()
			o.Partial = true
			out = append(out, o)
		}
	}
	return out
}

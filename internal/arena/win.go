package arena

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"zdl/internal/probe"
	"zdl/internal/timeline"
)

// judge says whether an ended outage was won by visitors: it lasted for sure,
// and a kill came at most Lookback before its first failure, or during it.
func (g *game) judge(o probe.Outage) (Win, bool) {
	if o.Open || o.LowerMS < g.rules.WinAfterMS {
		return Win{}, false
	}
	from, to := o.Began.Add(-g.rules.Lookback), o.Ended
	w := Win{Outage: o, Kills: []Kill{}, Visitors: []Share{}}
	for _, k := range g.kills {
		if k.Done && !k.At.Before(from) && !k.At.After(to) {
			w.Kills = append(w.Kills, *k)
		}
	}
	if len(w.Kills) == 0 || w.Kills[0].At.After(o.Ended) {
		return Win{}, false
	}
	shares := map[string]*Share{}
	for _, a := range g.acts {
		if a.at.Before(from) || a.at.After(to) {
			continue
		}
		s := shares[a.visitor]
		if s == nil {
			s = &Share{Name: a.visitor}
			shares[a.visitor] = s
		}
		if a.kill {
			s.Kills++
		} else {
			s.Hits++
			w.Hits++
		}
	}
	for _, s := range shares {
		w.Visitors = append(w.Visitors, *s)
	}
	slices.SortFunc(w.Visitors, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Name, b.Name))
	})
	w.Score = math.Round(10*o.LowerMS/float64(max(w.Hits, 1))) / 10
	w.Story = story(w)
	return w, true
}

// story tells a win in the order of its events, relative to the first failure.
func story(w Win) []string {
	var out []string
	relative := func(t time.Time) string {
		return fmt.Sprintf("%+.2f s", t.Sub(w.Outage.Began).Round(10*time.Millisecond).Seconds())
	}
	for _, k := range w.Kills {
		out = append(out, fmt.Sprintf("%s: %s on %s was deleted after %s.", relative(k.At), k.Pod, orUnknown(k.Node), plural(k.Hits, "hit", "hits")))
	}
	out = append(out, "+0.00 s: the first user's request failed.")
	out = append(out, fmt.Sprintf("%s: the first user's request succeeded again.", relative(w.Outage.Ended)))
	out = append(out, timeline.Describe(w.Outage)+".")
	for _, k := range w.Kills {
		if k.ReadyMS > 0 {
			out = append(out, fmt.Sprintf("Kubernetes replaced %s by %s, ready %.1f s after the kill.", k.Pod, k.Replacement, k.ReadyMS/1000))
		}
	}
	return out
}

func orUnknown(node string) string {
	if node == "" {
		return "no node yet"
	}
	return node
}

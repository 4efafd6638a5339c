package arena

import (
	"math"
	"time"

	"zdl/internal/probe"
)

// score is what a round is worth:
//
//	points = sure downtime in ms / 10 × 100 / (100 + hits) × (1 + 0.05 × resisted)
//
// Sure downtime is the lower bound of each outage that counts, up to the moment
// when healing began: what the repair takes is not the visitors' doing. Twice the
// hits of a round of 100 cost a third. Each strike that users did not feel makes the
// rest worth 5 % more, at most ten of them: a cluster that resists is harder to
// bring down. A round that was not won has no points.
func (g *game) score() Score {
	s := Score{Hits: g.hits}
	credited := 0.0
	for subject, of := range g.outages {
		if _, wins := g.level.wins(subject); !wins {
			continue
		}
		for _, o := range of {
			s.DownMS += o.LowerMS
			credited += credit(&o, g.ending)
		}
	}
	s.DownMS = math.Round(s.DownMS)
	for _, k := range g.strikes {
		if k.State == StrikeFailed || k.State == StrikeUnderWay {
			continue
		}
		s.Strikes++
		if !g.felt(k) {
			s.Resisted++
		}
	}
	if g.won() {
		s.Points = math.Round(credited / 10 * 100 / (100 + float64(s.Hits)) * (1 + 0.05*float64(min(s.Resisted, 10))))
	}
	return s
}

// credit is the sure part of an outage until a moment, in ms.
func credit(o *probe.Outage, until time.Time) float64 {
	if until.IsZero() {
		return o.LowerMS
	}
	return min(o.LowerMS, max(0, sinceMS(o.Began, until)))
}

// felt tells whether an outage that was sure for a tenth of a second followed a
// strike, or began while its requests were under way.
func (g *game) felt(k *strike) bool {
	for _, of := range g.outages {
		for _, o := range of {
			if o.LowerMS < feltMS {
				continue
			}
			if !o.Began.Before(k.At.Add(-lead)) && o.Began.Before(k.At.Add(feltWithin)) {
				return true
			}
			if o.Began.Before(k.At) && (o.Open || o.Ended.After(k.At)) {
				return true // it was down already
			}
		}
	}
	return false
}

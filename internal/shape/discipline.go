package shape

import (
	"math"
	"math/rand/v2"
	"time"
)

// Discipline decides about the frames of one direction: which are lost, copied
// or damaged, and when each goes on. It knows no clock: times are nanoseconds
// since any moment, and must not go back between calls of Arrive. Equal
// parameters, seed and arrivals give equal departures.
//
// The order of decisions is that of netem_enqueue in net/sched/sch_netem.c
// (Linux 6.18), so that both ways of shaping behave alike. F is whatever stands
// for a frame.
type Discipline[F any] struct {
	p      Params
	buffer int64 // bytes
	random *rand.Rand
	queue  queue[F]

	delay, loss, duplicate, corrupt, reorder chance
	sinceReorder                             int
	free                                     int64 // when the rate lets the next frame begin

	stats Stats
}

// Departure is a frame that goes on.
type Departure[F any] struct {
	At    int64 // when it was due
	Frame F
	// Flip is the bit to invert in it, counted from the first of the frame; -1
	// for none.
	Flip int
}

// NewDiscipline makes one for parameters that Check accepts.
func NewDiscipline[F any](p Params, seed uint64) *Discipline[F] {
	if p.Buffer == 0 {
		p.Buffer = DefaultBuffer(p.Rate)
	}
	return &Discipline[F]{p: p, buffer: int64(p.Buffer), random: rand.New(rand.NewPCG(seed, 0x7368617065)), free: math.MinInt64}
}

// Arrive takes a frame of size bytes and returns how many copies of it will
// depart: 0 to 2.
func (d *Discipline[F]) Arrive(now int64, size int, frame F) int {
	d.stats.Seen++
	// A frame that is to be copied and lost goes on alone, as in netem.
	copies := 1
	if d.duplicate.happens(d.random, d.p.Duplicate, d.p.DuplicateCorrelation) {
		copies++
	}
	if d.loss.happens(d.random, d.p.Loss, d.p.LossCorrelation) {
		copies--
	}
	if copies == 0 {
		d.stats.Lost++
		return 0
	}
	kept := 0
	if copies == 2 {
		d.stats.Duplicated++
		// The copy runs the same gauntlet, except that it is not copied again.
		if d.loss.happens(d.random, d.p.Loss, d.p.LossCorrelation) {
			d.stats.Lost++
		} else {
			kept += d.enqueue(now, size, frame)
		}
	}
	return kept + d.enqueue(now, size, frame)
}

func (d *Discipline[F]) enqueue(now int64, size int, frame F) int {
	flip := -1
	if d.corrupt.happens(d.random, d.p.Corrupt, d.p.CorruptCorrelation) && size > 0 {
		flip = d.random.IntN(size * 8)
	}
	if d.queue.len() >= Limit {
		d.stats.Dropped++
		return 0
	}
	at := now
	if d.p.Reorder > 0 && d.sinceReorder >= d.p.Gap-1 && d.reorder.happens(d.random, d.p.Reorder, d.p.ReorderCorrelation) {
		d.sinceReorder = 0
		d.stats.Reordered++
	} else {
		d.sinceReorder++
		at += d.latency()
		if d.p.Rate > 0 {
			begin := max(at, d.free)
			if (begin-at)/8*d.p.Rate/int64(time.Second) > d.buffer {
				d.stats.Dropped++
				return 0
			}
			at = begin + int64(size)*8*int64(time.Second)/d.p.Rate
			d.free = at
		}
	}
	if flip >= 0 {
		d.stats.Corrupted++
	}
	d.queue.push(at, entry[F]{frame: frame, flip: flip})
	return 1
}

// latency is the delay of one frame, never negative.
func (d *Discipline[F]) latency() int64 {
	if d.p.Jitter == 0 {
		return int64(d.p.Delay)
	}
	u := d.delay.next(d.random, d.p.DelayCorrelation)
	width := 2*u - 1
	if d.p.Distribution == Normal {
		width = min(max(math.Sqrt2*math.Erfinv(2*u-1), -4), 4)
	}
	return max(int64(d.p.Delay)+int64(width*float64(d.p.Jitter)), 0)
}

// Next tells when the next frame departs; false when none is under way.
func (d *Discipline[F]) Next() (int64, bool) {
	if d.queue.len() == 0 {
		return 0, false
	}
	return d.queue.items[0].at, true
}

// Depart takes out the next frame that is due by now; false when there is none.
func (d *Discipline[F]) Depart(now int64) (Departure[F], bool) {
	if d.queue.len() == 0 || d.queue.items[0].at > now {
		return Departure[F]{}, false
	}
	e := d.queue.pop()
	d.stats.Sent++
	return Departure[F]{At: e.at, Frame: e.frame, Flip: e.flip}, true
}

// Release ends the shaping: what waits departs when it is next asked, whatever
// its time, and what still arrives goes on unharmed. Its counts stay.
func (d *Discipline[F]) Release() { d.p = Params{} }

// Stats counts what happened so far.
func (d *Discipline[F]) Stats() Stats {
	s := d.stats
	s.Waiting = d.queue.len()
	return s
}

// chance is a sequence of numbers from 0 to 1, each of which is like the one
// before as far as a correlation says (get_crandom in sch_netem.c).
type chance struct {
	last float64
}

func (c *chance) next(r *rand.Rand, correlation float64) float64 {
	u := r.Float64()
	if correlation > 0 {
		u = u*(1-correlation) + c.last*correlation
		c.last = u
	}
	return u
}

func (c *chance) happens(r *rand.Rand, probability, correlation float64) bool {
	return probability > 0 && c.next(r, correlation) < probability
}

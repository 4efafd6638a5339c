package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histograms hold microseconds with three significant digits: every value is
// exact to 0.1 %, and histograms of one shape are merged without loss.
const (
	lowestUS  = 1
	highestUS = int64(11 * 60 * 1e6) // beyond the longest timeout
	digits    = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowestUS, highestUS, digits) }

// sample is one request, as it went.
type sample struct {
	step     int
	due      time.Duration // since the run's beginning
	sent     time.Duration
	took     time.Duration // from due until the end of the answer
	waiting  time.Duration // from sending to the first byte; 0 without an answer
	status   int           // 0 without an answer
	class    string        // how it failed to be answered
	ok       bool          // answered, and as expected
	bytes    int64
	checks   int
	unchecks int // checks that failed
}

// shard collects samples of some of the users. Samples of all shards are
// merged at the end, and once a second for the live view.
type shard struct {
	mu      sync.Mutex
	steps   []stepCount
	lag     *hdrhistogram.Histogram // of sending behind due time, microseconds
	journey *hdrhistogram.Histogram // iterations, from due to end
	late    int64
	iters   int64
	second  []second
	samples []Sample
	room    int // for samples
}

type stepCount struct {
	took, waiting *hdrhistogram.Histogram
	status        map[int]int64
	class         map[string]int64
	failed        int64
	bytes         int64
	checks        int64
	unchecks      int64
}

// second is one second of the run, by the time at which requests were due.
type second struct {
	sent, failed, late int64
	took               *hdrhistogram.Histogram // of this shard
}

// LateAfter is from when on a request counts as sent late: the generator's
// fault, not the service's.
const LateAfter = 5 * time.Millisecond

func newShard(steps int) *shard {
	s := &shard{lag: newHistogram(), journey: newHistogram(), steps: make([]stepCount, steps)}
	for i := range s.steps {
		s.steps[i] = stepCount{took: newHistogram(), waiting: newHistogram(), status: map[int]int64{}, class: map[string]int64{}}
	}
	return s
}

func us(d time.Duration) int64 { return min(max(d.Microseconds(), lowestUS), highestUS) }

func (s *shard) add(x *sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.steps[x.step]
	_ = c.took.RecordValue(us(x.took)) // in range by us
	if x.status != 0 {
		_ = c.waiting.RecordValue(us(x.waiting))
		c.status[x.status]++
	} else {
		c.class[x.class]++
	}
	if !x.ok {
		c.failed++
	}
	c.bytes += x.bytes
	c.checks += int64(x.checks)
	c.unchecks += int64(x.unchecks)
	lag := x.sent - x.due
	_ = s.lag.RecordValue(us(lag))
	at := int(x.due / time.Second)
	for len(s.second) <= at {
		s.second = append(s.second, second{})
	}
	sec := &s.second[at]
	if sec.took == nil {
		// Two digits suffice for a picture, and a long run has many seconds.
		sec.took = hdrhistogram.New(lowestUS, highestUS, 2)
	}
	_ = sec.took.RecordValue(us(x.took))
	sec.sent++
	if !x.ok {
		sec.failed++
	}
	if lag > LateAfter {
		s.late++
		sec.late++
	}
	s.keep(x)
}

func (s *shard) iteration(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.iters++
	_ = s.journey.RecordValue(us(took))
}

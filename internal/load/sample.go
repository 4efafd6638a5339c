package load

import (
	"cmp"
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"time"
)

// Sample is one request as it went, kept where a plan asks for it.
type Sample struct {
	Step    int           // index into Result.Steps
	Due     time.Duration // when it was to be sent, since the run's beginning
	Lag     time.Duration // by how much later it was sent
	Took    time.Duration // from due until the end of the answer
	Status  int           // 0 without an answer
	Failure string        // how it failed to be answered, or ""
	OK      bool          // answered, and as expected
}

// keep adds a sample to a shard, as long as there is room. The caller holds s.mu.
func (s *shard) keep(x *sample) {
	if len(s.samples) < s.room {
		s.samples = append(s.samples, Sample{Step: x.step, Due: x.due, Lag: x.sent - x.due, Took: x.took, Status: x.status, Failure: x.class, OK: x.ok})
	}
}

// WriteSamples writes one row per request, in the order in which they were due.
// Times are in milliseconds.
func (r *Result) WriteSamples(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"due_ms", "lag_ms", "took_ms", "step", "status", "failure", "ok"}) // Error tells at the end
	for i := range r.Samples {
		s := &r.Samples[i]
		_ = out.Write([]string{
			inMS(s.Due), inMS(s.Lag), inMS(s.Took), r.Steps[s.Step].Name, strconv.Itoa(s.Status), s.Failure, strconv.FormatBool(s.OK),
		})
	}
	out.Flush()
	return out.Error()
}

func inMS(d time.Duration) string { return decimal(float64(d.Microseconds()) / 1000) }

func sortSamples(s []Sample) {
	slices.SortStableFunc(s, func(a, b Sample) int { return cmp.Compare(a.Due, b.Due) })
}

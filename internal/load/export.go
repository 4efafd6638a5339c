package load

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
)

// WriteCSV writes one row per second of the run. Times are in milliseconds.
func (r *Result) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"second", "sent", "failed", "late", "median_ms", "p99_ms", "max_ms"}) // Error tells at the end
	for _, s := range r.Seconds {
		_ = out.Write([]string{
			strconv.Itoa(s.Second), strconv.FormatInt(s.Sent, 10), strconv.FormatInt(s.Failed, 10), strconv.FormatInt(s.Late, 10),
			decimal(s.Med), decimal(s.P99), decimal(s.Max),
		})
	}
	out.Flush()
	return out.Error()
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 3, 64) }

// WritePrometheus writes the run's sums in Prometheus' text format (version
// 0.0.4), for a push gateway or node_exporter's textfile collector. Times are in
// seconds, as Prometheus wants them.
func (r *Result) WritePrometheus(w io.Writer) error {
	p := &printer{w: w}
	p.say("# HELP zdl_load_request_duration_seconds From when a request was due until its answer was complete.\n# TYPE zdl_load_request_duration_seconds summary\n")
	for _, s := range r.Steps {
		for _, q := range []struct {
			name  string
			value float64
		}{{"0.5", s.Took.Med}, {"0.9", s.Took.P90}, {"0.95", s.Took.P95}, {"0.99", s.Took.P99}, {"0.999", s.Took.P999}} {
			p.say("zdl_load_request_duration_seconds{step=%q,quantile=%q} %g\n", s.Name, q.name, q.value/1000)
		}
		p.say("zdl_load_request_duration_seconds_sum{step=%q} %g\n", s.Name, s.Took.Avg*float64(s.Took.Count)/1000)
		p.say("zdl_load_request_duration_seconds_count{step=%q} %d\n", s.Name, s.Requests)
	}
	p.say("# HELP zdl_load_requests_total Requests by status, or by how they failed to be answered.\n# TYPE zdl_load_requests_total counter\n")
	for _, s := range r.Steps {
		for _, code := range slices.Sorted(maps.Keys(s.Status)) {
			p.say("zdl_load_requests_total{step=%q,result=\"%d\"} %d\n", s.Name, code, s.Status[code])
		}
		for _, class := range slices.Sorted(maps.Keys(s.Class)) {
			p.say("zdl_load_requests_total{step=%q,result=%q} %d\n", s.Name, class, s.Class[class])
		}
	}
	p.say("# HELP zdl_load_failed_requests_total Requests that were not answered as expected.\n# TYPE zdl_load_failed_requests_total counter\n")
	for _, s := range r.Steps {
		p.say("zdl_load_failed_requests_total{step=%q} %d\n", s.Name, s.Failed)
	}
	for _, g := range []struct {
		name, help string
		value      float64
	}{
		{"iterations_total", "Journeys that were carried out.", float64(r.Iterations)},
		{"dropped_iterations_total", "Journeys that were due while too many users were busy.", float64(r.Dropped)},
		{"late_requests_total", "Requests that the generator sent late.", float64(r.Late)},
		{"generator_cpu_seconds_total", "CPU time of the generator.", r.CPU.Seconds()},
		{"valid", "1 if the generator kept up, so that the figures mean something.", map[bool]float64{true: 1}[r.Invalid == ""]},
		{"passed", "1 if the run is valid and every threshold holds.", map[bool]float64{true: 1}[r.Passed()]},
	} {
		p.say("# HELP zdl_load_%s %s\n# TYPE zdl_load_%s gauge\nzdl_load_%s %g\n", g.name, g.help, g.name, g.name, g.value)
	}
	return p.err
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) say(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

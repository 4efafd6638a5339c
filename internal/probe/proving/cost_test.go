package proving

import (
	"os"
	"testing"
	"time"

	"zdl/internal/probe"
)

func TestMain(m *testing.M) {
	ServeIfAsked()
	os.Exit(m.Run())
}

// BenchmarkFourLanes measures what the prober costs: go test -run '^$' -bench Four
// -cpuprofile cpu.out ./internal/probe/proving.
func BenchmarkFourLanes(b *testing.B) {
	for name, lanes := range map[string][]probe.Lane{
		"protocols": {{}, {Reuse: true}, {HTTP2: true}, {Reuse: true, HTTP2: true}},
		"http1":     {{}, {Reuse: true}, {Write: true}, {Reuse: true, Write: true}},
		"new":       {{}},
		"reused":    {{Reuse: true}},
		"new+http2": {{HTTP2: true}},
		"http2":     {{Reuse: true, HTTP2: true}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c, err := Cost(b.Context(), lanes, 200*4/float64(len(lanes)), 6*time.Second)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(c.Core, "%core")
				b.ReportMetric(c.Each, "µs/request")
				b.ReportMetric(c.LagMS, "ms-lag")
				b.ReportMetric(float64(c.Missed), "missed")
			}
		})
	}
}

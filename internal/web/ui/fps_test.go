package ui_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"sort"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"

	"zdl/internal/web/ui"
	"zdl/internal/web/ui/fixture"
	"zdl/test/browser"
)

// BenchmarkStage counts the frames that Chromium really presented while 500
// requests a second flow over a stage of 11 nodes and 60 pods, by its own trace:
//
//	go test ./internal/web/ui -run - -bench Stage -benchtime 1x
//
// It says frames a second, the 99th percentile of the gap between two frames and
// the share of gaps longer than two frames of 60 a second. It draws without a GPU,
// and says little on a machine that is busy with something else.
func BenchmarkStage(b *testing.B) {
	l := fixture.Shop()
	l.Playing()
	l.Many()
	srv := httptest.NewServer(l.Handler(ui.Files()))
	defer func() { srv.CloseClientConnections(); srv.Close() }()
	p := browser.Open(b)
	p.Visit(srv.URL, 1280, 800)
	p.Wait("requests flow", `document.querySelector(".traffic")?.traffic.dots.length > 200`)
	for b.Loop() {
		gaps := frames(b, p.Context(), 10*time.Second)
		if len(gaps) == 0 {
			b.Fatal("the trace has no frames")
		}
		sum, long := 0.0, 0
		for _, g := range gaps {
			sum += g
			if g > 2*1000.0/60 {
				long++
			}
		}
		sort.Float64s(gaps)
		b.ReportMetric(float64(len(gaps))/sum*1000, "frames/s")
		b.ReportMetric(gaps[len(gaps)*99/100], "p99-gap-ms")
		b.ReportMetric(100*float64(long)/float64(len(gaps)), "%dropped")
	}
	b.ReportMetric(0, "ns/op")
}

// frames traces for so long, and gives the gaps between frames that were drawn,
// in ms.
func frames(b *testing.B, ctx context.Context, long time.Duration) []float64 {
	ctx, cancel := context.WithTimeout(ctx, long+time.Minute)
	defer cancel()
	data := chromedp.Events(ctx, tracing.DataCollected)
	done := make(chan struct{})
	complete := chromedp.Events(ctx, tracing.TracingComplete)
	go func() {
		defer close(done)
		for range complete {
			return
		}
	}()
	var at []float64
	read := make(chan struct{})
	reading, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(read)
		for chunk, err := range data {
			if err != nil || reading.Err() != nil {
				return
			}
			for _, v := range chunk.Value {
				var e struct {
					Name string  `json:"name"`
					TS   float64 `json:"ts"` // µs
				}
				if json.Unmarshal(v, &e) == nil && e.Name == "DrawFrame" {
					at = append(at, e.TS/1000)
				}
			}
		}
	}()
	if _, err := chromedp.Call(ctx, tracing.Start, tracing.StartParams{TransferMode: tracing.StartTransferModeReportEvents,
		TraceConfig: &tracing.TraceConfig{IncludedCategories: []string{"disabled-by-default-devtools.timeline.frame", "devtools.timeline.frame", "disabled-by-default-devtools.timeline"}}}); err != nil {
		b.Fatalf("start the trace: %v", err)
	}
	time.Sleep(long) // that is what is measured
	if _, err := chromedp.Call(ctx, tracing.End, cdp.Empty{}); err != nil {
		b.Fatalf("end the trace: %v", err)
	}
	<-done
	time.Sleep(200 * time.Millisecond) // the last chunk is handed over before the end is
	cancel()
	<-read
	sort.Float64s(at)
	var gaps []float64
	for i := 1; i < len(at); i++ {
		gaps = append(gaps, at[i]-at[i-1])
	}
	return gaps
}

package load

import (
	"encoding/csv"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestExportsHoldTheFigures(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(503)
		}
	})
	p := &Plan{Journeys: []Journey{{Steps: []Step{{Name: `a "b"`, URL: url + "/"}, {Name: "c", URL: url + "/bad"}}}}, Open: Constant(100, 1500*time.Millisecond)}
	r := run(t, p)
	var text strings.Builder
	if err := r.WriteCSV(&text); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(text.String())).ReadAll()
	if err != nil || len(rows) != 3 || len(rows[0]) != len(rows[2]) || rows[1][1] != "200" {
		t.Errorf("%v: %v; want a head and two seconds, the first with 200 requests", err, rows)
	}
	text.Reset()
	if err := r.WritePrometheus(&text); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^(#.*|[a-z_]+(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? [0-9.e+-]+)$`)
	for l := range strings.Lines(text.String()) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("not in Prometheus' format: %q", l)
		}
	}
	for _, want := range []string{`zdl_load_requests_total{step="c",result="503"} 150`, `zdl_load_failed_requests_total{step="c"} 150`, "zdl_load_iterations_total 150"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s is missing in\n%s", want, text.String())
		}
	}
	if err := r.WriteCSV(brokenWriter{}); err == nil {
		t.Error("a full disk was not noticed")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

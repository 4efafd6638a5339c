package timeline

import (
	"path/filepath"
	"slices"
	"testing"

	"zdl/internal/probe"
)

// slowProber has no outages.
type slowProber struct {
	fakeProber
	spans []probe.Outage
}

func (p *slowProber) Degradations(after int) (out []probe.Outage) {
	for _, o := range p.spans {
		if o.ID > after {
			out = append(out, o)
		}
	}
	return out
}

func TestDegradedSpansAreToldOnceEach(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "timeline.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	d := degradations{log: l, subject: "service", name: "The service"}
	p := &slowProber{}
	slow := map[string]int{"slow": 3}
	for _, spans := range [][]probe.Outage{
		{{ID: 1, Open: true, Failed: 1, ByClass: slow}}, // perhaps a single one
		{{ID: 1, Open: true, Failed: 2, ByClass: slow}},
		{{ID: 1, Open: true, Failed: 3, ByClass: slow}},
		{{ID: 1, Failed: 3, ByClass: slow, LowerMS: 20, UpperMS: 40}, {ID: 2, Failed: 1, ByClass: slow}},
		{{ID: 1, Failed: 3, ByClass: slow, LowerMS: 20, UpperMS: 40}, {ID: 2, Failed: 1, ByClass: slow}, {ID: 3, Failed: 2, ByClass: slow}},
	} {
		p.spans = spans
		d.read(p)
	}
	var kinds []string
	for _, e := range l.Since(0, 0) {
		kinds = append(kinds, e.Kind+" "+e.Fields["degradation"])
	}
	if want := []string{"degraded-began 1", "degraded-ended 1", "degraded-ended 3"}; !slices.Equal(kinds, want) {
		t.Errorf("told %q, want %q", kinds, want)
	}
	if text := l.Since(0, 0)[1].Text; text != "The service was degraded for between 20 and 40 ms; 3 requests were served badly: slow × 3" {
		t.Errorf("said %q", text)
	}
}

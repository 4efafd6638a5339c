package load

import (
	"strings"
	"testing"
)

func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		metric, text string
		value        float64
		holds        bool
	}{
		{"http_req_duration", "p(99)<300", 299.9, true},
		{"http_req_duration", "p(99)<300", 300, false},
		{"http_req_duration", " p( 99.9 ) <= 300 ", 300, true},
		{"http_req_duration{step:pay}", "med<10", 10, false},
		{"http_req_failed", "rate<0.001", 0, true},
		{"http_req_failed", "rate==0", 0.1, false},
		{"http_reqs", "count>=1000", 1000, true},
		{"http_reqs", "rate>100", 99, false},
		{"checks", "rate>0.99", 1, true},
		{"dropped_iterations", "count==0", 1, false},
	} {
		th, err := ParseThreshold(c.metric, c.text)
		if err != nil {
			t.Errorf("%s %q: %v", c.metric, c.text, err)
			continue
		}
		if th.Holds(c.value) != c.holds {
			t.Errorf("%v with %g holds: %v, want %v", th.String(), c.value, !c.holds, c.holds)
		}
	}
}

func TestImpossibleThresholdsAreRefused(t *testing.T) {
	for _, c := range []struct{ metric, text, says string }{
		{"http_req_duraton", "p(99)<300", "http_req_duration"},
		{"http_req_duration", "p99<300", "p(99)<300"},
		{"http_req_duration", "p(101)<300", "from 0 to 100"},
		{"http_req_duration", "rate<1", "avg"},
		{"http_req_failed", "p(99)<1", "rate"},
		{"http_req_failed", "rate<5", "from 0 to 1"},
		{"http_req_duration{stp:x}", "avg<1", "{step:NAME}"},
		{"http_reqs", "", "count>1000"},
	} {
		_, err := ParseThreshold(c.metric, c.text)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %q: %v, want an error that names %s", c.metric, c.text, err, c.says)
		}
	}
}

func FuzzParseThreshold(f *testing.F) {
	f.Add("http_req_duration", "p(99)<300")
	f.Add("http_reqs", "count>1e3")
	f.Fuzz(func(t *testing.T, metric, text string) {
		th, err := ParseThreshold(metric, text)
		if err != nil {
			return
		}
		again, err := ParseThreshold(th.Metric, strings.TrimPrefix(th.String(), th.Metric+": "))
		if err == nil && again.Holds(1) != th.Holds(1) {
			t.Errorf("%q was read as %v and %v", text, th, again)
		}
	})
}

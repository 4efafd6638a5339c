package load

import (
	"strings"
	"testing"
	"time"
)

const good = `
apiVersion: zdl/v1
kind: Load
title: browse and buy
arrivals:
  stages:
  - {for: 10s, to: 100}
  - {for: 20s, to: 100}
  - {for: 5s, from: 500, to: 500}
journeys:
- name: browse
  weight: 3
  steps:
  - {name: home, url: /, expect: [{status: [200, 304]}, {contains: pod}], think: 1s-2s}
- name: buy
  steps:
  - {name: cart, url: /cart, body: "{}", take: {id: {json: cart.id}}}
  - {name: pay, url: "/pay?cart={{id}}", method: PUT, headers: {X-Once: "{{random}}"}}
thresholds:
  http_req_duration: ["p(99)<300", {threshold: "p(50)<20", abortOnFail: true}]
  "http_req_duration{step:pay}": ["p(95)<400"]
  http_req_failed: ["rate<0.001"]
timeout: 2s
`

func TestAFileIsReadAsItIsMeant(t *testing.T) {
	p, err := Read([]byte(good), "load.yaml", "http://198.18.0.100/")
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Open.Stages; len(s) != 3 || s[0].From != 0 || s[1].From != 100 || s[2].From != 500 || p.Open.Duration() != 35*time.Second {
		t.Errorf("stages %+v", s)
	}
	if len(p.Journeys) != 2 || p.Journeys[0].Weight != 3 || p.Journeys[1].Weight != 1 {
		t.Errorf("journeys %+v", p.Journeys)
	}
	home, cart, pay := p.Journeys[0].Steps[0], p.Journeys[1].Steps[0], p.Journeys[1].Steps[1]
	if home.URL != "http://198.18.0.100/" || home.Think != (Think{time.Second, 2 * time.Second}) || len(home.Checks) != 2 {
		t.Errorf("home %+v", home)
	}
	if cart.Method != "POST" || len(cart.Take) != 1 || pay.Method != "PUT" || pay.Headers.Get("X-Once") != "{{random}}" {
		t.Errorf("cart %+v, pay %+v", cart, pay)
	}
	if len(p.Thresholds) != 4 || !p.Thresholds[1].AbortOnFail || p.Timeout != 2*time.Second {
		t.Errorf("thresholds %+v, timeout %v", p.Thresholds, p.Timeout)
	}
}

func TestWrongFilesNameTheLine(t *testing.T) {
	for _, c := range []struct{ old, new, says string }{
		{"title:", "titel:", "line 4: field titel not found"},
		{"{for: 10s, to: 100}", "{for: 10x, to: 100}", `line 7: "10x" is not a duration`},
		{"kind: Load", "kind: Experiment", "kind: Load"},
		{"p(99)<300", "p99<300", "p(99)<300"},
		{"abortOnFail", "abortOnFial", "abortOnFial"},
		{"step:pay", "step:paid", "there is no step"},
		{"{{id}}", "{{ids}}", "{{ids}} is not known"},
		{"think: 1s-2s", "think: 2s-1s", "the smaller first"},
		{"arrivals:", "users:", "line"},
		{"name: cart", "name: home", `called "home"`},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if c.old == "arrivals:" {
			text, c.says = strings.Replace(good, "arrivals:\n  stages:", "users:\n  rate: 5\n  stages:", 1), "users: have a count"
		}
		_, err := Read([]byte(text), "load.yaml", "http://h")
		if err == nil || !strings.HasPrefix(err.Error(), "load.yaml: ") || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "load.file") {
			t.Errorf("%s: %v, want an error that says %q", c.new, err, c.says)
		}
	}
	if _, err := Read([]byte(good), "load.yaml", ""); err == nil || !strings.Contains(err.Error(), "--base") {
		t.Errorf("without a base: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("apiVersion: zdl/v1\nkind: Load\nusers: {count: 3, for: 1s}\njourneys: [{steps: [{url: 'http://h/'}]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Read(data, "x", "http://h")
		if err == nil && p.Check() != nil {
			t.Error("a plan was read that Check refuses")
		}
	})
}

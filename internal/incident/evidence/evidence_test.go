package evidence

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"zdl/internal/timeline"
)

var begin = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func at(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }

func num(v float64) *float64 { return &v }

func word(s string) *string { return &s }

var (
	quiet  = Window{at(0), at(60)}
	during = Window{at(60), at(300)}
)

// series has a value each five seconds: low until a moment, then high.
func series(labels map[string]string, low, high, from float64) Series {
	s := Series{Labels: labels}
	for t := 0.0; t <= 300; t += 5 {
		v := low
		if t >= from {
			v = high
		}
		s.Samples = append(s.Samples, Sample{at(t), v})
	}
	return s
}

func recording() *Recording {
	deployment := func(replicas float64) any {
		return map[string]any{"spec": map[string]any{"replicas": replicas, "paused": true, "template": map[string]any{"spec": map[string]any{"a": "b"}}}}
	}
	late := func() any {
		o := deployment(1).(map[string]any)
		o["spec"].(map[string]any)["template"] = map[string]any{"spec": map[string]any{"late": true}}
		return o
	}
	r := &Recording{
		Queries: map[string][]Series{
			`rate(http_requests_total{service="cart",code="503"}[30s])`: {series(map[string]string{"service": "cart"}, 0, 2, 100)},
			`up{job="etcd"}`: {series(map[string]string{"instance": "cp-1"}, 1, 1, 100), series(map[string]string{"instance": "cp-2"}, 1, 0, 100)},
		},
		Metrics: map[string][]Series{"cp-1/etcd_server_has_leader": {series(nil, 1, 0, 70)}},
		Objects: []Version{
			{Of: "deployment/shop/cart", At: at(0), Object: deployment(3)}, {Of: "deployment/shop/cart", At: at(90), Object: late()},
			{Of: "node/a", At: at(0), Object: map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "X"}, map[string]any{"type": "Ready", "status": "False"}}}}},
			{Of: "secret/shop/cart", At: at(0), Object: map[string]any{}}, {Of: "secret/shop/cart", At: at(120)},
		},
		Happened: []Event{
			{at(110), "Evicted", "pod/shop/cart-1", "The node was low on resource: memory."}, {at(112), "Evicted", "pod/shop/cart-2", "evicted"},
			{at(30), "Evicted", "pod/shop/user-1", "evicted"},
		},
		Timeline: []timeline.Entry{{Seq: 7, Wall: at(130), Kind: "leader-changed", Subject: "etcd", Text: "etcd is now led from cp-2"}},
		Logs:     []Line{{at(140), "kernel/worker-1", "Memory cgroup out of memory: Killed process 12 (shop)"}, {at(141), "pod/shop/cart-1", "listening"}},
		Probes:   map[string][]Look{"users": nil},
	}
	for t := range 300 {
		l := Look{At: at(float64(t)), Sent: 100, P99: 50}
		if t >= 150 && t < 200 {
			l.Failed, l.P99 = 40, 900
		}
		r.Probes["users"] = append(r.Probes["users"], l)
	}
	return r
}

func TestPredicatesTellWhenTheyCameTrue(t *testing.T) {
	query := func(bound Bound, long time.Duration) *Query {
		return &Query{`rate(http_requests_total{service="cart",code="503"}[30s])`, bound, long}
	}
	event := Predicate{Event: &EventLike{Reason: "Evicted", About: "pod/shop/cart-*", Count: 2}}
	lost := Predicate{Metric: &Metric{"cp-1", "etcd_server_has_leader", Bound{Below: num(1)}, 0}}
	for name, c := range map[string]struct {
		p    Predicate
		when float64 // -1: never
	}{
		"query":             {Predicate{Query: query(Bound{Above: num(1)}, 30*time.Second)}, 100},
		"query, too short":  {Predicate{Query: query(Bound{Above: num(1)}, 5*time.Minute)}, -1},
		"query from before": {Predicate{Query: query(Bound{Below: num(1)}, 0)}, 60},
		"etcd":              {lost, 70},
		"field":             {Predicate{Field: &Field{"deployment/shop/cart", "/spec/replicas", Bound{Below: num(3)}}}, 90},
		"field equals":      {Predicate{Field: &Field{"deployment/shop/*", "/spec/replicas", Bound{Equals: word("1")}}}, 90},
		"field differs":     {Predicate{Field: &Field{"deployment/shop/cart", "/spec/paused", Bound{Differs: word("true")}}}, -1},
		"item by name":      {Predicate{Field: &Field{"node/a", "/status/conditions/type=Ready/status", Bound{Equals: word("False")}}}, 60},
		"no such item":      {Predicate{Field: &Field{"node/a", "/status/conditions/type=X/status", Bound{Present: true}}}, -1},
		"object gone":       {Predicate{Field: &Field{"secret/shop/cart", "", Bound{Absent: true}}}, 120},
		"never was":         {Predicate{Field: &Field{"secret/shop/user", "", Bound{Absent: true}}}, 60},
		"a count not set":   {Predicate{Field: &Field{"deployment/shop/cart", "/status/readyReplicas", Bound{Below: num(1)}}}, 60},
		"event, the second": {event, 112},
		"event of before":   {Predicate{Event: &EventLike{Reason: "Evicted", About: "pod/shop/user-1"}}, -1},
		"entry":             {Predicate{Entry: &EntryLike{Kind: "leader-changed", Subject: regexp.MustCompile("^etcd$")}}, 130},
		"kernel":            {Predicate{Line: &LineLike{Of: "kernel/worker-*", Text: regexp.MustCompile(`out of memory: Killed process`)}}, 140},
		"probe":             {Predicate{Probe: &Probe{"users", ProbeFailed, Bound{Above: num(0.1)}, 20 * time.Second}}, 150},
		"probe, slow":       {Predicate{Probe: &Probe{"users", ProbeP99, Bound{Above: num(500)}, time.Second}}, 150},
		"all":               {Predicate{All: []Predicate{lost, event}}, 112},
		"any":               {Predicate{Any: []Predicate{event, lost}}, 70},
		"all, one never":    {Predicate{All: []Predicate{lost, {Event: &EventLike{Reason: "x", About: "pod/shop/*"}}}}, -1},
	} {
		if err := c.p.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got, err := c.p.CameTrue(recording(), during)
		if err != nil || got.True != (c.when >= 0) || got.True && !got.At.Equal(at(c.when)) || got.Fact == "" {
			t.Errorf("%s: %+v %v, want %v", name, got, err, c.when)
		}
	}
	if _, err := (&Predicate{Query: &Query{Text: "x", Bound: Bound{Above: num(1)}}}).CameTrue(recording(), during); err == nil {
		t.Error("what was not observed is decided")
	}
}

func TestHoldsIsAboutNow(t *testing.T) {
	failing := Predicate{Probe: &Probe{"users", ProbeFailed, Bound{Above: num(0.1)}, 20 * time.Second}}
	killed := Predicate{Line: &LineLike{Of: "kernel/worker-1", Text: regexp.MustCompile(`Killed`)}}
	few := Predicate{Field: &Field{"deployment/shop/cart", "/spec/replicas", Bound{Below: num(3)}}}
	for name, c := range map[string]struct {
		p    Predicate
		when float64
		want bool
	}{
		"failing for too short": {failing, 160, false}, "failing": {failing, 180, true}, "failing no more": {failing, 220, false},
		"killed lately": {killed, 190, true}, "killed long ago": {killed, 210, false}, "field before": {few, 80, false}, "field": {few, 290, true},
	} {
		got, err := c.p.Holds(recording(), at(c.when))
		if err != nil || got.True != c.want {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

func TestPredicatesThatSayNothingAreRefused(t *testing.T) {
	for says, p := range map[string]Predicate{
		"exactly one of query": {},
		"above or below":       {Query: &Query{Text: "up"}},
		"names no metric":      {Query: &Query{Text: "1 > 0", Bound: Bound{Above: num(1)}}},
		"want exactly one of":  {Field: &Field{Object: "node/a", Pointer: "/x"}},
		"such as /spec":        {Field: &Field{Object: "node/a", Pointer: "x", Bound: Bound{Absent: true}}},
		"reason and about":     {Event: &EventLike{Reason: "x"}},
		"of and line":          {Line: &LineLike{Of: "audit"}},
		"failed or p99":        {Probe: &Probe{Subject: "users", Of: "x"}},
		"1 to 8":               {All: []Predicate{}},
		"3 deep":               {All: []Predicate{{All: []Predicate{{All: []Predicate{{}}}}}}},
		"member and metric":    {Metric: &Metric{}},
		"zdl timeline":         {Entry: &EntryLike{}},
	} {
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error that says %q", err, says)
		}
	}
}

func TestEvidenceMustShowWhatItIsGivenFor(t *testing.T) {
	witnesses := []Predicate{
		{Query: &Query{`rate(http_requests_total{service="cart",code="503"}[30s])`, Bound{Above: num(1)}, 0}},
		{Field: &Field{"deployment/shop/cart", "/spec/template/spec/late", Bound{Present: true}}},
		{Field: &Field{"deployment/shop/cart", "/spec/paused", Bound{Equals: word("true")}}},
		{Event: &EventLike{Reason: "Evicted", About: "pod/shop/cart-*", Text: regexp.MustCompile("low on resource")}},
		{Line: &LineLike{Of: "kernel/worker-*", Text: regexp.MustCompile(`Killed process`)}},
		{Entry: &EntryLike{Kind: "leader-changed"}},
		{Metric: &Metric{"cp-1", "etcd_server_has_leader", Bound{Below: num(1)}, 0}},
		{Probe: &Probe{"users", ProbeFailed, Bound{Above: num(0.1)}, 0}},
	}
	recorded := `rate(http_requests_total{service="cart",code="503"}[30s])`
	for name, c := range map[string]struct {
		r    Reference
		says string // of the refusal; "": it supports
	}{
		"a comparison":                    {Reference{Query: "(" + recorded + ") > 0.5"}, ""},
		"no comparison":                   {Reference{Query: recorded}, "before the incident as well"},
		"never so high":                   {Reference{Query: recorded + " > 50"}, "no result during"},
		"another metric":                  {Reference{Query: `up{job="etcd"} < 1`}, "something else"},
		"a query never run":               {Reference{Query: `http_requests_total > 3`}, "could not be run"},
		"from before":                     {Reference{Object: "deploy/shop/cart", Field: "/spec/paused"}, "as true before"},
		"a narrower query, not of errors": {Reference{Query: `rate(http_requests_total{service="cart"}[30s]) > 0`}, "could not be run"},
		"the field's parent":              {Reference{Object: "deploy/shop/cart", Field: "/spec/template/spec"}, ""},
		"the whole object":                {Reference{Object: "deploy/shop/cart"}, "something else"},
		"another object":                  {Reference{Object: "deploy/shop/user", Field: "/spec/template/spec/late"}, "something else"},
		"the event":                       {Reference{Event: &EventRef{"Evicted", "pod/shop/cart-1", ""}}, ""},
		"event, other text":               {Reference{Event: &EventRef{"Evicted", "pod/shop/cart-2", ""}}, "something else"},
		"event of before":                 {Reference{Event: &EventRef{"Evicted", "pod/shop/user-1", ""}}, "no such event"},
		"event that never was":            {Reference{Event: &EventRef{"OOMKilling", "pod/shop/cart-1", ""}}, "no such event"},
		"the line":                        {Reference{Log: &LogRef{"kernel/worker-1", "out of memory"}}, ""},
		"a line of another log":           {Reference{Log: &LogRef{"pod/shop/cart-1", "listening"}}, "something else"},
		"a line that never was":           {Reference{Log: &LogRef{"kernel/worker-1", "panic"}}, "no such line"},
		"too short a text":                {Reference{Log: &LogRef{"kernel/worker-1", "e"}}, "at least 4"},
		"an entry":                        {Reference{Entry: &EntryRef{Seq: 7}}, ""},
		"an entry by words":               {Reference{Entry: &EntryRef{Kind: "leader-changed", Subject: "etcd"}}, ""},
		"no entry":                        {Reference{Entry: &EntryRef{Seq: 8}}, "no such entry"},
		"etcd":                            {Reference{Etcd: &MetricRef{"cp-1", "etcd_server_has_leader"}}, ""},
		"another member":                  {Reference{Etcd: &MetricRef{"cp-2", "etcd_server_has_leader"}}, "something else"},
		"the probe":                       {Reference{Probe: &ProbeRef{"users", "failed"}}, ""},
		"the probe, other":                {Reference{Probe: &ProbeRef{"users", "p99"}}, "something else"},
		"nothing":                         {Reference{}, "exactly one"},
		"two things":                      {Reference{Query: "up", Probe: &ProbeRef{"users", "p99"}}, "exactly one"},
	} {
		got := Supports(&c.r, witnesses, recording(), quiet, during)
		if got.Supports != (c.says == "") || !strings.Contains(got.Why, c.says) {
			t.Errorf("%s: %+v, want %q", name, got, c.says)
		}
		if c.says == "" && got.At.IsZero() {
			t.Errorf("%s: it has no time", name)
		}
	}
}

func TestQueriesTellWhatTheyAreAbout(t *testing.T) {
	for q, want := range map[string]struct{ metrics, labels string }{
		`sum by (le) (rate(http_request_duration_seconds_bucket{service="cart",code=~"5.."}[1m])) > 2`: {"http_request_duration_seconds_bucket", "service=cart"},
		`up == 0 and on(node) kube_x offset 5m`:                                                        {"up kube_x", ""},
		`{__name__="a",x='y'} / ignoring(le) b_total`:                                                  {"a b_total", "x=y"},
		`histogram_quantile(0.99, sum(rate(a[1m])) by (le))`:                                           {"a", ""},
		`label_replace(a, "b", "c", "d", "e")`:                                                         {"a", ""},
	} {
		got, err := parseQuery(q)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		labels := ""
		for name, v := range got.labels {
			labels += name + "=" + strings.Join(v, "|")
		}
		if strings.Join(got.metrics, " ") != want.metrics || labels != want.labels {
			t.Errorf("%s: %v %v", q, got.metrics, labels)
		}
	}
	for _, q := range []string{"", "1", "a{", "a{b}", "a{b=c}", "a{b=\"c}", "a)", "(a", strings.Repeat("a", 2000), "a\xff"} {
		if s, err := parseQuery(q); err == nil {
			t.Errorf("%q: %+v", q, s)
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, q := range []string{`sum by (le) (rate(a{b="c"}[1m])) > 2`, "a{", "(", `"`, "by(", "a without (b)"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		s, err := parseQuery(q)
		if err == nil && (len(s.metrics) == 0 || slices.Contains(s.metrics, "")) {
			t.Errorf("%q: %v", q, s.metrics)
		}
	})
}

func TestQuantitiesAreKubernetes(t *testing.T) {
	for text, want := range map[string]float64{"500m": 0.5, "64Mi": 64 << 20, "2": 2, "1k": 1000} {
		if got, ok := Quantity(text); !ok || got != want {
			t.Errorf("%s is %v", text, got)
		}
	}
	for _, text := range []string{"", "x", "NaN", "Inf", "Mi"} {
		if got, ok := Quantity(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestACertificateIsWrongInOneWay(t *testing.T) {
	for says, c := range map[string]Certificate{
		"secret/NAMESPACE": {Secret: "configmap/a/b", Wrong: CertificateExpired}, "with host": {Secret: "secret/a/b", Wrong: CertificateHost},
		"with issuer": {Secret: "secret/a/b", Wrong: CertificateIssuer}, "expired, wrong-host": {Secret: "secret/a/b", Wrong: "old"},
	} {
		if err := (&Predicate{Certificate: &c}).Check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	// What is no certificate is not wrong, it is nothing.
	o := &Recording{Objects: []Version{{Of: "secret/a/b", At: at(0), Object: map[string]any{"data": map[string]any{"tls.crt": "eA=="}}}}}
	p := Predicate{Certificate: &Certificate{Secret: "secret/a/b", Wrong: CertificateExpired}}
	if got, err := p.CameTrue(o, during); err != nil || got.True || !strings.Contains(got.Fact, "no certificate") {
		t.Errorf("%+v %v", got, err)
	}
}

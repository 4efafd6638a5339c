package experiment

import (
	"strings"
	"testing"
	"time"

	"zdl/internal/load"
	"zdl/internal/probe"
	"zdl/internal/timeline"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

func duration(d time.Duration) *time.Duration { return &d }

// seen is a run with one outage of 100 to 120 ms.
func seen() *Observation {
	return &Observation{
		Began: t0, Injected: at(5 * time.Second), Healed: at(20 * time.Second), Steady: at(12 * time.Second), Ended: at(30 * time.Second),
		Sent: 3000, Failed: 10, Outages: []probe.Outage{{ID: 1, LowerMS: 100, UpperMS: 120, Began: at(5 * time.Second)}},
		Entries: []timeline.Entry{
			{Wall: at(4 * time.Second), Kind: "pod-ready", Subject: "web/web-0"},
			{Wall: at(6 * time.Second), Kind: "pod-gone", Subject: "web/web-1"},
			{Wall: at(7500 * time.Millisecond), Kind: "pod-ready", Subject: "web/web-9"},
		},
	}
}

func number(n int) *int { return &n }

// written is a measurement of the API with some writes and degraded answers.
func written(n int64, degraded map[string]int) map[string]probe.Report {
	return map[string]probe.Report{"api": {
		Lanes:        []probe.Summary{{Lane: "reused+write", Sent: n}, {Lane: "reused", Sent: 1000}},
		Degradations: []probe.Degradation{{Outage: probe.Outage{ByClass: degraded}}},
	}}
}

func TestTheKneeIsWhereItStaysSlow(t *testing.T) {
	ramp := load.Schedule{Stages: []load.Stage{{For: 20 * time.Second, From: 0, To: 200}}}
	run := func(change func(i int, s *load.SecondResult)) []load.SecondResult {
		var out []load.SecondResult
		for i := range 20 {
			s := load.SecondResult{Second: i, Sent: int64(10*i + 5), P99: 20}
			change(i, &s)
			out = append(out, s)
		}
		return out
	}
	for name, c := range map[string]struct {
		change func(int, *load.SecondResult)
		rate   float64
		found  bool
	}{
		"none":                   {func(int, *load.SecondResult) {}, 195, false},
		"one slow second":        {func(i int, s *load.SecondResult) { s.P99 += map[bool]float64{true: 500}[i == 8] }, 195, false},
		"slow from the 10th on":  {func(i int, s *load.SecondResult) { s.P99 += map[bool]float64{true: 500}[i >= 10] }, 105, true},
		"failing from the 12th":  {func(i int, s *load.SecondResult) { s.Failed = map[bool]int64{true: s.Sent / 2}[i >= 12] }, 125, true},
		"the generator is first": {func(i int, s *load.SecondResult) { s.Late = map[bool]int64{true: s.Sent}[i >= 9] }, 95, false},
	} {
		b, err := kneeOf(run(c.change), &ramp)
		if err != nil || b.rate != c.rate || b.found != c.found {
			t.Errorf("%s: %+v %v, want %g", name, b, err, c.rate)
		}
	}
	if _, err := kneeOf(nil, &ramp); err == nil {
		t.Error("a knee without a load")
	}
}

func TestVerdicts(t *testing.T) {
	e := func(kind, subject string) Event {
		out := Event{Kind: kind}
		if subject != "" {
			var p pattern
			if err := p.UnmarshalYAML(scalar(subject)); err != nil {
				t.Fatal(err)
			}
			out.Subject = p.Regexp
		}
		return out
	}
	for _, c := range []struct {
		name   string
		expect Expectation
		change func(*Observation)
		want   Outcome
		says   string
	}{
		{"outage surely within", Expectation{Outage: &Length{AtMost: duration(120 * time.Millisecond)}}, nil, Pass, "between 100ms and 120ms"},
		{"outage surely longer", Expectation{Outage: &Length{AtMost: duration(99 * time.Millisecond)}}, nil, Fail, "between"},
		{"the bounds do not decide", Expectation{Outage: &Length{AtMost: duration(110 * time.Millisecond)}}, nil, Fail, "do not decide"},
		{"none at all", Expectation{Outage: &Length{AtMost: duration(0)}}, func(o *Observation) { o.Outages = nil }, Pass, "not one request failed"},
		{"one failed request is not none", Expectation{Outage: &Length{AtMost: duration(0)}}, func(o *Observation) { o.Outages[0].LowerMS = 0 }, Fail, "do not decide"},
		{"an expected outage", Expectation{Outage: &Length{AtLeast: duration(100 * time.Millisecond)}}, nil, Pass, ""},
		{"an expected outage that is only possible", Expectation{Outage: &Length{AtLeast: duration(110 * time.Millisecond)}}, nil, Fail, "do not decide"},
		{"an outage that is still open", Expectation{Outage: &Length{AtMost: duration(10 * time.Second)}},
			func(o *Observation) { o.Outages[0].Open, o.Outages[0].UpperMS = true, 0 }, Fail, "do not decide"},
		{"sum and longest", Expectation{Longest: &Length{AtMost: duration(120 * time.Millisecond)}},
			func(o *Observation) { o.Outages = append(o.Outages, o.Outages[0]) }, Pass, ""},
		{"share kept", Expectation{Failed: &Share{AtMost: share(0.004)}}, nil, Pass, "10 of 3000"},
		{"share broken", Expectation{Failed: &Share{AtMost: share(0.003)}}, nil, Fail, ""},
		{"recovered of the fault", Expectation{Recovery: &Within{7 * time.Second, "fault"}}, nil, Pass, "after 7s"},
		{"recovered too late", Expectation{Recovery: &Within{6 * time.Second, "fault"}}, nil, Fail, ""},
		{"recovered before the undo", Expectation{Recovery: &Within{time.Second, "heal"}}, nil, Pass, "after 0s"},
		{"never recovered", Expectation{Recovery: &Within{time.Hour, "fault"}}, func(o *Observation) { o.Steady = time.Time{} }, Fail, "did not become steady"},
		{"event in time, the earlier one does not count", Expectation{Event: &Seen{Event: e("pod-ready", "web/.*"), Within: 3 * time.Second}}, nil, Pass, "after 2.5s"},
		{"event too late", Expectation{Event: &Seen{Event: e("pod-ready", ""), Within: 2 * time.Second}}, nil, Fail, "after 2.5s"},
		{"too few events", Expectation{Event: &Seen{Event: e("pod-ready", ""), Count: 2}}, nil, Fail, "there were 1"},
		{"an event of another", Expectation{Event: &Seen{Event: e("pod-ready", "web")}}, nil, Fail, "none"},
		{"what shall not be", Expectation{Event: &Seen{Event: e("node-not-ready", ""), Never: true}}, nil, Pass, "none"},
		{"what shall not be was", Expectation{Event: &Seen{Event: e("pod-gone", ""), Never: true}}, nil, Fail, "after 1s"},
		{"nobody watched", Expectation{Event: &Seen{Event: e("pod-gone", ""), Never: true}}, func(o *Observation) { o.Entries = nil }, Fail, "empty"},
		{"a share that is expected", Expectation{Failed: &Share{AtLeast: share(0.003)}}, nil, Pass, "10 of 3000"},
		{"an event too soon", Expectation{Event: &Seen{Event: e("pod-ready", ""), NotBefore: 3 * time.Second}}, nil, Fail, "after 2.5s"},
		{"an event late enough", Expectation{Event: &Seen{Event: e("pod-ready", ""), NotBefore: 2 * time.Second, Within: 3 * time.Second}}, nil, Pass, "after 2.5s"},
		{"few enough events", Expectation{Event: &Seen{Event: e("pod-ready", ""), AtMost: number(1)}}, nil, Pass, "there were 1"},
		{"too many events", Expectation{Event: &Seen{Event: e("pod-ready", ""), AtMost: number(0)}}, nil, Fail, "there were 1"},
		{"another leader", Expectation{Leader: &Leader{"etcd", 4 * time.Second}},
			func(o *Observation) {
				o.Entries = append(o.Entries, timeline.Entry{Wall: at(8 * time.Second), Kind: "leader-changed", Subject: "etcd"})
			}, Pass, "after 3s"},
		{"no other leader", Expectation{Leader: &Leader{"etcd", 4 * time.Second}}, nil, Fail, "none"},
		{"an alert that nobody sent", Expectation{Alert: &Alert{"KubeNodeNotReady", time.Minute}}, nil, Fail, "none"},
		{"an alert", Expectation{Alert: &Alert{"KubeNodeNotReady", time.Minute}},
			func(o *Observation) {
				o.Entries = append(o.Entries, timeline.Entry{Wall: at(30 * time.Second), Kind: "alert", Subject: "KubeNodeNotReady"})
			}, Pass, "after 25s"},
		{"another subject that was not measured", Expectation{Outage: &Length{Of: "api", AtMost: duration(time.Hour)}}, nil, Fail, "not measured"},
		{"another subject that was down", Expectation{Outage: &Length{Of: "api", AtLeast: duration(2 * time.Second)}},
			func(o *Observation) {
				o.Probes = map[string]probe.Report{"api": {Outages: []probe.Outage{{Began: at(6 * time.Second), LowerMS: 2500, UpperMS: 2600}, {Began: at(7 * time.Second), LowerMS: 9000, UpperMS: 9000, Partial: true}}}}
			}, Pass, "between 2.5s"},
		{"nothing lost", Expectation{Lost: &Lost{"api"}}, func(o *Observation) { o.Probes = written(100, nil) }, Pass, "100 writes"},
		{"too few writes to tell", Expectation{Lost: &Lost{"api"}}, func(o *Observation) { o.Probes = written(5, nil) }, Fail, "too few"},
		{"a write that was lost", Expectation{Lost: &Lost{"api"}}, func(o *Observation) { o.Probes = written(100, map[string]int{"stale": 2}) }, Fail, "2 answers"},
		{"no write was made", Expectation{Lost: &Lost{"api"}}, nil, Fail, "no write"},
		{"no load, no verdict", Expectation{Load: &Passed{}}, nil, Fail, "no load"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := seen()
			if c.change != nil {
				c.change(o)
			}
			got, verdicts := Judge(&Experiment{Expect: []Expectation{c.expect}}, o)
			if got != c.want || !strings.Contains(verdicts[0].Observed, c.says) {
				t.Errorf("%s: %+v; want %s and %q", got, verdicts[0], c.want, c.says)
			}
		})
	}
}

func TestWhatProvesNothingIsVoid(t *testing.T) {
	e := &Experiment{Expect: []Expectation{{Failed: &Share{AtMost: share(1)}}}}
	for name, change := range map[string]func(*Observation){
		"a fault was not proven": func(o *Observation) { o.Void = "pod-kill was not proven" },
		"no request":             func(o *Observation) { o.Sent = 0 },
		"the prober slept":       func(o *Observation) { o.Missed = 200 },
		"the load is not valid":  func(o *Observation) { o.Load = &load.Result{Invalid: "late"} },
	} {
		o := seen()
		change(o)
		if got, _ := Judge(e, o); got != Void || o.Void == "" {
			t.Errorf("%s: %s %q, want void with a reason", name, got, o.Void)
		}
	}
	o := seen()
	o.Left = []string{"link eth0 is down"}
	if got, v := Judge(e, o); got != Fail || len(v) != 2 {
		t.Errorf("with something left behind: %s %+v", got, v)
	}
	o = seen()
	o.Aborted = "interrupted"
	if got, _ := Judge(e, o); got != Fail {
		t.Errorf("aborted: %s", got)
	}
}

func TestMedianIntervalHoldsTheMedian(t *testing.T) {
	// Conover, Practical Nonparametric Statistics, table A3: for n = 20 and 5 % a
	// side the 6th and the 15th value.
	for n, want := range map[int][2]int{1: {0, 0}, 4: {0, 3}, 5: {0, 4}, 8: {1, 6}, 20: {5, 14}} {
		if low, high := medianInterval(n); low != want[0] || high != want[1] {
			t.Errorf("n = %d: %d and %d, want %v", n, low, high, want)
		}
	}
}

package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"zdl/internal/cause"
	"zdl/internal/timeline"
)

// story is a short timeline: an attack, something heard of late, an outage.
func story() []timeline.Entry {
	at := func(seq int64, ms float64, kind, subject, text string) timeline.Entry {
		return timeline.Entry{Seq: seq, Run: 1, MonoMS: ms, Wall: time.Now().Add(time.Duration(ms-20_000) * time.Millisecond), Kind: kind, Subject: subject, Text: text}
	}
	out := []timeline.Entry{
		at(1, 500, "lab", "lab", "long before"),
		at(2, 10_000, "fault-intent", "lb-1", "somebody: node-power-off on lb-1 for 5s"),
		at(3, 10_350, "address-moved", "users' virtual IP", "lb-2 answers for it"),
		at(4, 10_400, "ingress-programmed", "ingress on worker-1", "leads to one"),
		at(5, 11_000, "outage-ended", "service", "The service was down"),
	}
	out[1].Fields = map[string]string{"attack": "f1"}
	out[3].AtMS, out[3].Detail = 10_100, true
	return out
}

func TestTimelineRelatesTimesToAnAttackAndSortsByWhatHappenedFirst(t *testing.T) {
	a, stdout, stderr := testApp(t)
	fakeDaemon(t, a, "default", map[string]any{"GET /api/v1/timeline": story()})
	if code := run(t, a, "timeline", "--attack", "f1"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	want := `        +0 ms  fault-intent        lb-1                      somebody: node-power-off on lb-1 for 5s
      +100 ms  ingress-programmed  ingress on worker-1       leads to one
      +350 ms  address-moved       users' virtual IP         lb-2 answers for it
     +1000 ms  outage-ended        service                   The service was down
`
	if stdout.String() != want {
		t.Errorf("got\n%s\nwant\n%s", stdout, want)
	}
	if code := run(t, a, "timeline", "--attack", "f9"); code != exitFailure || !strings.Contains(stderr.String(), `no attack "f9"`) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestTimelineChooses(t *testing.T) {
	a, stdout, stderr := testApp(t)
	fakeDaemon(t, a, "default", map[string]any{"GET /api/v1/timeline": story()})
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "1 2 4 3 5"},
		{[]string{"--kind", "fault-*,outage-ended"}, "2 5"},
		{[]string{"--since", "3"}, "4 5"},
		{[]string{"--since", "11s"}, "2 4 3 5"},
		{[]string{"--since", "2999-01-01T00:00:00Z"}, ""},
		{[]string{"--brief", "--attack", "f1"}, "2 3 5"},
	} {
		stdout.Reset()
		if code := run(t, a, append([]string{"timeline", "-o", "json"}, c.args...)...); code != exitOK {
			t.Fatalf("%v: exit code %d: %s", c.args, code, stderr)
		}
		var entries []timeline.Entry
		if err := json.Unmarshal(stdout.Bytes(), &entries); err != nil || entries == nil {
			t.Fatalf("%v: %v: %s", c.args, err, stdout)
		}
		var got []string
		for _, e := range entries {
			got = append(got, string(rune('0'+e.Seq)))
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%v gives %q, want %q", c.args, g, c.want)
		}
	}
	for _, args := range [][]string{{"--since", "yesterday"}, {"--since", "-5m"}, {"--outage", "1", "--attack", "f1"}} {
		if code := run(t, a, append([]string{"timeline"}, args...)...); code == exitOK {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestTimelineBreaksAnOutageDown(t *testing.T) {
	a, stdout, stderr := testApp(t)
	b := cause.Breakdown{
		Outage: cause.Outage{ID: 7, Subject: "service", Lower: 271, Upper: 319}, SumMS: 309,
		Fault: &cause.Fault{Text: "somebody: node-power-off on lb-1 for 15s"}, EndedBy: "lb-2 answers for the users' virtual IP now.",
		Lead: []cause.Part{{From: -6, To: 0, MS: 6, What: "users were still served", Known: true}},
		Parts: []cause.Part{
			{To: 273, MS: 273, What: "detected by VRRP", Known: true, Owners: []cause.Setting{{Name: "advert_int", Value: "0.1 s", Where: "keepalived.conf"}}},
			{From: 273, To: 309, MS: 36, What: "first success", Known: true}},
		Notes: []string{"A note."},
	}
	fakeDaemon(t, a, "default", map[string]any{"GET /api/v1/outages/7/cause": b})
	if code := run(t, a, "timeline", "--outage", "7"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	want := `Outage 7 of the service: between 271 ms and 319 ms; 309 ms from the first failed request to the first success
began with  somebody: node-power-off on lb-1 for 15s
ended by    lb-2 answers for the users' virtual IP now.

FROM     TO       TAKES   UNTIL                                               DECIDED BY
-6 ms    +0 ms    6 ms    users were still served                             
+0 ms    +273 ms  273 ms  detected by VRRP                                    advert_int = 0.1 s (keepalived.conf)
+273 ms  +309 ms  36 ms   first success                                       
                  309 ms  from the first failed request to the first success  

A note.
`
	if stdout.String() != want {
		t.Errorf("got\n%s\nwant\n%s", stdout, want)
	}
}

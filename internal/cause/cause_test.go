package cause

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/timeline"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// inForce are the settings of the recorded lab.
var inForce = Settings{
	Readiness:   {"readinessProbe.periodSeconds × failureThreshold", "1 s × 2", "pods"},
	NodeGrace:   {"--node-monitor-grace-period", "50s", "kube-controller-manager"},
	IngressPoll: {"-source-poll-timeout", "1000 ms", "skipper-ingress"},
	BackendFall: {"inter, fastinter, fall", "1 s, 250 ms, 2", "haproxy.cfg"},
	VRRP:        {"advert_int", "0.1 s", "keepalived.conf"},
}

// TestRecorded explains the outages of timelines that were recorded on a real lab.
// The transcripts beside them are to be read by people.
func TestRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var entries []timeline.Entry
			if err := json.Unmarshal(data, &entries); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for i := range entries {
				if o, ok := FromEntry(&entries[i]); ok {
					b := Explain(o, entries, inForce)
					covers(t, b)
					transcribe(&got, b)
				}
			}
			golden := strings.TrimSuffix(file, ".json") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

func transcribe(w *strings.Builder, b Breakdown) {
	fmt.Fprintf(w, "outage %d: %.1f ms\n", b.Outage.ID, b.SumMS)
	if b.Fault != nil {
		fmt.Fprintf(w, "  fault %+.1f ms: %s\n", b.Fault.AtMS, b.Fault.Text)
	}
	fmt.Fprintf(w, "  ended by: %s\n", b.EndedBy)
	for _, p := range append(append([]Part{}, b.Lead...), b.Parts...) {
		fmt.Fprintf(w, "  %+9.1f … %+9.1f  %8.1f  %s", p.From, p.To, p.MS, p.What)
		for _, o := range p.Owners {
			fmt.Fprintf(w, "  [%s = %s]", o.Name, o.Value)
		}
		fmt.Fprintln(w)
	}
	for _, n := range b.Notes {
		fmt.Fprintf(w, "  note: %s\n", n)
	}
}

// covers checks what holds of every breakdown: parts follow each other without
// gaps from the first failure to the first success, and sum up to that.
func covers(t *testing.T, b Breakdown) {
	t.Helper()
	at := 0.0
	if len(b.Lead) > 0 {
		at = b.Lead[0].From
	}
	sum := 0.0
	for i, p := range append(append([]Part{}, b.Lead...), b.Parts...) {
		if i == len(b.Lead) && at != 0 {
			t.Errorf("the lead ends at %v", at)
		}
		if p.From != at || p.To < p.From || math.Abs(p.MS-(p.To-p.From)) > 0.0015 || p.What == "" {
			t.Errorf("part %d is %+v, after one that ends at %v", i, p, at)
		}
		if !p.Known && !strings.Contains(p.What, "unknown") {
			t.Errorf("part %d does not say that it is unknown: %+v", i, p)
		}
		if i >= len(b.Lead) {
			sum += p.MS
		}
		at = p.To
	}
	if whole := b.Outage.After - b.Outage.First; len(b.Parts) == 0 || math.Abs(at-whole) > 0.0015 || math.Abs(sum-whole) > 0.01 || math.Abs(b.SumMS-whole) > 0.01 {
		t.Errorf("parts end at %v and sum up to %v, the outage is %v", at, sum, whole)
	}
}

// story builders
func entry(at float64, kind, subject string, fields ...string) timeline.Entry {
	e := timeline.Entry{Seq: int64(at * 10), Run: 1, MonoMS: at, Kind: kind, Subject: subject, Text: kind + " of " + subject, Fields: map[string]string{}}
	for i := 0; i+1 < len(fields); i += 2 {
		e.Fields[fields[i]] = fields[i+1]
	}
	return e
}

func change(at float64, k cluster.ChangeKind, subject string, fields ...string) timeline.Entry {
	return entry(at, string(k), subject, fields...)
}

// attack is the intent of an attack, lasting until it is healed.
func attack(at float64, kind string) timeline.Entry {
	e := entry(at, fault.EntryIntent, "worker-1", "attack", "f1", "kind", kind)
	e.Text += " until it is healed"
	return e
}

func TestExplain(t *testing.T) {
	gone := []timeline.Entry{
		change(1500, cluster.Event, "web/web-1", "reason", "Unhealthy", "node", "worker-1"),
		change(1700, cluster.EndpointNotReady, "web/web", "pod", "web-1", "address", "198.19.1.2", "node", "worker-1"),
		change(900, cluster.IngressProgrammed, "ingress on worker-2", "node", "worker-2", "endpoints", "198.19.1.2 198.19.2.2"),
		change(2400, cluster.IngressProgrammed, "ingress on worker-2", "node", "worker-2", "endpoints", "198.19.2.2"),
	}
	gone[0].Text = "Pod web/web-1: Readiness probe failed (Unhealthy)"
	for _, c := range []struct {
		name    string
		subject string
		entries []timeline.Entry
		want    string // UNTIL of the parts, and ? for unknown ones
	}{
		{"nothing known", "", nil, "0-2000 first success ?"},
		{"a frozen pod, found by its readiness probe", "", append(gone, attack(1000, "pod-freeze")),
			"0-500 detected by the readiness probe of web/web-1; 500-700 the endpoint was removed: web-1; 700-1400 the ingress on worker-2 was programmed; 1400-2000 first success"},
		{"the same, the probe's Event was lost", "", append(gone[1:], attack(1000, "pod-freeze")),
			"0-700 the endpoint was removed: web-1 ?; 700-1400 the ingress on worker-2 was programmed; 1400-2000 first success"},
		{"a node that is silent for too long", "", append([]timeline.Entry{change(1600, cluster.NodeNotReady, "worker-1", "node", "worker-1"), attack(1000, "node-power-off")}, gone[1:]...),
			"0-600 detected by the node lifecycle controller: node worker-1 was silent for too long; 600-700 the endpoint was removed: web-1; 700-1400 the ingress on worker-2 was programmed; 1400-2000 first success"},
		{"the load balancer's check", "", []timeline.Entry{attack(990, "node-power-off"),
			change(1800, cluster.CheckFailed, "ingress/worker-1", "backend", "ingress", "server", "worker-1", "node", "lb-1"),
			change(2100, cluster.BackendDown, "ingress/worker-1", "backend", "ingress", "server", "worker-1", "node", "lb-1"),
			change(2500, cluster.BackendDown, "ingress/worker-1", "backend", "ingress", "server", "worker-1", "node", "lb-2", "standby", "true")},
			"-10-0 users were still served; 0-800 detected by HAProxy's health check: the first one failed; 800-1100 HAProxy took ingress/worker-1 out; 1100-2000 first success"},
		{"a virtual IP that moves", "", []timeline.Entry{attack(1000, "edge-power-off"), change(1350, cluster.AddressMoved, "users' virtual IP", "name", "users", "node", "lb-2"),
			change(1360, cluster.AddressMoved, "API's virtual IP", "name", "api", "node", "lb-2")},
			"0-350 detected by VRRP: lb-2 took the users' virtual IP; 350-2000 first success ?"},
		{"healed", "", []timeline.Entry{attack(1000, "partition"), entry(2500, fault.EntryUndone, "worker-1", "attack", "f1")},
			"0-1500 the fault was taken back; 1500-2000 first success"},
		{"requests were under way", "", []timeline.Entry{attack(1200, "edge-power-off"), change(1550, cluster.AddressMoved, "users' virtual IP", "name", "users", "node", "lb-2")},
			"0-200 requests under way when the fault struck; 200-550 detected by VRRP: lb-2 took the users' virtual IP; 550-2000 first success"},
		{"etcd's leader, for writes", "api-writes", []timeline.Entry{attack(1000, "etcd-leader-kill"), change(2100, cluster.LeaderLost, "etcd", "term", "2"),
			change(2200, cluster.LeaderMoved, "etcd", "term", "3", "node", "cp-2")},
			"0-1100 detected by etcd: the leader is missed; 1100-1200 etcd elected a leader; 1200-2000 first success"},
		{"etcd's leader does not matter to users", "", []timeline.Entry{change(2200, cluster.LeaderMoved, "etcd", "term", "3", "node", "cp-2")}, "0-2000 first success ?"},
		{"another run of the daemon", "", func() []timeline.Entry {
			e := change(1350, cluster.AddressMoved, "users' virtual IP", "name", "users", "node", "lb-2")
			e.Run = 2
			return []timeline.Entry{e}
		}(), "0-2000 first success ?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Outage{ID: 1, Subject: "service", Run: 1, Before: 990, First: 1000, Last: 2900, After: 3000}
			if c.subject != "" {
				o.Subject = c.subject
			}
			b := Explain(o, c.entries, nil)
			covers(t, b)
			var got []string
			for _, p := range append(append([]Part{}, b.Lead...), b.Parts...) {
				what, _, _ := strings.Cut(p.What, " (unknown")
				if !p.Known {
					what += " ?"
				}
				got = append(got, fmt.Sprintf("%.0f-%.0f %s", p.From, p.To, what))
				for _, w := range p.Owners {
					if w.Name == "" || w.Value != Unknown {
						t.Errorf("owner %+v without settings", w)
					}
				}
			}
			if g := strings.Join(got, "; "); g != c.want {
				t.Errorf("got  %s\nwant %s", g, c.want)
			}
		})
	}
}

func TestANewPodIsFollowedFromItsCreation(t *testing.T) {
	entries := []timeline.Entry{
		entry(1000, timeline.KindKill, "web-1", "deleteMs", "50"),
		change(1010, cluster.PodGone, "web/web-1"),
		change(1020, cluster.EndpointRemoved, "web/web", "pod", "web-1", "address", "198.19.1.2", "node", "worker-1"),
		change(1100, cluster.IngressProgrammed, "ingress on worker-2", "node", "worker-2", "endpoints", ""),
		change(1030, cluster.PodCreated, "web/web-2"), change(1060, cluster.PodScheduled, "web/web-2"),
		change(1900, cluster.PodRunning, "web/web-2"), change(2300, cluster.PodReady, "web/web-2"),
		change(2310, cluster.EndpointAdded, "web/web", "pod", "web-2", "address", "198.19.1.3", "node", "worker-1"),
		change(2700, cluster.IngressProgrammed, "ingress on worker-2", "node", "worker-2", "endpoints", "198.19.1.3"),
		change(2800, cluster.IngressProgrammed, "ingress on worker-1", "node", "worker-1", "endpoints", "198.19.1.3"),
	}
	b := Explain(Outage{ID: 1, Subject: "service", Run: 1, First: 1000, After: 2900}, entries, inForce)
	covers(t, b)
	var got []string
	for _, p := range b.Parts {
		got = append(got, fmt.Sprintf("%.0f %s", p.MS, p.What))
	}
	want := "10 the pod was deleted: web/web-1; 10 the endpoint was removed: web-1; 10 the ReplicaSet made a new pod: web/web-2; 30 the scheduler chose a node: web/web-2; " +
		"840 the container was started: web/web-2; 400 the readiness probe succeeded: web/web-2; 10 the endpoint was added: web-2; 390 the ingress on worker-2 was programmed; 200 first success"
	if g := strings.Join(got, "; "); g != want {
		t.Errorf("got  %s\nwant %s", g, want)
	}
	if b.Fault == nil || b.Fault.Kind != "pod-kill" || b.Fault.AtMS != -50 {
		t.Errorf("fault %+v", b.Fault)
	}
}

// TestPartsAlwaysCoverTheOutage throws entries together by chance.
func TestPartsAlwaysCoverTheOutage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	kinds := []string{fault.EntryIntent, fault.EntryUndone, timeline.KindKill, timeline.KindPower}
	for _, k := range []cluster.ChangeKind{cluster.AddressMoved, cluster.BackendDown, cluster.BackendUp, cluster.CheckFailed, cluster.IngressProgrammed,
		cluster.EndpointAdded, cluster.EndpointRemoved, cluster.EndpointNotReady, cluster.PodReady, cluster.PodCreated, cluster.PodRunning, cluster.PodGone,
		cluster.PodScheduled, cluster.PodDeleting, cluster.NodeNotReady, cluster.LeaderMoved, cluster.LeaderLost, cluster.ProxyProgrammed, cluster.ViewStale} {
		kinds = append(kinds, string(k))
	}
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	for range 20_000 {
		first := 1000 + 1000*r.Float64()
		o := Outage{ID: 1, Subject: pick("service", "api-writes", "dns"), Run: 1, First: first, After: first + 3000*r.Float64()}
		var entries []timeline.Entry
		for range r.IntN(25) {
			e := entry(5000*r.Float64(), pick(kinds...), pick("web/web", "web/web-1", "etcd", "ingress/worker-1"),
				"attack", pick("f1", "f2"), "kind", "x", "pod", pick("web-1", "web-2"), "node", pick("worker-1", "worker-2"), "address", pick("1", "2"),
				"endpoints", pick("", "1", "1 2"), "backend", pick("ingress", "apiservers"), "name", pick("users", "api"), "deleteMs", pick("", "40"))
			if r.IntN(2) == 0 {
				e.AtMS = e.MonoMS - 100*r.Float64()
			}
			entries = append(entries, e)
		}
		b := Explain(o, entries, inForce)
		covers(t, b)
		if t.Failed() {
			t.Fatalf("outage %+v\nentries %+v\nbreakdown %+v", o, entries, b)
		}
	}
}

func TestOutagesAreReadFromTheTimeline(t *testing.T) {
	e := entry(5000, timeline.KindOutageEnded, "service", "outage", "7", "beforeMs", "990.000", "firstMs", "1000", "lastMs", "2900", "afterMs", "3000.5", "lowerMs", "1900", "upperMs", "2010.5")
	o, ok := Find([]timeline.Entry{e}, "service", 7)
	if want := (Outage{7, "service", 1, 990, 1000, 2900, 3000.5, 1900, 2010.5}); !ok || o != want {
		t.Errorf("got %+v %v, want %+v", o, ok, want)
	}
	delete(e.Fields, "afterMs") // of an older version
	if _, ok := Find([]timeline.Entry{e}, "service", 7); ok {
		t.Error("an outage without its moments was read")
	}
	if _, ok := Find(nil, "service", 7); ok {
		t.Error("an outage was found in nothing")
	}
}

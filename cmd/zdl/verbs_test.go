package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/lab"
	"zdl/internal/probe"
	"zdl/internal/timeline"
	"zdl/internal/web"
)

func snapshot() cluster.Snapshot {
	pod := func(name, node string) cluster.Pod {
		return cluster.Pod{Namespace: "web", Name: name, UID: "uid-" + name, Node: node, Phase: "Running", Ready: true}
	}
	return cluster.Snapshot{
		Synced: true,
		Target: cluster.Target{Namespace: "web", Service: "web", Desired: 2, Ready: 2},
		Zones: []cluster.Zone{
			{Name: "zone-a", Nodes: []cluster.Node{
				{Name: "cp-1", ControlPlane: true, Ready: true, Address: "198.18.1.11", Power: cluster.PowerOn},
				{Name: "worker-1", Ready: true, Address: "198.18.1.12", Power: cluster.PowerOn, Pods: []cluster.Pod{pod("web-a", "worker-1")}},
			}},
			{Name: "zone-b", Nodes: []cluster.Node{
				{Name: "worker-2", Ready: false, Address: "198.18.2.11", Power: cluster.PowerOff, Pods: []cluster.Pod{pod("web-b", "worker-2")}},
			}},
		},
		Leaders:  []cluster.Leader{{Component: "kube-scheduler", Holder: "cp-1", Since: time.Now().Add(-time.Minute)}},
		Machines: []cluster.Machine{{Name: "lb-1", Kind: "edge", Holds: []string{"users", "api"}}, {Name: "lb-2", Kind: "edge"}},
	}
}

func TestStatusShowsServiceNodesLeadersAndAddresses(t *testing.T) {
	a, stdout, stderr := testApp(t)
	s := snapshot()
	fakeDaemon(t, a, "default", map[string]any{
		"GET /api/v1/status": web.Status{Name: "default", Target: s.Target, Leaders: s.Leaders, Nodes: web.NodeCount{Total: 3, Ready: 2},
			View: web.View{Synced: true}, Outages: 1,
			Lab:     lab.Status{Info: lab.Info{Page: "http://127.0.0.1:8420"}, Timing: "fast", EtcdLeader: "cp-1", Uptime: time.Hour, Versions: map[string]string{"kubernetes": "v1.36.3"}},
			Service: probe.Summary{Known: true, Up: true, OKShare: 0.9987, Measured: 100.2, P50MS: 2.13, P99MS: 11.7}},
		"GET /api/v1/snapshot": s,
	})
	if code := run(t, a, "status"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	want := `Lab default: http://127.0.0.1:8420 (watched over for 1 h 0 min, Kubernetes v1.36.3, timing fast)

service   up, 99.87 % of 100 requests a second answered in the last 10 s, p50 2.1 ms, p99 11.7 ms; 2 of 2 pods ready; 1 outage so far
cluster   2 of 3 nodes Ready
leader    etcd: cp-1
leader    kube-scheduler: cp-1, for 1 min 0 s
holds     virtual IPs of users, api: lb-1

ZONE    NODE      ROLE           STATUS    POWER  ADDRESS      SERVICE PODS
zone-a  cp-1      control-plane  Ready     on     198.18.1.11  
zone-a  worker-1  worker         Ready     on     198.18.1.12  web-a
zone-b  worker-2  worker         NotReady  off    198.18.2.11  web-b
`
	if stdout.String() != want {
		t.Errorf("got\n%s\nwant\n%s", stdout, want)
	}
	stdout.Reset()
	if code := run(t, a, "status", "-o", "json"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var r statusReport
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || r.Lab.Info.Page != "http://127.0.0.1:8420" || r.Lab.EtcdLeader != "cp-1" || !r.Service.Up || len(r.Snapshot.Zones) != 2 {
		t.Errorf("%v\n%s", err, stdout)
	}
}

func TestAnErrorOfTheAPIEndsAsOneSentence(t *testing.T) {
	a, _, stderr := testApp(t)
	fakeDaemon(t, a, "default", map[string]any{
		"GET /api/v1/status": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":"the lab is still booting","hint":"wait"}`)
		}),
	})
	if code := run(t, a, "status"); code != exitFailure || stderr.String() != "zdl: the lab is still booting (wait)\n" {
		t.Errorf("exit code %d: %q", code, stderr)
	}
}

func TestOpenPrintsTheAddress(t *testing.T) {
	a, stdout, _ := testApp(t)
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	fakeDaemon(t, a, "default", nil)
	if code := run(t, a, "open"); code != exitOK || stdout.String() != "http://127.0.0.1:8420\n" {
		t.Errorf("exit code %d: %q", code, stdout)
	}
}

func TestPowerOffOfSeveralNodesTellsWhatWorkedAndWhatDidNot(t *testing.T) {
	a, stdout, stderr := testApp(t)
	fakeDaemon(t, a, "default", map[string]any{
		"POST /api/v1/nodes/{name}/power": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var in web.PowerRequest
			if json.NewDecoder(r.Body).Decode(&in); in.On == nil || *in.On {
				t.Error("was not asked to switch off")
			}
			if name := r.PathValue("name"); name == "worker-9" {
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprint(w, `{"error":"There is no node worker-9.","hint":"zdl node list shows them."}`)
			} else {
				json.NewEncoder(w).Encode(web.PowerReply{Node: name, TookMS: 86.6})
			}
		}),
	})
	code := run(t, a, "node", "power-off", "worker-1", "worker-9")
	if code != exitFailure || stdout.String() != "worker-1 is off: all its processes were gone after 87 ms\n" ||
		stderr.String() != "zdl: There is no node worker-9. (zdl node list shows them.)\n" {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

// attacked is a lab in which pods are replaced some looks after they were killed.
func attacked(t *testing.T, a *app, outages []probe.Outage) (kills *atomic.Int32) {
	kills = &atomic.Int32{}
	var looks atomic.Int32
	fakeDaemon(t, a, "default", map[string]any{
		"GET /api/v1/snapshot": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			s := snapshot()
			for i := range kills.Load() {
				name := string(rune('a' + i))
				s.Pending = append(s.Pending, cluster.Pod{Namespace: "web", Name: "web-" + name + "2", UID: "new-" + name, Ready: looks.Add(1) > 4})
			}
			json.NewEncoder(w).Encode(s)
		}),
		"POST /api/v1/attacks": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var in fault.Request
			json.NewDecoder(r.Body).Decode(&in)
			if in.Kind != "pod-kill" || in.Params["grace"] != "0s" {
				t.Errorf("asked for %+v", in)
			}
			id := fmt.Sprintf("f%d", kills.Add(1))
			name := strings.TrimPrefix(in.Target, "web/")
			json.NewEncoder(w).Encode(fault.Attack{ID: id, Kind: in.Kind, State: fault.Happened, VerifyMS: 12,
				Targets: []fault.Target{{Type: "pod", Name: in.Target, UID: "uid-" + name, Node: "worker-1"}}})
		}),
		"GET /api/v1/outages": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("after") == "" {
				fmt.Fprint(w, `[{"id":3}]`)
				return
			}
			if r.URL.Query().Get("after") != "3" {
				t.Errorf("asked for outages after %s", r.URL.RawQuery)
			}
			json.NewEncoder(w).Encode(outages)
		}),
	})
	return kills
}

func TestAttackTellsDeletionReplacementAndThatUsersSawNothing(t *testing.T) {
	a, stdout, stderr := testApp(t)
	kills := attacked(t, a, []probe.Outage{})
	if code := run(t, a, "attack", "pod", "web-a"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	want := regexp.MustCompile(`^web/web-a on worker-1 was deleted \(confirmed after 12 ms\)
    replaced by web-a2, ready after [0-9 ]+ ms
The users saw nothing: not one request failed.
$`)
	if !want.Match(stdout.Bytes()) || kills.Load() != 1 {
		t.Errorf("%d kills\n%s", kills.Load(), stdout)
	}
}

func TestAttackOnAllTellsTheOutage(t *testing.T) {
	a, stdout, stderr := testApp(t)
	kills := attacked(t, a, []probe.Outage{{ID: 4, LowerMS: 1812.4, UpperMS: 1843, Failed: 182, ByClass: map[string]int{"503": 180, "refused": 2}}})
	if code := run(t, a, "attack", "pod", "--all", "-o", "json"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var r attackResult
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || len(r.Pods) != 2 || len(r.Outages) != 1 || !r.Waited || r.Pods[1].ReadyMS == 0 || r.Pods[0].Replacement == r.Pods[1].Replacement {
		t.Errorf("%v\n%s", err, stdout)
	}
	if kills.Load() != 2 {
		t.Errorf("%d kills", kills.Load())
	}
	stdout.Reset()
	a.printAttack(&r)
	r.Outages = append(r.Outages, probe.Outage{ID: 5, UpperMS: 9, Failed: 2}, probe.Outage{ID: 6, UpperMS: 9, Failed: 1})
	a.printAttack(&r)
	if want := "Further 3 requests failed between others that succeeded."; !strings.Contains(stdout.String(), want) {
		t.Errorf("%q is not in\n%s", want, stdout)
	}
	if want := "The service was down for between 1 812 ms and 1 843 ms: 182 failed requests (503 × 180, refused × 2)."; !strings.Contains(stdout.String(), want) {
		t.Errorf("%q is not in\n%s", want, stdout)
	}
}

func TestAttackSaysWhenItStopsWaiting(t *testing.T) {
	a, stdout, stderr := testApp(t)
	attacked(t, a, []probe.Outage{{ID: 4, Open: true, LowerMS: 10, Failed: 2}})
	if code := run(t, a, "attack", "pod", "--random", "--wait", "300ms"); code != exitFailure || !strings.Contains(stderr.String(), "not everything was back after 0.3 s") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if !strings.Contains(stdout.String(), "at least 10 ms so far") {
		t.Errorf("says %s", stdout)
	}
}

func TestWatchCountsSecondsAndTellsWhatHappens(t *testing.T) {
	a, stdout, stderr := testApp(t)
	slot := func(seq int64, end float64, class probe.Class) probe.Slot {
		return probe.Slot{Seq: seq, Start: end - 2, End: end, Class: class}
	}
	fakeDaemon(t, a, "default", map[string]any{
		"GET /api/v1/events": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			send := func(event string, v any) {
				b, _ := json.Marshal(v)
				fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, b)
			}
			send("timeline", []timeline.Entry{{Seq: 1, Kind: "kill", Text: "before the watch"}})
			send("probe", web.ProbeEvent{Summary: probe.Summary{NowMS: 1000, Known: true}, Slots: []probe.Slot{slot(0, 900, probe.OK)}, Outages: []probe.Outage{{ID: 1}}})
			send("probe", web.ProbeEvent{Summary: probe.Summary{NowMS: 1500, Known: true}, Slots: []probe.Slot{slot(1, 1200, probe.OK), slot(2, 1400, probe.Slow)}})
			send("timeline", []timeline.Entry{{Seq: 1, Text: "before the watch"}, {Seq: 2, Kind: "kill", Text: "somebody killed web-a"}})
			send("probe", web.ProbeEvent{Summary: probe.Summary{NowMS: 3100, Known: true}, Slots: []probe.Slot{slot(3, 1900, probe.ServerError), slot(4, 2500, probe.OK)},
				Outages: []probe.Outage{{ID: 2, LowerMS: 101, UpperMS: 700, Failed: 12, ByClass: map[string]int{"503": 12}}, {ID: 3, LowerMS: 0, UpperMS: 9, Failed: 1}}})
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}),
	})
	if code := run(t, a, "watch", "--for", "500ms", "-o", "json"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var seconds []watchSecond
	var events, outages []string
	for _, line := range strings.Split(strings.TrimSpace(stdout.String()), "\n") {
		var any struct {
			watchSecond
			Outage *probe.Outage
			Event  *timeline.Entry
		}
		if err := json.Unmarshal([]byte(line), &any); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		switch {
		case any.Outage != nil:
			outages = append(outages, fmt.Sprint(any.Outage.ID))
		case any.Event != nil:
			events = append(events, any.Event.Text)
		default:
			seconds = append(seconds, any.watchSecond)
		}
	}
	if len(seconds) != 2 || seconds[0].OK != 2 || seconds[0].Slow != 1 || seconds[0].Failed != 1 || seconds[1].OK != 1 || seconds[1].Failed != 0 {
		t.Errorf("seconds %+v", seconds)
	}
	if fmt.Sprint(events, outages) != "[somebody killed web-a] [2 3]" {
		t.Errorf("events %v, outages %v", events, outages)
	}
	stdout.Reset()
	if code := run(t, a, "watch", "--for", "500ms"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"somebody killed web-a", "part    3/s ok    2 failed    1", "The service was down for between 101 ms and 700 ms: 12 failed requests (503 × 12)."} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout.String(), "9 ms") {
		t.Errorf("a tiny interruption has a line:\n%s", stdout)
	}
}

package faults

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"zdl/internal/cause"
	"zdl/internal/fault"
	"zdl/internal/timeline"
	"zdl/internal/topology"
	"zdl/test/harness"
)

// entries reads the timeline since an attack began, as people do.
func entries(t *testing.T, lab *harness.Lab, a fault.Attack) []timeline.Entry {
	t.Helper()
	var out []timeline.Entry
	lab.ZdlJSON(t, &out, "timeline", "--attack", a.ID)
	return out
}

// told waits until the timeline tells something of a kind that fits, after an
// attack, and returns it.
func told(t *testing.T, lab *harness.Lab, a fault.Attack, kind string, limit time.Duration, fits func(timeline.Entry) bool) (found timeline.Entry) {
	t.Helper()
	harness.Eventually(t, "the timeline tells "+kind, limit, func(context.Context) error {
		begun := false
		for _, e := range entries(t, lab, a) {
			begun = begun || e.Kind == fault.EntryIntent && e.Fields["attack"] == a.ID
			if begun && e.Kind == kind && (fits == nil || fits(e)) {
				found = e
				return nil
			}
		}
		return errors.New("it does not")
	})
	return found
}

// longestOutage waits for the end of the longest outage that an attack caused;
// ID 0 if none was measured.
func longestOutage(t *testing.T, lab *harness.Lab, a fault.Attack) (longest cause.Outage) {
	t.Helper()
	lab.WaitHealthy(t, time.Minute) // the first outage may be the shortest of several
	_ = harness.Until(t.Context(), "the outage is over", 15*time.Second, func(context.Context) error {
		longest = cause.Outage{}
		begun := false // entries begin 2 s before the attack: there may be others' outages
		for _, e := range entries(t, lab, a) {
			begun = begun || e.Kind == fault.EntryIntent && e.Fields["attack"] == a.ID
			if o, ok := cause.FromEntry(&e); ok && begun && e.Subject == "service" && o.Upper > longest.Upper {
				longest = o
			}
		}
		if longest.ID == 0 {
			return errors.New("there was none")
		}
		return nil
	})
	return longest
}

// explained checks what holds of every breakdown.
func explained(t *testing.T, lab *harness.Lab, a fault.Attack, longest cause.Outage) cause.Breakdown {
	t.Helper()
	if longest.ID == 0 {
		t.Fatal("no outage was measured")
	}
	var b cause.Breakdown
	lab.ZdlJSON(t, &b, "timeline", "--outage", fmt.Sprint(longest.ID))
	at, sum := 0.0, 0.0
	for _, p := range b.Parts {
		if p.From != at || p.To < p.From {
			t.Errorf("a part begins at %v after one that ended at %v: %+v", p.From, at, p)
		}
		at, sum = p.To, sum+p.MS
		for _, o := range p.Owners {
			if o.Value == "" || o.Value == cause.Unknown {
				t.Errorf("the value of %s was not read", o.Name)
			}
		}
	}
	if whole := longest.After - longest.First; math.Abs(sum-whole) > 0.1 || math.Abs(at-whole) > 0.1 {
		t.Errorf("the parts sum up to %v and end at %v, the outage lasted %v", sum, at, whole)
	}
	if b.Fault == nil || b.Fault.Attack != a.ID {
		t.Errorf("it was blamed on %+v, want attack %s", b.Fault, a.ID)
	}
	t.Log(lab.Zdl(t, "timeline", "--outage", fmt.Sprint(longest.ID)))
	return b
}

// parts joins what the parts of a breakdown waited for.
func parts(b cause.Breakdown) string {
	var out []string
	for _, p := range append(append([]cause.Part{}, b.Lead...), b.Parts...) {
		out = append(out, p.What)
	}
	return strings.Join(out, "; ")
}

// inOrder tells whether words occur in a text, one after the other.
func inOrder(text string, words ...string) bool {
	for _, w := range words {
		_, rest, ok := strings.Cut(text, w)
		if !ok {
			return false
		}
		text = rest
	}
	return true
}

func TestTheLossOfAllPodsIsExplainedByTheirReplacement(t *testing.T) {
	lab := healthy(t)
	a := attack(t, lab, scenario{kind: "pod-kill", target: "any", mode: "all", force: true})
	b := explained(t, lab, a, longestOutage(t, lab, a))
	if !inOrder(parts(b), "the endpoint was removed", "the endpoint was added", "the ingress on", "first success") {
		t.Errorf("the parts are: %s", parts(b))
	}
	told(t, lab, a, "proxy-programmed", 10*time.Second, nil)
	lab.WaitHealthy(t, time.Minute)
}

func TestALoadBalancerWithoutPowerIsExplainedByVRRP(t *testing.T) {
	lab := healthy(t)
	var a fault.Attack
	var o cause.Outage
	// A machine that is too busy for its own prober through the 0.3 s that it takes
	// measures nothing, and says so: then the other load balancer has its turn.
	for range 3 {
		holder, err := lab.HolderOf(topology.UserVIP.String(), "lb-1", "lb-2")
		if err != nil || holder == "" {
			t.Fatalf("nobody holds the users' virtual IP: %v", err)
		}
		a = attack(t, lab, scenario{kind: "node-power-off", target: holder})
		told(t, lab, a, "address-moved", 10*time.Second, func(e timeline.Entry) bool {
			return e.Fields["name"] == "users" && e.Fields["before"] == holder
		})
		if o = longestOutage(t, lab, a); o.ID != 0 {
			break
		}
		heal(t, lab, a.ID)
		lab.WaitHealthy(t, time.Minute)
	}
	b := explained(t, lab, a, o)
	if !inOrder(parts(b), "detected by VRRP", "first success") {
		t.Errorf("the parts are: %s", parts(b))
	}
	heal(t, lab, a.ID)
	lab.WaitHealthy(t, time.Minute)
}

func TestEtcdsLeaderIsToldWithoutTheAPI(t *testing.T) {
	lab := healthy(t)
	leader, err := lab.EtcdLeader(t.Context(), "cp-1", "cp-2", "cp-3")
	if err != nil {
		t.Fatal(err)
	}
	a := attack(t, lab, scenario{kind: "node-power-off", target: leader})
	e := told(t, lab, a, "leader-changed", 20*time.Second, func(e timeline.Entry) bool { return e.Subject == "etcd" })
	now, err := lab.EtcdLeader(t.Context(), without(leader, "cp-1", "cp-2", "cp-3")...)
	if err != nil || now != e.Fields["node"] || now == leader {
		t.Errorf("the timeline says that %s leads, the members say %s, %v", e.Fields["node"], now, err)
	}
	told(t, lab, a, "election-began", 5*time.Second, nil)
	told(t, lab, a, "backend-down", 20*time.Second, func(e timeline.Entry) bool { return e.Subject == "apiservers/"+leader })
	heal(t, lab, a.ID)
	lab.WaitHealthy(t, 2*time.Minute)
}

func TestALostWorkerIsToldStepByStep(t *testing.T) {
	lab := healthy(t)
	node := lab.WaitPods(t, "web", "app.kubernetes.io/name=web", 3, time.Minute)[0].Spec.NodeName
	a := attack(t, lab, scenario{kind: "node-power-off", target: node})
	on := func(e timeline.Entry) bool { return e.Fields["node"] == node }
	// The fast timings: a lease of 6 s, a grace period of 8 s.
	lease := told(t, lab, a, "node-lease-expired", 20*time.Second, on)
	lost := told(t, lab, a, "node-not-ready", 30*time.Second, on)
	gone := told(t, lab, a, "endpoint-not-ready", 10*time.Second, on)
	if lease.When() > lost.When() || lost.When() > gone.When()+500 {
		t.Errorf("lease out at %.0f, node not Ready at %.0f, endpoint not ready at %.0f ms", lease.When(), lost.When(), gone.When())
	}
	address := gone.Fields["address"]
	told(t, lab, a, "ingress-programmed", 10*time.Second, func(e timeline.Entry) bool {
		return e.When() > gone.When()-500 && !strings.Contains(" "+e.Fields["endpoints"]+" ", " "+address+" ")
	})
	heal(t, lab, a.ID)
	told(t, lab, a, "node-ready", time.Minute, on)
	lab.WaitHealthy(t, 2*time.Minute)
}

func without(name string, all ...string) []string {
	var out []string
	for _, n := range all {
		if n != name {
			out = append(out, n)
		}
	}
	return out
}

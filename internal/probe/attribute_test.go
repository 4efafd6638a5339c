package probe

import (
	"strings"
	"testing"
)

func TestAnOutageIsAttributedToTheLayerWhereItBegins(t *testing.T) {
	service := Outage{ID: 3, First: 1000, Before: 990, Last: 1990, After: 2002, sure: 1002}
	failing := func(first, after float64) []Outage {
		return []Outage{{First: first, Before: first - 10, After: after, sure: first + 2}}
	}
	fine := []Outage{}
	type w = Watched
	for _, c := range []struct {
		name           string
		watched        []Watched
		layer, machine string
		text           string
	}{
		{"all pods gone", []w{{"pod", 0, "web-1", "worker-1", failing(995, 2000)}, {"pod", 0, "web-2", "worker-2", failing(996, 2000)},
			{"ingress", 1, "ingress on worker-1", "worker-1", failing(998, 2001)}, {"load balancer", 2, "lb-1", "lb-1", fine}},
			"pod", "", "pod 2 of 2 (web-1, web-2) at -5 ms; ingress 1 of 1"},
		{"the ingress alone", []w{{"pod", 0, "web-1", "worker-1", fine}, {"ingress", 1, "i-1", "worker-1", failing(999, 2000)}, {"ingress", 1, "i-2", "worker-2", failing(999, 2000)}},
			"ingress", "", "ingress 2 of 2"},
		{"a node", []w{{"pod", 0, "web-1", "worker-1", failing(999, 2000)}, {"pod", 0, "web-2", "worker-2", fine},
			{"ingress", 1, "i-1", "worker-1", failing(997, 2000)}, {"ingress", 1, "i-2", "worker-2", fine}},
			"pod", "worker-1", "on worker-1: pod 1 of 2"},
		{"a load balancer", []w{{"pod", 0, "web-1", "worker-1", fine}, {"load balancer", 2, "lb-1", "lb-1", failing(998, 5000)}, {"load balancer", 2, "lb-2", "lb-2", fine}},
			"load balancer", "lb-1", "load balancer 1 of 2 (lb-1)"},
		{"nothing behind the address", []w{{"pod", 0, "web-1", "worker-1", fine}, {"load balancer", 2, "lb-1", "lb-1", failing(3000, 4000)}},
			"", "", "Nothing behind"},
		{"a pod that has been down since yesterday is not where it began", []w{{"pod", 0, "web-1", "worker-1", failing(-86_400_000, 9000)}, {"ingress", 1, "i-1", "worker-1", failing(998, 2000)}},
			"ingress", "worker-1", "ingress 1 of 1"},
		{"a pod that failed afterwards neither", []w{{"pod", 0, "web-1", "worker-1", failing(1500, 2000)}, {"ingress", 1, "i-1", "worker-2", failing(998, 2000)}},
			"ingress", "worker-2", "ingress 1 of 1"},
		{"one that is open", []w{{"pod", 0, "web-1", "worker-1", []Outage{{First: 990, Before: 980, Open: true}}}}, "pod", "worker-1", "at -10 ms"},
		{"nothing was watched", nil, "", "", "Nothing behind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := Attribute(service, c.watched)
			if a.Outage != 3 || a.Layer != c.layer || a.Machine != c.machine || !strings.Contains(a.Text, c.text) {
				t.Errorf("got %+v\nwant layer %q, machine %q, …%s…", a, c.layer, c.machine, c.text)
			}
		})
	}
}
